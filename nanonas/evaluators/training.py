"""The `training` evaluator: real training on real data, scored on validation images."""

import time
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from ..core.classification import balanced_accuracy, confusion, macro_f1
from ..core.config import ComponentConfig
from ..core.errors import EvaluationError
from ..core.genotype import Genotype
from ..core.say import Say
from ..core.space import SearchSpace
from ..core.task import Task
from ..core.trial import Fidelity
from ..data.dataset import load_dataset
from ..data.folder import LARGEST_SIDE
from ..data.split import split
from ..training.recipe import Epochs, Recipe, share_of_side
from . import EVALUATORS, Assignment, Evaluator

if TYPE_CHECKING:
    from torch import nn

    from ..data.images import Images

FEW_IMAGES = 50
BY_CLASS = {"val_balanced_accuracy": balanced_accuracy, "val_macro_f1": macro_f1}
PROXY_IMAGES = 64  # the batch of the zero-cost proxies


def _pixels_or_share(size: Any) -> Any:
    number = isinstance(size, (int, float))
    if size is not None and not (number and (0 < size <= 1 or size in range(4, LARGEST_SIDE + 1))):
        raise ValueError(f"must be 4 to {LARGEST_SIDE} pixels, or above 0 and up to 1 as a share of the data's side")
    return size


ImageSize = Annotated[
    int | float | None,
    BeforeValidator(_pixels_or_share),
    Field(description="longer side in pixels; up to 1, a share of the data's; null: as the data are"),
]


def side_in_pixels(size: int | float | None, task: Task) -> int:
    """What an `image_size` means for a task."""
    whole = max(task.height, task.width)
    if size is None:
        return whole
    return share_of_side(whole, size) if size <= 1 else int(size)


class Effort(Recipe, ComponentConfig):
    """How, on how many images of which size, and for how long a candidate is trained."""

    image_size: ImageSize = None
    data_fraction: Annotated[float, Field(gt=0, le=1, description="share of the training images")] = 1.0
    shown: Annotated[
        int | None,
        Field(
            ge=1,
            description="images that a training sees, repeated ones too, so that it costs the same on any data set: "
            "sets data_fraction, and more epochs where the images are few",
        ),
    ] = None

    @model_validator(mode="after")
    def _shown_or_a_fraction(self) -> "Effort":
        if self.shown is not None and self.data_fraction != 1.0:
            raise ValueError("shown sets data_fraction; leave one of them out, or set it to null or 1.0")
        return self

    def of(self, images: int) -> tuple[int, float]:
        """Epochs, and the share of so many training images."""
        if self.shown is None:
            return self.epochs, self.data_fraction
        batch = min(self.batch_size, images)
        seen = images // batch * batch  # in an epoch, which has whole batches
        epochs = max(self.epochs, self.shown // seen)
        return epochs, min(1.0, self.shown / (epochs * seen))


@EVALUATORS.register("training")
class Training(Evaluator):
    """Trains a candidate for a few epochs on the training images and scores it on the validation images.

    Metrics: val_accuracy (fraction), val_loss (nats), params, macs (at the data's size), train_seconds; and, where an
    objective names them, val_balanced_accuracy (mean recall of the classes) and val_macro_f1 (fractions). At fidelity
    epochs 0 nothing is trained, and the metrics are the zero-cost proxies of the fresh network, params and macs. The
    test images are never opened.
    """

    class Config(Effort):
        name: Literal["training"] = "training"
        epochs: Epochs = 5

    metrics: ClassVar[tuple[str, ...]] = ("val_accuracy", "val_loss", *BY_CLASS)

    def __init__(self, assignment: Assignment, say: Say, run: Path | None = None) -> None:
        self.config: Any = assignment.evaluator
        self.seed = assignment.seed
        self.by_class = [name for name in BY_CLASS if name in assignment.objectives]
        self.device_name = assignment.device
        if assignment.device not in ("auto", "cpu"):  # before a run is begun that could not go on
            from ..devices.compute import select_device

            select_device(assignment.device)
        self.data = data = load_dataset(assignment.data, say)
        self.flip = data.flip
        self.task = data.task
        self.validation_fraction = assignment.data.validation_fraction
        held_out = len(self._parts[1])
        if self.metrics == Training.metrics and held_out < FEW_IMAGES:
            say(f"warning: {held_out} validation images decide which network is best: hardly more than chance")
        self._images = lru_cache(maxsize=4)(self._load)

    @property
    def fidelity(self) -> Fidelity:
        epochs, fraction = self.config.of(len(self._parts[0]))
        side = side_in_pixels(self.config.image_size, self.task)
        return {"epochs": epochs, "image_size": side, "data_fraction": fraction}

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Which images are for training, and which for validation."""
        assert self.data is not None
        return self.data.split(self.validation_fraction, self.seed)

    def _chosen(self, data_fraction: float) -> np.ndarray:
        """Which images a candidate is trained on."""
        assert self.data is not None
        chosen, _ = self._parts
        if data_fraction == 1:
            return chosen
        few: np.ndarray = chosen[split(self.data.train_labels[chosen], data_fraction, self.seed)[1]]
        return few

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        from ..devices.compute import memory_checked, seeded, threads

        train, validation = self._images(int(fidelity["image_size"]), float(fidelity["data_fraction"]))
        with threads(1), seeded(seed), memory_checked():  # one thread: bit for bit the same in any worker
            network = space.build(genotype, self.task)
            epochs = int(fidelity["epochs"])
            scores = self._trained(network, train, validation, epochs, seed) if epochs else self._fresh(network, train)
        return {**scores, **space.measure(genotype, self.task)}

    def _trained(
        self, network: "nn.Module", train: "Images", validation: "Images", epochs: int, seed: int
    ) -> Mapping[str, float]:
        from ..training.predict import predict, score
        from ..training.trainer import Trainer

        start = time.perf_counter()
        trainer = Trainer(network, train, self.config.model_copy(update={"epochs": epochs}), self.flip, seed)
        while not trainer.done:
            trainer.run_epoch()
        seconds = time.perf_counter() - start
        logits = predict(trainer.network, validation)
        result = score(logits, validation.labels)
        if not np.isfinite(result["loss"]):
            raise EvaluationError(f"the validation loss is {result['loss']}")
        scores = {"val_accuracy": result["accuracy"], "val_loss": result["loss"], "train_seconds": round(seconds, 3)}
        matrix = confusion(validation.labels.cpu().numpy(), logits.argmax(1).numpy(), logits.shape[1])
        return scores | {name: BY_CLASS[name](matrix) for name in self.by_class}

    def _fresh(self, network: "nn.Module", train: "Images") -> Mapping[str, float]:
        from ..data.images import batch
        from ..training.proxies import proxy_scores

        return proxy_scores(network.to(train.pixels.device), batch(train, PROXY_IMAGES, self.seed))

    def _load(self, image_size: int, data_fraction: float) -> "tuple[Images, Images]":
        """Training and validation images at a fidelity, kept for the next candidate."""
        from ..data.images import Images
        from ..devices.compute import select_device

        assert self.data is not None
        images, labels = self.data.train_images, self.data.train_labels
        _, held_out = self._parts
        device = select_device(self.device_name)
        mean, std = self.data.mean, self.data.std
        train = Images.of(images, labels, mean, std, device, self._chosen(data_fraction))
        validation = Images.of(images, labels, mean, std, device, held_out)
        return train.resized(image_size), validation.resized(image_size)

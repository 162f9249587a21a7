"""The `training` evaluator: real training on real data, scored on validation images."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..config import ComponentConfig
from ..data import load_dataset, split
from ..errors import EvaluationError
from ..genotype import Genotype
from ..recipe import Epochs, Recipe
from ..space import SearchSpace
from ..trial import Fidelity
from . import EVALUATORS, Evaluator, Say

if TYPE_CHECKING:
    from torch import nn

    from ..images import Images
    from ..spec import Spec

PROXY_IMAGES = 64  # the batch of the zero-cost proxies


@EVALUATORS.register("training")
class Training(Evaluator):
    """Trains a candidate for a few epochs on the training images and scores it on the validation images.

    Metrics: val_accuracy (fraction), val_loss (nats), params, macs (at the data's size), train_seconds. At fidelity
    epochs 0 nothing is trained, and the metrics are the zero-cost proxies of the fresh network, params and macs. The
    test images are never opened.
    """

    class Config(Recipe, ComponentConfig):
        name: Literal["training"] = "training"
        epochs: Epochs = 5
        image_size: Annotated[int, Field(ge=4, le=1024, description="longer side; null: as the data are")] | None = None
        data_fraction: Annotated[float, Field(gt=0, le=1, description="share of the training images")] = 1.0

    metrics: ClassVar[tuple[str, ...]] = ("val_accuracy", "val_loss")

    def __init__(self, config: Any, spec: "Spec", say: Say, run: Path | None = None) -> None:
        self.config = config
        self.seed = spec.seed
        self.device_name = spec.device
        if spec.device not in ("auto", "cpu"):  # before a run is begun that could not go on
            from ..training import select_device

            select_device(spec.device)
        self.data = data = load_dataset(spec.data, say)
        self.flip = data.flip
        self.task = data.task
        self.validation_fraction = spec.data.validation_fraction
        self._images = lru_cache(maxsize=4)(self._load)

    @property
    def fidelity(self) -> Fidelity:
        return {
            "epochs": self.config.epochs,
            "image_size": self.config.image_size or max(self.task.height, self.task.width),
            "data_fraction": self.config.data_fraction,
        }

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        from ..training import seeded, threads

        train, validation = self._images(int(fidelity["image_size"]), float(fidelity["data_fraction"]))
        with threads(1), seeded(seed), memory_checked():  # one thread: bit for bit the same in any worker
            network = space.build(genotype, self.task)
            epochs = int(fidelity["epochs"])
            scores = self._trained(network, train, validation, epochs, seed) if epochs else self._fresh(network, train)
        return {**scores, **space.measure(genotype, self.task)}

    def _trained(
        self, network: "nn.Module", train: "Images", validation: "Images", epochs: int, seed: int
    ) -> Mapping[str, float]:
        from ..training import Trainer, predict, score

        start = time.perf_counter()
        trainer = Trainer(network, train, self.config.model_copy(update={"epochs": epochs}), self.flip, seed)
        while not trainer.done:
            trainer.run_epoch()
        seconds = time.perf_counter() - start
        result = score(predict(trainer.network, validation), validation.labels)
        if not np.isfinite(result["loss"]):
            raise EvaluationError(f"the validation loss is {result['loss']}")
        return {"val_accuracy": result["accuracy"], "val_loss": result["loss"], "train_seconds": round(seconds, 3)}

    def _fresh(self, network: "nn.Module", train: "Images") -> Mapping[str, float]:
        from ..images import batch
        from ..proxies import proxy_scores

        return proxy_scores(network.to(train.pixels.device), batch(train, PROXY_IMAGES, self.seed))

    def _load(self, image_size: int, data_fraction: float) -> "tuple[Images, Images]":
        """Training and validation images at a fidelity, kept for the next candidate."""
        from ..images import Images
        from ..training import select_device

        assert self.data is not None
        images, labels = self.data.train_images, self.data.train_labels
        chosen, held_out = split(labels, self.validation_fraction, self.seed)
        if data_fraction < 1:
            chosen = chosen[split(labels[chosen], data_fraction, self.seed)[1]]
        device = select_device(self.device_name)
        mean, std = self.data.mean, self.data.std
        train = Images.of(images, labels, mean, std, device, chosen)
        validation = Images.of(images, labels, mean, std, device, held_out)
        return train.resized(image_size), validation.resized(image_size)


@contextmanager
def memory_checked() -> Iterator[None]:
    """Out of memory, on CPU or GPU, is the candidate's failure."""
    import torch

    from ..training import out_of_memory

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise EvaluationError("out of memory") from None

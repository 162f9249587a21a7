"""Labels worth a second look: out-of-fold answers of the winner's architecture to every training image.

A search scores all its candidates on the same tenth of the training images, so its own trainings could judge the labels
of that tenth only. Here each image is left out once, of trainings that are as short as a candidate's.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.classification import MIN_PROBABILITIES, Integers, refusal
from ..core.doubt import contradicted, folds
from ..core.errors import RunError
from ..core.say import Say
from ..core.statistics import wilson
from ..core.task import Task
from ..core.trial import training_seed
from ..data.dataset import Dataset
from ..data.images import Images
from ..data.split import split
from ..devices.compute import memory_checked, seeded, select_device
from ..devices.machine import AdaptiveThreads
from ..evaluators.training import Effort, Training, side_in_pixels
from ..models.classifier import Card, Classifier
from ..networks.weights import load_tensors, save_tensors
from ..spec.schema import Spec
from ..training.predict import predict
from ..training.recipe import Progress
from ..training.trainer import Trainer, parts_of_a_batch, threads_pay
from .answers import Answers

FILE = "second_look.safetensors"
FOLDS = 5
LISTED = 100  # of the labels that are contradicted, in the JSON


class SecondLook:
    """Trains and answers, a fold at a time; what is done is kept in the run, and not done again.

    Raises:
        RunError: what the run keeps of an earlier look is damaged.
    """

    def __init__(self, run: Path, card: Card, dataset: Dataset, spec: Spec, say: Say) -> None:
        self.path, self.card, self.dataset, self.say = run / FILE, card, dataset, say
        self.device = select_device(spec.device)
        self.effort: Effort = spec.evaluator if isinstance(spec.evaluator, Effort) else Training.Config()
        self.folds = folds(dataset.train_labels, dataset.groups, FOLDS, spec.seed)
        self.side = side_in_pixels(self.effort.image_size, Task(*card.input_size, len(card.classes)))
        self.epochs, self.fraction = self.effort.of(int((self.folds != 0).sum()))
        self.seeds = [training_seed(spec.seed, card.genotype, f"fold {fold}") for fold in range(FOLDS)]
        self.request = json.dumps(
            {
                "genotype": card.genotype,
                "space": card.space,
                "data": dataset.fingerprint,
                "effort": self.effort.model_dump(mode="json"),
                "seeds": self.seeds,
            },
            sort_keys=True,
        )
        shape = len(dataset.train_labels), len(card.classes)
        self.probabilities = np.full(shape, np.nan, dtype=np.float32)
        self.done = 0

    def take(self, on_progress: Callable[[Progress], None]) -> Answers:
        """Out-of-fold answers to the training images; NaN where the other folds have no image of the class."""
        self._resume()
        if self.done < FOLDS:
            self.say(
                f"second look: {FOLDS - self.done} trainings of {self.epochs} epochs, each without another part of the "
                "training images"
            )
        while self.done < FOLDS:
            with memory_checked():
                self._fold(self.done, on_progress)
            self.done += 1
            self._save()
        names = self.dataset.train_names()
        found = self.probabilities.astype(np.float64)
        return Answers(self.card.classes, self.dataset.train_labels, found, names)

    def _fold(self, fold: int, on_progress: Callable[[Progress], None]) -> None:
        data, seed = self.dataset, self.seeds[fold]
        rows, held = np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)
        labels = data.train_labels
        trained = np.isin(labels[held], labels[rows])
        if not len(held) or not trained.any():
            return
        if self.fraction < 1:
            rows = rows[split(labels[rows], self.fraction, seed)[1]]
        train, others = (
            Images.of(data.train_images, labels, data.mean, data.std, self.device, chosen).resized(self.side)
            for chosen in (rows, held[trained])
        )
        with seeded(seed):
            classifier = Classifier(self.card)
        recipe = self.effort.model_copy(update={"epochs": self.epochs})
        batch = min(recipe.batch_size, len(train))
        pays = self.device.type == "cpu" and threads_pay(classifier.macs, batch)
        adaptive = AdaptiveThreads(torch.get_num_threads() if pays else 1)
        parts = parts_of_a_batch(classifier.macs, self.device, batch)
        trainer = Trainer(classifier.network, train, recipe, data.flip, seed, parts, adaptive=adaptive)

        def told(record: dict[str, float] | None = None) -> None:
            share = (fold + trainer.time_fraction) / FOLDS
            on_progress(Progress(share, fold * self.epochs + trainer.epoch, record))

        while not trainer.done:
            loss = trainer.run_epoch(on_step=told)
            told({"train_loss": loss})
        logits = predict(trainer.network, others)
        self.probabilities[held[trained]] = logits.softmax(1).numpy()

    def _save(self) -> None:
        tensors = {"probabilities": torch.from_numpy(self.probabilities)}
        save_tensors(self.path, tensors, {"request": self.request, "done": str(self.done)})

    def _resume(self) -> None:
        if not self.path.exists():
            return
        try:
            tensors, metadata = load_tensors(self.path)
            if metadata.get("request") != self.request:  # of another training, or of other data
                return
            found, done = tensors["probabilities"].numpy(), int(metadata["done"])
            if found.shape != self.probabilities.shape or not 0 <= done <= FOLDS:
                raise ValueError("another shape")
        except (RunError, LookupError, ValueError, TypeError):
            raise RunError(f"{self.path} is damaged; delete it to look again") from None
        self.probabilities, self.done = np.array(found, dtype=np.float32), done


def told(look: SecondLook, answers: Answers) -> tuple[dict[str, Any], Integers]:
    """What eval says of a second look; and which training images have a label that is contradicted, in order."""
    known = ~np.isnan(answers.probabilities).any(1)
    found = contradicted(answers.probabilities, answers.labels)
    probabilities, labels = answers.probabilities[known], answers.labels[known]
    right = int((probabilities.argmax(1) == labels).sum())
    said = {
        "folds": FOLDS,
        "epochs": look.epochs,
        "image_size": look.side,
        "images": len(labels),
        "accuracy": right / len(labels),
        "interval": [*wilson(right, len(labels))],
        "refusals": [refusal(probabilities, labels, least) for least in MIN_PROBABILITIES],
        "contradicted": len(found),
        "labels": [_label(answers, int(image)) for image in found[:LISTED]],
    }
    return said, found


def _label(answers: Answers, image: int) -> dict[str, Any]:
    return {
        "image": image,
        "name": answers.names[image] if answers.names is not None else None,
        "class": answers.label(image),
        "probability": float(answers.own[image]),
        "top": [{"class": name, "probability": probability} for name, probability in answers.top(image)],
    }

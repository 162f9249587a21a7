"""The `supernet` evaluator: DARTS, a trial an epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ..core.errors import RunError, SpecError
from ..core.files import check_version
from ..core.genotype import Genotype
from ..core.say import Say
from ..core.space import SearchSpace
from ..core.trial import Fidelity
from ..data.split import split
from ..spaces import SPACES
from ..training.recipe import Epochs
from . import EVALUATORS, Assignment
from .training import Effort, Training

if TYPE_CHECKING:
    from ..training.supernet import SupernetTrainer


@EVALUATORS.register("supernet")
class Supernet(Training):
    """Trains the space's supernet up to the epoch that the fidelity names.

    Metrics: val_accuracy (a fraction; of the supernet, all operations mixed: a genotype's own is not known before it
    is trained), params, macs (of the genotype), and for each learned choice `choice=option`, its share. Goes with
    strategy darts. The state after an epoch is in RUN/supernet.safetensors; without it the epochs are trained again.
    """

    class Config(Effort):
        name: Literal["supernet"] = "supernet"
        epochs: Epochs = 50
        learning_rate: Annotated[float, Field(gt=0, le=10, description="peak, of the weights")] = 0.05
        architecture_learning_rate: Annotated[float, Field(gt=0, le=1, description="of the choices")] = 3e-3
        channels: Annotated[int, Field(ge=4, le=128, description="width of the supernet's first stage")] = 8
        threads: Annotated[int, Field(ge=1, le=64, description="another number gives slightly other results")] = 1

    metrics = ("val_accuracy",)
    one_shot = True
    scores_architectures = False

    def __init__(self, assignment: Assignment, say: Say, run: Path | None = None) -> None:
        name = assignment.space.name
        if SPACES[name].supernet is SearchSpace.supernet:
            raise SpecError(f"the space {name} has no supernet; choose space nano, or another strategy")
        super().__init__(assignment, say, run)
        assert self.data is not None
        counts = np.bincount(self.data.train_labels[self._chosen(float(self.fidelity["data_fraction"]))])
        if counts.min() < 2:
            few = self.data.classes[int(counts.argmin())]
            raise SpecError(
                f"evaluator: a supernet splits its images in two, and class {few} would have a single one; raise "
                "evaluator.data_fraction or evaluator.shown, or bring more images"
            )
        self.checkpoint = run / "supernet.safetensors" if run else None
        self._trainer: SupernetTrainer | None = None

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        from ..devices.compute import memory_checked, threads
        from ..training.predict import predict, score

        _, validation = self._images(int(fidelity["image_size"]), float(fidelity["data_fraction"]))
        with threads(self.config.threads), memory_checked():
            trainer = self._at_epoch(int(fidelity["epochs"]), space, fidelity)
            result = score(predict(trainer.trainer.network, validation), validation.labels)
        return {"val_accuracy": result["accuracy"], **space.measure(genotype, self.task), **trainer.weights()}

    def _at_epoch(self, epoch: int, space: SearchSpace, fidelity: Fidelity) -> "SupernetTrainer":
        """Trained for exactly so many epochs: from memory, from the checkpoint, or from the beginning."""
        if self._trainer is None or self._trainer.epoch > epoch:
            self._trainer = self._fresh_trainer(space, fidelity)
            if self.checkpoint and self.checkpoint.exists():
                try:
                    self._trainer.load(self.checkpoint, epoch)
                except (LookupError, TypeError, ValueError, RuntimeError) as error:
                    check_version(self.checkpoint, error)
                    raise RunError(
                        f"{self.checkpoint} is damaged; delete it, and its epochs are trained again"
                    ) from None
        trainer, self._trainer = self._trainer, None  # one that fails in the middle of an epoch is not gone on with
        while trainer.epoch < epoch:
            trainer.run_epoch()
            if self.checkpoint and trainer.epoch == epoch:
                trainer.save(self.checkpoint)
        self._trainer = trainer
        return trainer

    def _fresh_trainer(self, space: SearchSpace, fidelity: Fidelity) -> "SupernetTrainer":
        from dataclasses import replace

        from ..devices.compute import seeded
        from ..training.supernet import SupernetTrainer

        train, _ = self._images(int(fidelity["image_size"]), float(fidelity["data_fraction"]))
        parts: Any = [
            replace(train, rows=train.rows[chosen], labels=train.labels[chosen])
            for chosen in split(train.labels.cpu().numpy(), 0.5, self.seed)
        ]
        with seeded(self.seed):
            network = space.supernet(self.task, self.config.channels)
        rate = self.config.architecture_learning_rate
        recipe = self.config.model_copy(update={"epochs": int(self.fidelity["epochs"])})
        return SupernetTrainer(network, tuple(parts), recipe, self.flip, self.seed, rate)

"""The evaluator `synthetic`: a smooth score of the choices, for what is measured without training.

Import this before a spec is read: the registry is asked once.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from nanonas.core.config import ComponentConfig
from nanonas.core.genotype import Genotype
from nanonas.core.say import Say
from nanonas.core.space import SearchSpace
from nanonas.core.task import Task
from nanonas.core.trial import Fidelity
from nanonas.evaluators import EVALUATORS, Assignment, Evaluator


def total(space: SearchSpace, genotype: Genotype) -> float:
    """A sum over the choices, of either sign."""
    return sum(
        math.sin(7 * i + 3 * choice.options.index(value))
        for i, (choice, value) in enumerate(zip(space.choices, genotype.values, strict=True))
    )


def accuracy(space: SearchSpace, genotype: Genotype) -> float:
    """The sum, between 0 and 1."""
    return 1 / (1 + math.exp(-total(space, genotype) / 4))


@EVALUATORS.register("synthetic")
class Synthetic(Evaluator):
    """The score, params and macs; with one epoch as its only fidelity."""

    class Config(ComponentConfig):
        name: Literal["synthetic"] = "synthetic"

    metrics = ("val_accuracy", "params", "macs")
    task = Task(3, 32, 32, 10)

    def __init__(self, assignment: Assignment, say: Say, run: Any = None) -> None:
        pass

    @property
    def fidelity(self) -> Fidelity:
        return {"epochs": 1}

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        return {"val_accuracy": accuracy(space, genotype), **space.measure(genotype, self.task)}

"""A fake evaluator: the score is a hash of the architecture, so that searches take milliseconds."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal

from nanonas.core.config import ComponentConfig
from nanonas.core.errors import EvaluationError
from nanonas.core.genotype import Genotype
from nanonas.core.say import Say
from nanonas.core.space import SearchSpace
from nanonas.core.task import Task
from nanonas.core.trial import Fidelity
from nanonas.evaluators import EVALUATORS, Assignment, Evaluator


class Fake(Evaluator):
    """`fail_share` of all architectures fail, `bug_share` raise anything; it tells shares, too."""

    class Config(ComponentConfig):
        name: Literal["fake"] = "fake"
        fail_share: float = 0.0
        bug_share: float = 0.0

    metrics = ("val_accuracy",)
    one_shot = True
    task = Task(3, 32, 32, 10)
    calls = 0

    def __init__(self, assignment: Assignment, say: Say, run: Any = None) -> None:
        self.config: Any = assignment.evaluator

    @property
    def fidelity(self) -> Fidelity:
        return {"epochs": 81}

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        Fake.calls += 1
        digest = hashlib.sha256(f"{space.canonical(genotype)} {seed}".encode()).digest()
        if digest[1] < 256 * self.config.bug_share:
            raise ZeroDivisionError("a bug")
        if digest[0] < 256 * self.config.fail_share:
            raise EvaluationError("the training loss is nan after epoch 1")
        # smooth in the choices, so that evolution has something to climb
        alike = sum(hash_of(f"{i} {v}") for i, v in enumerate(genotype.values))
        measures = space.measure(genotype, self.task)
        shares = {f"{c.name}={o}": hash_of(f"{c.name} {o} {seed}") / 256 for c in space.choices for o in c.options}
        edges = {name: share for name, share in shares.items() if "edge" in name}
        return {"val_accuracy": 1 / (1 + math.exp(-(alike / len(genotype.values) - 128) / 20)), **measures, **edges}


def hash_of(text: str) -> int:
    """From 0 to 255."""
    return hashlib.sha256(text.encode()).digest()[0]


if "fake" not in EVALUATORS:  # before anything imports nanonas.spec, which asks the registries once
    EVALUATORS.add("fake", Fake)

"""STRATEGIES: one file each. A strategy chooses and never trains; it knows no space, and imports no torch."""

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from ..config import ComponentConfig
from ..pareto import Objectives
from ..registry import Registry, import_modules
from ..space import SearchSpace
from ..trial import Proposal, Trial


class Strategy(ABC):
    """Ask for a proposal, tell what became of it. A pure function of seed and history: all its state comes from `tell`.

    The engine asks for trial i once it has told trials 0 … i − lookahead, in order. It asks again, with the same
    generator, when a proposal is known already, breaks a constraint, or does not connect input and output; so `ask`
    must not remember what it proposed.
    """

    Config: ClassVar[type[ComponentConfig]]

    def __init__(self, config: ComponentConfig, space: SearchSpace, objectives: Objectives) -> None:
        self.space = space
        self.objectives = objectives

    @abstractmethod
    def ask(self, trial: int, rng: random.Random) -> Proposal:
        """A candidate for this trial, from what was told and `rng` alone."""

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """A finished trial; a failed one has no metrics."""


STRATEGIES: Registry[type[Strategy]] = Registry("strategy")

import_modules(__name__, __path__)

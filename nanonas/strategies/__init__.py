"""STRATEGIES: one file each. A strategy chooses and never trains; it knows no space, and imports no torch."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import Field

from ..core.config import ComponentConfig
from ..core.pareto import scores
from ..core.problem import Problem
from ..core.registry import Registry, import_modules
from ..core.trial import Fidelity, Proposal, Trial

Accepts = Callable[[Proposal], bool]
"""Whether a proposal is new at its fidelity, can be scored and meets the constraints.

What is pending is not new either. With `repeats`, whatever is spelled differently is new.
"""

DRAWS = 30_000


class StrategyConfig(ComponentConfig):
    """What every strategy takes."""

    repeats: Annotated[
        bool,
        Field(description="an architecture proposed again is evaluated again and counts, as in published baselines"),
    ] = False

    @property
    def trials_before_the_first_score(self) -> int:
        """How many trials are spent before anything is scored by the objectives."""
        return 0


class Strategy(ABC):
    """Ask for a proposal, tell what became of it. A pure function of seed and history: all its state comes from `tell`.

    The engine asks for trial i once it has told trials 0 … i − lookahead, in order. It asks again, with the same
    generator, when a proposal is not accepted; so `ask` must not remember what it proposed.
    """

    Config: ClassVar[type[StrategyConfig]]
    one_shot: ClassVar[bool] = False  # whether it reads shares of options from a one-shot evaluator's metrics
    starts_at_random: ClassVar[bool] = True  # whether trials without a parent are a sample of what is feasible

    def __init__(self, config: StrategyConfig, problem: Problem) -> None:
        self.config = config
        self.problem = problem
        self.space = problem.space

    @abstractmethod
    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        """A candidate for this trial, from what was told and `rng` alone; None when nothing new can be found."""

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """A finished trial; a failed one has no metrics."""

    def stranger(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        """In place of `ask`, once that gave only what is known many times in a row: anything, at random."""
        return Proposal(self.space.sample(rng))

    def draw(self, rng: random.Random, accepts: Accepts, fidelity: Fidelity | None = None) -> Proposal | None:
        """A random architecture that is accepted; None after many that were not."""
        drawn = (Proposal(self.space.sample(rng), fidelity or {}) for _ in range(DRAWS))
        return next((proposal for proposal in drawn if accepts(proposal)), None)

    def scores(self, trial: Trial) -> tuple[float, ...]:
        """One number an objective, larger is better."""
        return scores(trial.metrics, self.problem.objectives)

    def order(self, trial: Trial) -> tuple[float, ...]:
        """A sort key that puts the best first, by the objectives in turn, and of equals the earliest."""
        return (*(-score for score in self.scores(trial)), trial.trial)

    def offspring(
        self, select: Callable[[], Trial], crossover_probability: float, rng: random.Random, mutations: int = 1
    ) -> Proposal:
        """A child of a selected trial, crossed over with another at this probability, then mutated."""
        parent = select()
        child = parent.genotype
        if rng.random() < crossover_probability:
            child = self.space.crossover(child, select().genotype, rng)
        for _ in range(mutations):
            child = self.space.mutate(child, rng)
        return Proposal(child, parent=parent.trial)


STRATEGIES: Registry[type[Strategy]] = Registry("strategy")

import_modules(__name__, __path__)

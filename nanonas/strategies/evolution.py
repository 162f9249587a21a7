"""Regularized evolution."""

import random
from collections import deque
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..core.problem import Problem
from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig


@STRATEGIES.register("evolution")
class RegularizedEvolution(Strategy):
    """Mutate the best of a random sample; the oldest dies (Real et al. 2019, arXiv:1802.01548, Alg. 1).

    Differs from the paper: no architecture is evaluated twice unless `repeats` says so, since training it again only
    measures noise; and a child may be crossed over before it mutates. With several objectives the first decides.
    """

    class Config(StrategyConfig):
        name: Literal["evolution"] = "evolution"
        population_size: Annotated[
            int, Field(ge=2, description="how many trials may be parents; as many are random at first")
        ] = 24
        sample_size: Annotated[int, Field(ge=1, description="how many compete to be the parent")] = 6
        mutations: Annotated[int, Field(ge=1, le=20, description="choices that change in a child")] = 1
        crossover_probability: Annotated[float, Field(ge=0, le=1, description="share of children with two parents")] = (
            0.0
        )

        @model_validator(mode="after")
        def _sample_fits(self) -> Self:
            if self.sample_size > self.population_size:
                raise ValueError(
                    f"sample_size {self.sample_size} is larger than population_size {self.population_size}"
                )
            return self

    config: Config

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        # the oldest dies, not the worst: a lucky score must be re-earned
        self.population: deque[Trial] = deque(maxlen=config.population_size)

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal:
        if trial < self.config.population_size or not self.population:
            return Proposal(self.space.sample(rng))
        return self.offspring(lambda: self._select(rng), self.config.crossover_probability, rng, self.config.mutations)

    def tell(self, trial: Trial) -> None:
        if trial.ok:
            self.population.append(trial)

    def _select(self, rng: random.Random) -> Trial:
        sample = rng.choices(list(self.population), k=self.config.sample_size)  # with replacement, as in the paper
        return max(sample, key=self.scores)

"""Regularized evolution."""

import random
from collections import deque
from itertools import islice
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..problem import Problem
from ..ranking import aggregate
from ..trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig

DRAWS_OF_A_CANDIDATE = 50  # at most, until one is accepted


@STRATEGIES.register("evolution")
class RegularizedEvolution(Strategy):
    """Mutate the best of a random sample; the oldest dies (Real et al. 2019, arXiv:1802.01548, Alg. 1).

    Differs from the paper: no architecture is evaluated twice unless `repeats` says so, since training it again only
    measures noise; and a child may be crossed over before it mutates. With several objectives the first decides.

    Short trainings favour small networks that learn fast. With several `candidates` all that are evaluated are about as
    large as the constraints allow: of so many feasible children, or random ones at first, the largest, by the ranks of
    params and MACs.
    """

    class Config(StrategyConfig):
        name: Literal["evolution"] = "evolution"
        population_size: Annotated[
            int, Field(ge=2, description="how many trials may be parents; as many are random at first")
        ] = 24
        sample_size: Annotated[int, Field(ge=1, description="how many compete to be the parent")] = 6
        mutations: Annotated[int, Field(ge=1, le=20, description="choices that change in a child")] = 1
        candidates: Annotated[
            int, Field(ge=1, description="drawn for a trial, of which that with most params and MACs is evaluated")
        ] = 1
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

        @property
        def starts_at_random(self) -> bool:
            return self.candidates == 1

    config: Config

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        # the oldest dies, not the worst: a lucky score must be re-earned
        self.population: deque[Trial] = deque(maxlen=config.population_size)

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        wanted = self.config.candidates
        if wanted == 1:
            return self._drawn(trial, rng)
        drawn = (self._drawn(trial, rng) for _ in range(wanted * DRAWS_OF_A_CANDIDATE))
        accepted = list(islice(filter(accepts, drawn), wanted))
        if not accepted:
            return self.draw(rng, accepts)
        sizes = aggregate([self.problem.measure(proposal.genotype) for proposal in accepted], ("params", "macs"))
        return accepted[sizes.index(max(sizes))]

    def _drawn(self, trial: int, rng: random.Random) -> Proposal:
        if trial < self.config.population_size or not self.population:
            return Proposal(self.space.sample(rng))
        return self.offspring(lambda: self._select(rng), self.config.crossover_probability, rng, self.config.mutations)

    def tell(self, trial: Trial) -> None:
        if trial.ok:
            self.population.append(trial)

    def _select(self, rng: random.Random) -> Trial:
        sample = rng.choices(list(self.population), k=self.config.sample_size)  # with replacement, as in the paper
        return max(sample, key=self.scores)

"""NSGA-II."""

import random
from typing import Annotated, Literal

from pydantic import Field

from ..core.pareto import crowding, ranks
from ..core.problem import Problem
from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig


@STRATEGIES.register("nsga2")
class NSGA2(Strategy):
    """Keep the best ranks of non-dominated sorting, the least crowded first (Deb et al. 2002, doi:10.1109/4235.996017).

    Parents are chosen by binary tournament and crossed over; the child mutates. Differs from the paper: survivors are
    chosen after every trial instead of every generation, so that each proposal knows all that is known, and what
    violates a constraint is not evaluated at all.
    """

    class Config(StrategyConfig):
        name: Literal["nsga2"] = "nsga2"
        population_size: Annotated[int, Field(ge=2, description="survivors; as many trials are random at first")] = 24
        crossover_probability: Annotated[float, Field(ge=0, le=1, description="share of children with two parents")] = (
            0.5
        )

    config: Config

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        self.population: list[Trial] = []
        self._fitness: dict[int, tuple[float, float]] = {}  # by trial: (−rank, crowding distance)

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal:
        if trial < self.config.population_size or not self.population:
            return Proposal(self.space.sample(rng))
        return self.offspring(lambda: self._select(rng), self.config.crossover_probability, rng)

    def tell(self, trial: Trial) -> None:
        if not trial.ok:
            return
        everyone = [*self.population, trial]
        points = [self.scores(one) for one in everyone]
        rank = ranks(points)
        distance = [0.0] * len(everyone)
        for front in range(max(rank) + 1):
            members = [i for i in range(len(everyone)) if rank[i] == front]
            for i, value in zip(members, crowding([points[i] for i in members]), strict=True):
                distance[i] = value
        order = sorted(range(len(everyone)), key=lambda i: (rank[i], -distance[i], everyone[i].trial))
        kept = order[: self.config.population_size]
        self.population = [everyone[i] for i in kept]
        self._fitness = {everyone[i].trial: (-rank[i], distance[i]) for i in kept}

    def _select(self, rng: random.Random) -> Trial:
        pair = [rng.choice(self.population) for _ in range(2)]
        return max(pair, key=lambda trial: self._fitness[trial.trial])

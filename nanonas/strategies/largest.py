"""The largest of what another strategy would propose."""

import random
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from ..core.problem import Problem
from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig
from .evolution import RegularizedEvolution
from .sampler import Sampler

DRAWS_OF_A_CANDIDATE = 50  # at most, until one is accepted


@STRATEGIES.register("largest")
class Largest(Strategy):
    """Of several feasible proposals of another strategy, evaluate the largest, by the product of params and MACs.

    Short trainings favour small networks that learn fast; here all that are evaluated are about as large as the
    constraints allow.
    """

    class Config(StrategyConfig):
        name: Literal["largest"] = "largest"
        candidates: Annotated[int, Field(ge=1, description="proposals of which the largest is evaluated")] = 30
        sampler: Annotated[Sampler, Field(description="the strategy that proposes them")] = (
            RegularizedEvolution.Config()
        )

    starts_at_random = False
    config: Config

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        self._sampler = STRATEGIES[config.sampler.name](config.sampler, problem)

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        wanted = self.config.candidates
        drawn = (self._sampler.ask(trial, rng, accepts) for _ in range(wanted * DRAWS_OF_A_CANDIDATE))
        accepted = list(islice((proposal for proposal in drawn if proposal and accepts(proposal)), wanted))
        if not accepted:
            return self.draw(rng, accepts)
        return max(accepted, key=self._size)

    def _size(self, proposal: Proposal) -> float:
        metrics = self.problem.measure(proposal.genotype)
        return metrics["params"] * metrics["macs"]

    def tell(self, trial: Trial) -> None:
        self._sampler.tell(trial)

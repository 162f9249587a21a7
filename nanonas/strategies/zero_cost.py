"""A zero-cost warm start for another strategy."""

import random
from typing import Annotated, Literal

from pydantic import Field

from ..core.errors import SpecError
from ..core.problem import Problem
from ..core.ranking import aggregate
from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig
from .evolution import RegularizedEvolution
from .sampler import Successor


@STRATEGIES.register("zero_cost")
class ZeroCost(Strategy):
    """Score random candidates without training, evaluate the best of them, go on with another strategy (Abdelfattah
    et al. 2021, arXiv:2101.08134, section 4).

    A zero-cost score is a trial at fidelity epochs 0: it stands in the journal, and it counts in budget.trials. The
    proxies' ranks are aggregated (`nanonas.ranking`). search.json tells how the proxy's order agreed with what was then
    measured.
    """

    class Config(StrategyConfig):
        name: Literal["zero_cost"] = "zero_cost"
        proxies: Annotated[
            tuple[Literal["params", "macs", "jacov", "synflow", "naswot"], ...],
            Field(min_length=1, description="whose ranks are aggregated"),
        ] = ("macs", "jacov")
        candidates: Annotated[int, Field(ge=1, description="random architectures that are scored")] = 100
        keep: Annotated[int, Field(ge=1, description="of them the best, which are evaluated first")] = 10
        sampler: Annotated[Successor, Field(description="the strategy that goes on from them")] = (
            RegularizedEvolution.Config()
        )

        @property
        def trials_before_the_first_score(self) -> int:
            return self.candidates

    config: Config

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        if not problem.fidelity.get("epochs"):
            raise SpecError(
                "strategy.name: zero_cost scores networks at epochs 0, and this evaluator has no more epochs"
            )
        self._scored: list[Trial] = []
        self._sampler = STRATEGIES[config.sampler.name](config.sampler, problem)

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        if trial < self.config.candidates:
            drawn = self.draw(rng, accepts, {"epochs": 0})
            if drawn:
                return drawn
        if trial < self.config.candidates + self.config.keep:
            for told in self._ranked():
                proposal = Proposal(told.genotype, parent=told.trial)
                if accepts(proposal):
                    return proposal
        return self._sampler.ask(trial, rng, accepts)

    def tell(self, trial: Trial) -> None:
        if not trial.untrained:
            self._sampler.tell(trial)
        elif trial.ok:
            self._scored.append(trial)

    def _ranked(self) -> list[Trial]:
        order = aggregate([told.metrics for told in self._scored], self.config.proxies)
        best = sorted(range(len(order)), key=lambda i: -order[i])
        return [self._scored[i] for i in best[: self.config.keep]]

"""Successive halving, asynchronous."""

import random
from bisect import insort
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from ..core.errors import SpecError
from ..core.problem import Problem
from ..core.registry import nearest
from ..core.trial import Proposal, Trial, fidelity_key
from . import STRATEGIES, Accepts, Strategy, StrategyConfig
from .random import RandomSearch
from .sampler import Sampler


@STRATEGIES.register("successive_halving")
class SuccessiveHalving(Strategy):
    """Score many cheaply, the best of them dearly: ASHA (Li et al. 2020, arXiv:1810.05934, Alg. 2).

    Rung 0 is filled by another strategy; whoever is among the best 1/reduction_factor of a rung goes to the next, the
    highest rung first. The top rung is a full evaluation, and the search's best comes from there.
    """

    class Config(StrategyConfig):
        name: Literal["successive_halving"] = "successive_halving"
        fidelity: Annotated[str, Field(description="what a lower rung has less of, e.g. epochs")] = "epochs"
        rungs: Annotated[int, Field(ge=2, le=10, description="fidelities, the last being the full one")] = 3
        reduction_factor: Annotated[int, Field(ge=2, le=100, description="one in so many goes on to the next rung")] = 3
        sampler: Annotated[Sampler, Field(description="the strategy that fills rung 0: random or evolution")] = (
            RandomSearch.Config()
        )

    config: Config

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        if config.fidelity not in problem.fidelity:
            hint = nearest(config.fidelity, problem.fidelity) if problem.fidelity else "this evaluator has none"
            raise SpecError(f"strategy.fidelity: unknown fidelity {config.fidelity!r}; {hint}")
        if problem.fidelity[config.fidelity] <= 0:
            raise SpecError(f"strategy.fidelity: this evaluator has 0 {config.fidelity}, and no rung can have less")
        self.rungs = [{config.fidelity: value} for value in self._values(problem.fidelity[config.fidelity])]
        if len(self.rungs) < 2:
            told = f"{problem.fidelity[config.fidelity]} {config.fidelity}"
            hint = f"raise evaluator.{config.fidelity}, or set strategy.fidelity=data_fraction"
            raise SpecError(f"strategy.fidelity: of {told} no rung can have less; {hint}")
        self._rung_of = {fidelity_key({**problem.fidelity, **rung}): i for i, rung in enumerate(self.rungs)}
        self._told: list[list[Trial]] = [[] for _ in self.rungs]  # the best first
        self._promoted: set[int] = set()
        self._sampled = 0  # trials of rung 0 that were told, which is what the sampler counts by
        self._sampler = STRATEGIES[config.sampler.name](config.sampler, problem)

    def _values(self, full: int | float) -> list[int | float]:
        """Of each rung, the lowest first; a count stays a count of at least 1, and rungs that coincide are one."""
        values = [full / self.config.reduction_factor**k for k in reversed(range(self.config.rungs))]
        return sorted({max(1, round(value)) for value in values}) if isinstance(full, int) else values

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        for rung in reversed(range(1, len(self.rungs))):
            below = self._told[rung - 1]
            for told in islice(below, len(below) // self.config.reduction_factor):
                if told.trial in self._promoted:
                    continue
                promoted = Proposal(told.genotype, self.rungs[rung], parent=told.trial)
                if accepts(promoted):
                    return promoted
        drawn = self._sampler.ask(self._sampled, rng, lambda proposal: accepts(self._lowest(proposal)))
        return drawn and self._lowest(drawn)

    def stranger(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal:
        return self._lowest(Proposal(self.space.sample(rng)))

    def tell(self, trial: Trial) -> None:
        rung = self._rung_of[fidelity_key(trial.fidelity)]
        if trial.ok:
            insort(self._told[rung], trial, key=self.order)
        if rung > 0 and trial.parent is not None:
            self._promoted.add(trial.parent)
        if rung == 0:  # scores of one fidelity only: those of others would not compare
            self._sampled += 1
            self._sampler.tell(trial)

    def _lowest(self, proposal: Proposal) -> Proposal:
        return Proposal(proposal.genotype, self.rungs[0], proposal.parent)

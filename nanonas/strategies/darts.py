"""DARTS: the operations that a supernet has come to prefer."""

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from ..core.genotype import Genotype, Value
from ..core.problem import Problem
from ..core.space import Choice
from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig

SCALES = 60  # random options of the choices that are not learned, for each set of learned ones
DRAWS = 50  # of the learned ones, when the most likely cannot meet the constraints


@STRATEGIES.register("darts")
class DARTS(Strategy):
    """Propose what the supernet prefers after each of its epochs (Liu et al. 2019, arXiv:1806.09055).

    Goes with evaluator supernet, whose metrics tell the share of each option: trial i is epoch i + 1 and proposes what
    epoch i made likely. Differs from the paper: all edges of a cell are kept. What the supernet does not learn (widths,
    depths, residual connections) is the largest of some random draws within the constraints, and when the most likely
    operations cannot meet them, likely ones are drawn. `nanonas.supernet` says how the training differs.
    """

    class Config(StrategyConfig):
        name: Literal["darts"] = "darts"

    one_shot = True

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        self._last: Trial | None = None

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        epoch = trial + 1
        if epoch > self.problem.fidelity.get("epochs", 0):
            return None
        parent = self._last.trial if self._last else None
        proposals = (Proposal(genotype, {"epochs": epoch}, parent) for genotype in self._likely(rng))
        return next((proposal for proposal in proposals if accepts(proposal)), None)

    def tell(self, trial: Trial) -> None:
        if trial.ok:
            self._last = trial

    def _likely(self, rng: random.Random) -> Iterator[Genotype]:
        """The most likely operations first, then drawn ones; of each the largest first."""
        for draw in range(DRAWS):
            open_options = [self._options(choice, rng if draw else None) for choice in self.space.choices]
            scaled = {self.space.genotype([rng.choice(options) for options in open_options]) for _ in range(SCALES)}
            yield from sorted(scaled, key=lambda g: (-self.problem.measure(g).get("params", 0), str(g)))

    def _options(self, choice: Choice, rng: random.Random | None) -> Sequence[Value]:
        """The one option that the supernet prefers, or one drawn by the shares; all where it has no preference."""
        metrics = self._last.metrics if self._last else {}
        shares = [metrics.get(f"{choice.name}={option}", 0.0) for option in choice.options]
        if not any(shares):
            return choice.options
        return rng.choices(choice.options, shares) if rng else [choice.options[shares.index(max(shares))]]

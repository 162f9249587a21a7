"""Random search: the baseline that every other strategy has to beat."""

import random
from typing import Literal

from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig


@STRATEGIES.register("random")
class RandomSearch(Strategy):
    """Every choice drawn uniformly (Li & Talwalkar 2019, arXiv:1902.07638: a strong baseline)."""

    class Config(StrategyConfig):
        name: Literal["random"] = "random"

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal:
        return Proposal(self.space.sample(rng))

    def tell(self, trial: Trial) -> None:
        pass

"""Local search."""

import random
from typing import Literal

from ..core.problem import Problem
from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig


@STRATEGIES.register("local_search")
class LocalSearch(Strategy):
    """Climb to the first better neighbour; where none is better, begin again elsewhere (White et al. 2020,
    arXiv:2005.02960).

    Neighbours differ in one choice and are tried in random order, none twice. With a lookahead above 1 a climb that
    seemed to be over can go on, when one of its last neighbours turns out better. With several objectives the first
    decides.
    """

    class Config(StrategyConfig):
        name: Literal["local_search"] = "local_search"

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        self.places: dict[int, Trial] = {}  # where each climb stands, by the trial that it began with
        self._climb: dict[int, int] = {}  # the climb that a trial belongs to
        self._known: dict[int, int] = {}  # how many neighbours a trial has, where all were refused, which is for good

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        for place in reversed(self.places.values()):
            if place.trial in self._known:
                rng.shuffle([None] * self._known[place.trial])  # draws as one that was resumed and does not know it
                continue
            neighbours = list(self.space.neighbours(place.genotype))
            rng.shuffle(neighbours)
            for genotype in neighbours:
                proposal = Proposal(genotype, parent=place.trial)
                if accepts(proposal):
                    return proposal
            self._known[place.trial] = len(neighbours)
        return Proposal(self.space.sample(rng))

    def tell(self, trial: Trial) -> None:
        if not trial.ok:
            return
        climb = trial.trial if trial.parent is None else self._climb.get(trial.parent, trial.trial)
        self._climb[trial.trial] = climb
        place = self.places.get(climb)
        if place is None or self.scores(trial) > self.scores(place):
            self.places[climb] = trial

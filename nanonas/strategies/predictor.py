"""Search guided by a predictor of the score: our own."""

import math
import random
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.genotype import Genotype
from ..core.pareto import front
from ..core.pareto import scores as scores_of
from ..core.problem import Problem, measures
from ..core.ranking import ranks_of
from ..core.space import SearchSpace
from ..core.trial import Proposal, Trial
from . import STRATEGIES, Accepts, Strategy, StrategyConfig

PARENTS = 5  # of candidates: the best so far; where there are costs, the front
BUDGETS = 4  # of costs, within which a candidate is held against what is known: few, so that trials aim at various ones
UNBOUND = 0.2  # share of the budgets in which anything fits
MODELS = 40  # draws of the hyperparameters, weighted by how well they explain the scores
MEMORY = 200  # trials that the predictor knows: half of them the best, half the latest; and a whole front
NEGLIGIBLE = 1e-4  # a draw whose share in the average is smaller is left out
NOISE_FLOOR = 1e-5

Array = NDArray[Any]
Alike = tuple[Array, Array, Array]


@STRATEGIES.register("predictor")
class Predictor(Strategy):
    """Evaluate the candidate of largest expected improvement under a Gaussian process (after BANANAS, White et al.
    2021, arXiv:1910.11858, and NAS-BOWL, Ru et al. 2021, arXiv:2006.07556).

    Three kernels are added: features in common (`space.features`; Jaccard), choices in common, and how often each
    option is chosen. Differs from the papers: scores enter as normal quantiles of their ranks, so that failures and
    lucky scores cannot distort them; and the expected improvement is averaged over draws of the hyperparameters from a
    broad prior, weighted by their likelihood (Snoek et al. 2012, arXiv:1206.2944, section 3.2), instead of trusting one
    fit to a few points. Nothing is known of any operation beforehand.

    With several objectives the first that needs an evaluation is predicted, and the measures among the others are
    costs, known beforehand: a candidate's gain is what it is expected to add to the best score within a budget, summed
    over a few budgets that each trial draws from the range of all costs and somewhat beyond. Over many budgets that is
    the expected gain in hypervolume (Emmerich et al. 2006, doi:10.1109/TEVC.2005.859463) where only one objective is
    uncertain, and a search that follows it neglects the dear end of the front; a few are a random scalarization (Paria
    et al. 2020, arXiv:1805.12168). Scores count in quantiles of their ranks. Without a measure among the objectives the
    first decides.
    """

    class Config(StrategyConfig):
        name: Literal["predictor"] = "predictor"
        initial: Annotated[int, Field(ge=2, description="random trials before the first prediction")] = 5
        candidates: Annotated[
            int, Field(ge=5, description="of each kind: neighbours of the best, distant relatives of them, strangers")
        ] = 200

    config: Config

    def __init__(self, config: Config, problem: Problem) -> None:
        super().__init__(config, problem)
        self.told: list[Trial] = []
        self._best: list[Trial] = []  # all that did not fail, the best first
        self._front: list[Trial] = []  # where there are costs
        wanted, known = problem.objectives, measures(type(problem.space))
        self._costs = {name: wanted[name] for name in wanted if name in known} if len(wanted) > 1 else {}
        self._target = next((i for i, name in enumerate(wanted) if name not in self._costs), 0)
        self._cost = lru_cache(maxsize=8192)(self._measured)
        self._encoder = _Encoder(problem.space)

    def ask(self, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        known = self._remembered()
        scores = [self.scores(told)[self._target] if told.ok else -math.inf for told in known]
        if trial >= self.config.initial and len(set(scores)) > 1:  # equal scores teach nothing
            candidates = [proposal for proposal in self._candidates(rng) if accepts(proposal)]
            if candidates:
                gain = self._gain([told.genotype for told in known], scores, [p.genotype for p in candidates], rng)
                return candidates[int(np.argmax(gain))]
        return self.draw(rng, accepts)

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)
        if trial.ok:
            insort(self._best, trial, key=lambda one: (-self.scores(one)[self._target], *self.order(one)))
            if self._costs:
                self._front = front([*self._front, trial], self.problem.objectives)

    def _remembered(self) -> list[Trial]:
        """The front (of one longer than MEMORY every second, third, … and the last), then the best, then the latest."""
        step = max(1, math.ceil(len(self._front) / MEMORY))
        best = {trial.trial: trial for trial in [*self._front[::step], *self._front[-1:]]}
        others = (trial for trial in self._best if trial.trial not in best)
        best |= {trial.trial: trial for trial in islice(others, max(0, MEMORY // 2 - len(best)))}
        latest = islice((trial for trial in reversed(self.told) if trial.trial not in best), MEMORY // 2)
        return [*best.values(), *latest]

    def _candidates(self, rng: random.Random) -> list[Proposal]:
        """Neighbours of the best or of the front, more distant relatives, and strangers; each architecture once."""
        parents, count = self._front or self._best[:PARENTS], self.config.candidates
        near = [Proposal(g, parent=parent.trial) for parent in parents for g in self.space.neighbours(parent.genotype)]
        found = {proposal.genotype: proposal for proposal in rng.sample(near, min(count, len(near)))}
        for proposal in self._relatives(parents, rng):
            found.setdefault(proposal.genotype, proposal)
        for _ in range(count):
            genotype = self.space.sample(rng)  # who is chosen among strangers is no random sample any more
            found.setdefault(genotype, Proposal(genotype, parent=parents[0].trial))
        return list(found.values())

    def _relatives(self, parents: Sequence[Trial], rng: random.Random) -> Iterator[Proposal]:
        """Mutants of the best; of a front, whose members are good in different ways, children too."""
        if self._front:
            for _ in range(self.config.candidates):
                yield self.offspring(lambda: rng.choice(parents), 0.5, rng, rng.choice((1, 2, 3)))
            return
        for parent in parents:
            for _ in range(self.config.candidates // PARENTS):
                genotype = parent.genotype
                for _ in range(rng.choice((2, 3))):
                    genotype = self.space.mutate(genotype, rng)
                yield Proposal(genotype, parent=parent.trial)

    def _gain(
        self, known: list[Genotype], scores: list[float], candidates: list[Genotype], rng: random.Random
    ) -> Array:
        """(candidates,) of expected improvement over the best known, within each budget, in normal quantiles."""
        alike = self._encoder.compare(known, known), self._encoder.compare(known, candidates)
        draw = np.random.default_rng(rng.getrandbits(64))
        levels = quantiles(scores)
        if not self._costs:
            return expected_improvement(*alike, levels, draw, levels.max(keepdims=True), np.ones((1, len(candidates))))
        spent, asked = (np.array([self._cost(g) for g in genotypes]) for genotypes in (known, candidates))
        low, high = (bound(np.concatenate([spent, asked]), axis=0) for bound in (np.min, np.max))
        beyond = 1 / (1 - UNBOUND ** (1 / len(self._costs)))
        budgets = low + beyond * (high - low) * draw.random((BUDGETS, len(self._costs)))
        within, fits = ((budgets[:, None] >= costs[None]).all(2) for costs in (spent, asked))
        best = np.where(within, levels[None], levels.min()).max(1)
        rivals, place = np.unique(best, return_inverse=True)
        counts = np.zeros((len(rivals), len(candidates)))
        np.add.at(counts, place, fits)
        return expected_improvement(*alike, levels, draw, rivals, counts)

    def _measured(self, genotype: Genotype) -> tuple[float, ...]:
        """The costs, smaller is better, whatever an evaluation said of them."""
        return tuple(-score for score in scores_of(self.problem.measure(genotype, self._costs), self._costs))


@dataclass(frozen=True)
class _Code:
    """A genotype for the kernels: its features, its choices as numbers, how often it takes each option."""

    features: frozenset[str]
    choices: Array
    counts: Array


class _Encoder:
    """Genotypes as codes, and how alike two of them are in three ways."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        options = dict.fromkeys(repr(option) for choice in space.choices for option in choice.options)
        self._options = {option: i for i, option in enumerate(options)}
        self.code = lru_cache(maxsize=8192)(self._code)

    def _code(self, genotype: Genotype) -> _Code:
        choices = np.array([self._options[repr(value)] for value in genotype.values])
        counts = np.bincount(choices, minlength=len(self._options)).astype(float)
        return _Code(self.space.features(genotype), choices, counts)

    def compare(self, first: Sequence[Genotype], second: Sequence[Genotype]) -> Alike:
        """(first, second) each: the Jaccard similarity of features, choices that differ, squared distance of counts."""
        old, new = [self.code(genotype) for genotype in first], [self.code(genotype) for genotype in second]
        names = {name: i for i, name in enumerate(sorted(frozenset().union(*(code.features for code in old))))}
        common = _bags(old, names) @ _bags(new, names).T
        sizes = [np.array([len(code.features) for code in codes], dtype=float) for codes in (old, new)]
        either = sizes[0][:, None] + sizes[1][None] - common
        counts = [np.array([code.counts for code in codes]) for codes in (old, new)]
        choices = [np.array([code.choices for code in codes]) for codes in (old, new)]
        differing = np.zeros(common.shape)
        for one, other in zip(choices[0].T, choices[1].T, strict=True):
            differing += one[:, None] != other[None]
        return (
            np.where(either > 0, common / np.maximum(either, 1), 1.0),
            differing,
            (counts[0] ** 2).sum(1)[:, None] + (counts[1] ** 2).sum(1)[None] - 2 * counts[0] @ counts[1].T,
        )


def _bags(codes: Sequence[_Code], names: Mapping[str, int]) -> Array:
    """(codes, names): 1 where a code has a feature. Features outside `names` are left out: nothing shares them."""
    bags = np.zeros((len(codes), len(names)), dtype=np.float32)
    for row, code in zip(bags, codes, strict=True):
        row[[names[name] for name in code.features if name in names]] = 1
    return bags


def quantiles(scores: Sequence[float]) -> Array:
    """Ranks as quantiles of the normal distribution, mean 0; equal scores share theirs."""
    ranks = np.array(ranks_of(scores))
    inverse = NormalDist().inv_cdf
    values = np.array([inverse(1 - (rank - 0.5) / len(ranks)) for rank in ranks])
    centred: Array = values - values.mean()
    return centred


def expected_improvement(
    known: Alike, new: Alike, scores: Array, draw: np.random.Generator, rivals: Array, counts: Array
) -> Array:
    """Of each new point over scores that it is held against, averaged over Gaussian processes weighted by likelihood.

    Args:
        known: similarities of the points that have scores (n, n); new: between those and the new points (n, m).
        rivals: the scores to improve on (r,); counts: how much each of them counts for each new point (r, m).
    """
    n = len(scores)
    draws = [_Draw.of(draw) for _ in range(MODELS)]
    fitted = [one.fit(known, scores) for one in draws]
    weights = np.exp([likelihood - max(f[0] for f in fitted) for likelihood, *_ in fitted])
    weights /= weights.sum()
    total: Array = np.zeros(new[0].shape[1])
    for one, (_, factor, whitened), weight in zip(draws, fitted, weights, strict=True):
        if weight > NEGLIGIBLE:
            cross = np.linalg.inv(factor) @ one.kernel(new)
            scale = whitened @ whitened / n
            deviation = np.sqrt(scale * np.maximum(1 - (cross**2).sum(0), 1e-9))
            z = (whitened @ cross - rivals[:, None]) / deviation
            gain = weight * deviation * (z * _normal_cdf(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
            total += (counts * gain).sum(0)
    return total


@dataclass(frozen=True)
class _Draw:
    """Hyperparameters of the process: how much each kernel counts, how far two of them reach, and the noise."""

    share: Array
    reach: Array
    noise: float

    @classmethod
    def of(cls, draw: np.random.Generator) -> "_Draw":
        share = np.exp(draw.normal(0, 1.5, 3))
        reach = np.exp(draw.normal(0.3, 0.7, 2))
        return cls(share / share.sum(), reach, math.exp(draw.normal(-3.5, 1.5)) + NOISE_FLOOR)

    def kernel(self, alike: Alike) -> Array:
        features, choices, counts = alike
        kernel: Array = self.share[0] * features
        kernel = kernel + self.share[1] * np.exp(-choices / (2 * self.reach[0] ** 2))
        kernel = kernel + self.share[2] * np.exp(-counts / (4 * self.reach[1] ** 2))
        return kernel

    def fit(self, known: Alike, scores: Array) -> tuple[float, Array, Array]:
        """The log-likelihood at the best scale, the Cholesky factor (n, n), and the whitened scores (n,)."""
        n = len(scores)
        factor = np.linalg.cholesky(self.kernel(known) + self.noise * np.eye(n))
        whitened = np.linalg.solve(factor, scores)
        return -0.5 * n * math.log(whitened @ whitened / n) - np.log(np.diag(factor)).sum(), factor, whitened


def _normal_cdf(z: Array) -> Array:
    """Within 1e-7 (Abramowitz & Stegun 1964, 26.2.17); scipy takes longer to import than a search of a table."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) * series
    return np.where(z >= 0, 1 - tail, tail)

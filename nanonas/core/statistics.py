"""Statistics of compare: means with intervals, and tests between groups of seeds.

scipy.stats is imported where it is used: it costs half a second, and most commands need none of it.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

K = TypeVar("K", bound=Hashable)

ALPHA = 0.05
Z = 1.959964  # the normal distribution's 97.5 % quantile
NO_SPREAD = 1e-9  # relative: what rounding leaves of a spread of zero
PERMUTATIONS = 99_999  # a test is exact while there are no more; otherwise so many are drawn
RESAMPLES = 9_999  # of the bootstrap
TOO_MANY = "no number of seeds can show a difference between so many groups; compare fewer"
SEED = 0  # of both: the same runs always give the same document


@dataclass(frozen=True)
class Estimate:
    """A mean with its uncertainty.

    Attributes:
        std: of the sample (n − 1); None when n is 1.
        interval: of the mean, by Student's t; None when n is 1. That of an accuracy may reach beyond 1.
        bootstrap: of the mean too, from resampled values (BCa, Efron 1987); None without spread. It assumes no
            distribution, and is too narrow for few values (benchmarks/significance.py measures by how much), so that
            tables and verdicts have `interval`.
    """

    n: int
    mean: float
    std: float | None
    interval: tuple[float, float] | None
    bootstrap: tuple[float, float] | None


@dataclass(frozen=True)
class Test:
    """What is known of the difference between two groups.

    Attributes:
        method: the permutation test that gave `p`.
        difference: mean of the first − mean of the second.
        interval: of the difference, by Student's t of paired seeds or by Welch's t; None when there is no spread to
            tell it from.
        p: two-sided, not adjusted.
        least_p: the smallest p that so many seeds can give.
        t_p: that of the t test which `interval` goes with, beside p; None when there is no spread.
        effect_size: Hedges' g, by the pooled std of both groups, also when paired; None when that is zero.
        n: seeds of the first and of the second.
    """

    method: str
    paired: bool
    n: tuple[int, int]
    difference: float
    interval: tuple[float, float] | None
    p: float
    least_p: float
    t_p: float | None
    effect_size: float | None


def mean_and_interval(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Raises ValueError when there is no value, or one that is not finite."""
    values = _finite(values)
    n, mean = len(values), fmean(values)
    if n == 1:
        return Estimate(1, mean, None, None, None)
    std = math.sqrt(_variance(values))
    half = _quantile(n - 1, confidence) * std / math.sqrt(n)
    return Estimate(n, mean, std, (mean - half, mean + half), _bootstrap(values, confidence) if std else None)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, spread = successes / n, Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def compare_groups(a: Mapping[K, float], b: Mapping[K, float], confidence: float = 0.95) -> Test:
    """A permutation test of the means (Fisher 1935): paired, which flips the signs of the differences, when both
    groups have the same seeds (the keys); otherwise one that deals the values out to the groups anew.

    It is exact, and assumes no distribution: where both groups are alike, p is below .05 in at most 5 % of all
    comparisons, however few the seeds. The price is that few seeds cannot show anything (`seeds_needed`), where a t
    test of three could by assuming that accuracies are normal.

    Where the spread of both groups is zero, p is 1 and there is no interval: values that repeat exactly come from a
    coarse measure (an accuracy on 360 images) or from runs that are not independent. They say nothing of the noise,
    so nothing can be shown with them.

    Raises:
        ValueError: a group has fewer than 2 seeds, or a value that is not finite.
    """
    first, second = _finite(list(a.values())), _finite(list(b.values()))
    n = len(first), len(second)
    if min(n) < 2:
        raise ValueError(f"a test needs at least 2 seeds in each group, not {n[0]} and {n[1]}")
    difference = fmean(first) - fmean(second)
    variances = _variance(first), _variance(second)
    pooled = ((n[0] - 1) * variances[0] + (n[1] - 1) * variances[1]) / (sum(n) - 2)
    correction = 1 - 3 / (4 * (sum(n) - 2) - 1)  # Hedges 1981: g is too large in small samples
    effect_size = correction * difference / math.sqrt(pooled) if pooled else None
    paired = a.keys() == b.keys()
    least = least_p(paired, n)
    if not pooled:
        return Test("none: no spread within the groups", paired, n, difference, None, 1.0, least, None, None)

    p = _paired_p([a[seed] - b[seed] for seed in a]) if paired else _unpaired_p(first, second)
    largest = max(map(abs, [*first, *second]))
    paired_variance = _variance([a[seed] - b[seed] for seed in a], largest) if paired else 0.0
    if paired_variance:
        freedom, error = float(n[0] - 1), math.sqrt(paired_variance / n[0])
    else:
        parts = variances[0] / n[0], variances[1] / n[1]
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n[0] - 1) + parts[1] ** 2 / (n[1] - 1))  # Welch–Satterthwaite
        error = math.sqrt(sum(parts))
    half = _quantile(freedom, confidence) * error
    interval = difference - half, difference + half
    exact = "exact " if _permutations(paired, n) <= PERMUTATIONS else ""
    method = f"{exact}{'paired ' if paired else ''}permutation test"
    t_p = _two_sided(freedom, difference / error)
    return Test(method, paired, n, difference, interval, p, least, t_p, effect_size)


def least_p(paired: bool, n: tuple[int, int]) -> float:
    """The smallest two-sided p of a permutation test of groups of this size."""
    return 2 / min(_permutations(paired, n), PERMUTATIONS + 1)


def tests_among(groups: int) -> int:
    """How many pairs of so many groups are tested, which is what Holm's correction counts; at least one."""
    return max(1, math.comb(groups, 2))


def seeds_needed(paired: bool, tests: int = 1) -> int | None:
    """The fewest seeds in each group with which a difference can be shown, in the first of so many tests after Holm.

    None where no number is enough: from 72 groups on, since p is told from PERMUTATIONS and no more.
    """
    return next((n for n in range(2, 100) if tests * least_p(paired, (n, n)) < ALPHA), None)


def _permutations(paired: bool, n: tuple[int, int]) -> int:
    """How many ways there are to flip signs, or to deal the values out."""
    return 2 ** n[0] if paired else math.comb(sum(n), n[0])


def _paired_p(differences: Sequence[float]) -> float:
    from scipy.stats import permutation_test

    def mean(values: "np.ndarray", axis: int) -> "np.ndarray":
        found: np.ndarray = values.mean(axis=axis)
        return found

    found = permutation_test(
        (differences,), mean, permutation_type="samples", vectorized=True, n_resamples=PERMUTATIONS, rng=SEED
    )
    return float(found.pvalue)


def _unpaired_p(first: Sequence[float], second: Sequence[float]) -> float:
    from scipy.stats import permutation_test

    def difference(a: "np.ndarray", b: "np.ndarray", axis: int) -> "np.ndarray":
        found: np.ndarray = a.mean(axis=axis) - b.mean(axis=axis)
        return found

    found = permutation_test((first, second), difference, vectorized=True, n_resamples=PERMUTATIONS, rng=SEED)
    return float(found.pvalue)


def _bootstrap(values: Sequence[float], confidence: float) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap((values,), np.mean, confidence_level=confidence, n_resamples=RESAMPLES, method="BCa", rng=SEED)
    low, high = found.confidence_interval
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given (Holm 1979): they bound the chance of one false claim among all."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def pairwise(groups: Mapping[str, Mapping[K, float]]) -> list[dict[str, Any]]:
    """A test of test_accuracy for every pair of groups with at least 2 seeds each; `p_adjusted` is p after Holm."""
    large = {name: values for name, values in groups.items() if len(values) > 1}
    tests = [
        {"a": a, "b": b, "metric": "test_accuracy", **asdict(compare_groups(large[a], large[b]))}
        for a, b in combinations(large, 2)
    ]
    adjusted = holm([test["p"] for test in tests])
    return [test | {"p_adjusted": p} for test, p in zip(tests, adjusted, strict=True)]


def _finite(values: Sequence[float]) -> Sequence[float]:
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"needs values that are all finite numbers, not {list(values)}")
    return values


def _variance(values: Sequence[float], scale: float | None = None) -> float:
    """Of the sample; exactly zero when it is no more than rounding of numbers as large as `scale`."""
    spread = variance(values)
    scale = max(map(abs, values)) if scale is None else scale
    return spread if math.sqrt(spread) > NO_SPREAD * scale else 0.0


def _quantile(freedom: float, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def _two_sided(freedom: float, t: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))

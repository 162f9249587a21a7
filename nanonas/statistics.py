"""Statistics of compare: means with intervals, tests between groups of seeds, and how both are written.

Student's t comes from scipy.special, imported where it is used: scipy.stats costs 0.9 s, most commands need neither.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean, variance
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)

ALPHA = 0.05
NO_SPREAD = 1e-9  # relative: what rounding leaves of a spread of zero


@dataclass(frozen=True)
class Estimate:
    """A mean with its uncertainty.

    Attributes:
        std: of the sample (n − 1); None when n is 1.
        interval: of the mean, by Student's t; None when n is 1. That of an accuracy may reach beyond 1.
    """

    n: int
    mean: float
    std: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Test:
    """What is known of the difference between two groups.

    Attributes:
        difference: mean of the first − mean of the second.
        interval: of the difference; None when there is no spread to tell it from.
        p: two-sided, not adjusted.
        effect_size: Hedges' g, by the pooled std of both groups, also when paired; None when that is zero.
        n: seeds of the first and of the second.
    """

    method: str
    paired: bool
    n: tuple[int, int]
    difference: float
    interval: tuple[float, float] | None
    p: float
    effect_size: float | None


def mean_and_interval(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Raises ValueError when there is no value, or one that is not finite."""
    values = _finite(values)
    n, mean = len(values), fmean(values)
    if n == 1:
        return Estimate(1, mean, None, None)
    std = math.sqrt(_variance(values))
    half = _quantile(n - 1, confidence) * std / math.sqrt(n)
    return Estimate(n, mean, std, (mean - half, mean + half))


def compare_groups(a: Mapping[K, float], b: Mapping[K, float], confidence: float = 0.95) -> Test:
    """A paired t-test when both groups have the same seeds (the keys), Welch's t-test otherwise.

    Where the spread of the paired differences is zero, Welch's test is taken. Where that of both groups is zero too,
    p is 1 and there is no interval: values that repeat exactly come from a coarse measure (an accuracy on 360 images)
    or from runs that are not independent. They say nothing of the noise, so nothing can be shown with them.

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

    largest = max(map(abs, [*first, *second]))
    paired_variance = _variance([a[seed] - b[seed] for seed in a], largest) if a.keys() == b.keys() else 0.0
    paired = paired_variance > 0
    if paired:
        freedom, error = float(n[0] - 1), math.sqrt(paired_variance / n[0])
    elif pooled:
        parts = variances[0] / n[0], variances[1] / n[1]
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n[0] - 1) + parts[1] ** 2 / (n[1] - 1))  # Welch–Satterthwaite
        error = math.sqrt(sum(parts))
    else:
        return Test("none: no spread within the groups", False, n, difference, None, 1.0, None)
    half = _quantile(freedom, confidence) * error
    p = _two_sided(freedom, difference / error)
    method = "paired t" if paired else "Welch's t"
    return Test(method, paired, n, difference, (difference - half, difference + half), p, effect_size)


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


# How it is written. Groups and tests are entries of the document of compare, whose accuracies are fractions.


def verdict(groups: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]], comparable: bool = True) -> str:
    """In words; a winner is named only where the test, adjusted by Holm, supports it.

    Args:
        comparable: whether all groups were measured on the same data.
    """
    measured = [group for group in groups if group["test_accuracy"]]
    if not measured:
        return "nothing to compare: no run has a test accuracy yet; nanonas train RUN measures it"
    if len(groups) == 1:
        return f"{groups[0]['name']}: test accuracy {percent(measured[0]['test_accuracy'], with_interval=True)}"
    if not comparable:
        return "no winner named: the groups' data differ, so that their accuracies are not comparable"
    if len(measured) == 1:
        return f"no winner named: only {measured[0]['name']} has a test accuracy; nanonas train RUN measures it"
    if not tests:
        sizes = " and ".join(str(group["test_accuracy"]["n"]) for group in measured)
        seeds = {run["seed"] for group in measured for run in group["runs"]}
        unused = next(seed for seed in range(len(seeds) + 1) if seed not in seeds)
        return (
            f"no winner named: a test needs at least 2 seeds in each group (n={sizes}); repeat with --set seed={unused}"
        )
    return _winner(measured, tests)


def _winner(measured: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]]) -> str:
    """The group with the best mean against every other that was tested."""
    tested = {name for test in tests for name in (test["a"], test["b"])}
    untested = [group["name"] for group in measured if group["name"] not in tested]
    rest = f"; not tested, having fewer than 2 seeds: {', '.join(untested)}" if untested else ""
    best = max(
        (group for group in measured if group["name"] in tested), key=lambda group: group["test_accuracy"]["mean"]
    )
    decisive = [test for test in tests if best["name"] in (test["a"], test["b"])]
    found = "; ".join(sentence(test, len(tests) > 1) for test in decisive) + rest
    return found if len(decisive) == 1 or all(map(is_shown, decisive)) else f"no winner named: {found}"


def is_shown(test: Mapping[str, Any]) -> bool:
    return bool(test["p_adjusted"] < ALPHA)


def sentence(test: Mapping[str, Any], several: bool) -> str:
    """`a is better than b: +1.20 points (95 % interval 0.40 to 2.00, n=5 and 5, Welch's t, p=0.012)`.

    Args:
        several: whether there are more tests, so that p was adjusted.
    """
    sign = 1 if test["difference"] >= 0 else -1
    better, worse = (test["a"], test["b"])[::sign]
    sizes = " and ".join(map(str, test["n"][::sign]))
    if test["interval"] is None:
        known = (
            f"n={sizes}, {points(sign * test['difference'], '+')} points, no spread within the groups to judge it by"
        )
        return f"no difference shown between {better} and {worse} ({known})"
    low, high = sorted(sign * end for end in test["interval"])
    interval = f"95 % interval {points(low)} to {points(high)}"
    p = p_text(test["p_adjusted"]) + (" after Holm" if several else "")
    if is_shown(test):
        gain = points(sign * test["difference"], "+")
        return f"{better} is better than {worse}: {gain} points ({interval}, n={sizes}, {test['method']}, {p})"
    return f"no difference shown between {better} and {worse} (n={sizes}, {interval} points, {test['method']}, {p})"


def percent(estimate: Mapping[str, Any] | None, with_interval: bool = False) -> str:
    """`93.42 ± 0.11 % (n=3)`."""
    if estimate is None:
        return "–"
    mean, spread = f"{estimate['mean'] * 100:.2f}", ""
    if estimate["std"] is None:
        return f"{mean} % (n={estimate['n']})"
    if with_interval:
        spread = f", 95 % interval {points(estimate['interval'][0])} to {points(estimate['interval'][1])}"
    return f"{mean} ± {estimate['std'] * 100:.2f} % (n={estimate['n']}{spread})"


def cells(group: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table, by title; what is no accuracy is a mean: `1.29 M`, `0.52 ms`, `12.5 min`."""

    def mean(measure: str, write: Callable[[float], str]) -> str:
        return write(group[measure]["mean"]) if group[measure] else "–"

    return {
        "group": group["name"],
        "test accuracy": percent(group["test_accuracy"]),
        "validation accuracy": percent(group["val_accuracy"]),
        "params": mean("params", count),
        "MACs": mean("macs", count),
        "latency": mean("latency_ms", lambda value: f"{three_digits(value)} ms"),
        "trials": mean("trials", count),
        "search": mean("search_seconds", duration),
        "train": mean("train_seconds", duration),
    }


def count(value: float) -> str:
    """`1.29 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if value >= 0.9995 * size:
            return f"{three_digits(value / size)} {unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """`42.0 s`, `12.5 min`, `3.10 h`."""
    if seconds < 120:
        return f"{three_digits(seconds)} s"
    return f"{three_digits(seconds / 60)} min" if seconds < 7200 else f"{three_digits(seconds / 3600)} h"


def three_digits(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def points(fraction: float, sign: str = "") -> str:
    """A difference of fractions in percentage points, with a real minus."""
    return f"{fraction * 100:{sign}.2f}".replace("-0.00", "0.00").replace("-", "−")


def p_text(p: float) -> str:
    return "p<0.001" if p < 0.001 else f"p={p:.3g}"

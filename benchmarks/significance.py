"""Can the statistics of compare be trusted? Agreement with scipy, false positives, power, coverage of intervals.

    python benchmarks/significance.py

Groups of seeds are drawn from known distributions: accuracies that are normal, that are skewed (most runs do well, some
badly), and that are coarse (right answers on 360 test images). Of 1,000 pairs of groups each:

- agreement: how far p is from an enumeration in numpy, t_p and the interval from those of scipy's t tests, at most.
- false positives: both groups come from one distribution; how often p < .05 says that they differ.
- power: the means are `effect` standard deviations apart; how often p < .05 says so.
- coverage: how often the 95 % interval of a mean, by Student's t and by bootstrap, holds the true mean.

Five minutes on one core. Appends to benchmarks/results/significance.json.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np
from common import Record
from scipy import stats

from nanonas.core.statistics import ALPHA, Test, compare_groups, mean_and_interval

RECORD = Record("significance")
PAIRS = 1_000
STD, CENTRE = 0.005, 0.9
IMAGES = 360
SIZES = {True: (3, 5, 6, 8, 10), False: (3, 4, 5, 6)}
EFFECTS = (0.5, 1.0, 1.5, 2.0, 3.0)

Draw = Callable[[np.random.Generator, int], np.ndarray]
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(CENTRE, STD, n),
    "skewed": lambda rng, n: CENTRE + STD - rng.exponential(STD, n),
    "coarse": lambda rng, n: rng.binomial(IMAGES, CENTRE, n) / IMAGES,
}


def pairs(draw: Draw, n: int, shift: float = 0.0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    for _ in range(PAIRS):
        yield draw(rng, n) + shift, draw(rng, n)


def tested(a: np.ndarray, b: np.ndarray, paired: bool) -> Test:
    seeds = range(0 if paired else len(a), len(b) + (0 if paired else len(a)))
    return compare_groups(dict(enumerate(a.tolist())), dict(zip(seeds, b.tolist(), strict=True)))


def enumerated(a: np.ndarray, b: np.ndarray, paired: bool) -> float:
    """p of the permutation test, by going through all permutations."""
    observed = a.mean() - b.mean()
    if paired:
        signs = np.array(list(product((1, -1), repeat=len(a))))
        found = (signs * (a - b)).mean(axis=1)
    else:
        both = np.concatenate([a, b])
        dealt = [np.isin(np.arange(len(both)), chosen) for chosen in combinations(range(len(both)), len(a))]
        found = np.array([both[first].mean() - both[~first].mean() for first in dealt])
    tails = (found >= observed - 1e-12).mean(), (found <= observed + 1e-12).mean()
    return float(min(1.0, 2 * min(tails)))


def agreement(paired: bool) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    apart = {"p": 0.0, "t_p": 0.0, "interval": 0.0}
    for _ in range(PAIRS):
        n = int(rng.integers(2, 8))
        a, b = rng.normal(CENTRE, STD, n), rng.normal(CENTRE, 2 * STD, n)
        ours = tested(a, b, paired)
        theirs = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
        assert ours.t_p is not None and ours.interval is not None
        low, high = theirs.confidence_interval(0.95)
        distances = {
            "p": ours.p - enumerated(a, b, paired),
            "t_p": ours.t_p - theirs.pvalue,
            "interval": max(abs(ours.interval[0] - low), abs(ours.interval[1] - high)),
        }
        apart = {name: max(apart[name], abs(float(distances[name]))) for name in apart}
    return apart


def rates(draw: Draw, paired: bool, n: int, shift: float = 0.0) -> dict[str, Any]:
    found = [tested(a, b, paired) for a, b in pairs(draw, n, shift)]
    t_values = [1.0 if test.t_p is None else test.t_p for test in found]
    return {"permutation": share(test.p < ALPHA for test in found), "t": share(p < ALPHA for p in t_values)}


def coverage(draw: Draw, n: int) -> dict[str, Any]:
    """Where values without spread give no interval, it does not hold the mean either."""
    estimates = [mean_and_interval(a.tolist()) for a, _ in pairs(draw, n)]
    return {"t": share(holds(e.interval) for e in estimates), "bootstrap": share(holds(e.bootstrap) for e in estimates)}


def holds(interval: tuple[float, float] | None) -> bool:
    return interval is not None and interval[0] <= CENTRE <= interval[1]


def share(hits: Iterable[bool]) -> float:
    return sum(hits) / PAIRS


def measure(work: Callable[[], dict[str, Any]], **fields: Any) -> None:
    if not RECORD.has(**fields):
        RECORD.append(fields | {"pairs": PAIRS} | work())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    for paired, sizes in SIZES.items():
        measure(partial(agreement, paired), what="agreement", paired=paired)
        for n in sizes:
            for name, draw in DISTRIBUTIONS.items():
                measure(partial(rates, draw, paired, n), what="false positives", distribution=name, paired=paired, n=n)
            for effect in EFFECTS:
                work = partial(rates, DISTRIBUTIONS["normal"], paired, n, effect * STD)
                measure(work, what="power", effect=effect, paired=paired, n=n)
    for n in (3, 5, 10, 20):
        for name, draw in DISTRIBUTIONS.items():
            measure(partial(coverage, draw, n), what="coverage", distribution=name, n=n)
    for row in RECORD.rows():
        print(
            ", ".join(
                f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )
    noise = 1.96 * math.sqrt(ALPHA * (1 - ALPHA) / PAIRS)
    print(f"a rate of 5 % is seen between {ALPHA - noise:.3f} and {ALPHA + noise:.3f} in 95 % of such experiments")


if __name__ == "__main__":
    main()

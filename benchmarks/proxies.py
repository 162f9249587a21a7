"""Training-free scores of real networks against what the networks reached: which aggregation of ranks works best?

    python benchmarks/proxies.py --table cells.csv --images cifar10-jpeg [--cells 500]

A random search with evaluator proxy scores different cells of NAS-Bench-201, networks as published, on one batch of
CIFAR-10 training images. Prints Kendall's τ against val_accuracy_12 and test_accuracy_200, with the bootstrap 95 %
interval of the latter, of each proxy alone and of each set of them, aggregated in three ways; `nanonas.ranking` has the
one that we use. Scores are appended to benchmarks/results/proxies.json, a row a cell; what the cells reached stays in
the table.
"""

import argparse
import csv
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

from common import Record

from nanonas import load_spec, search
from nanonas.core.ranking import aggregate, kendall, ranks_of

Scores = Mapping[str, float]
RECORD = Record("proxies")
NAMES = ("params", "macs", "jacov", "synflow", "naswot")
RESAMPLES = 200


def by_ranks(transform: Callable[[float, int], float], scores: Sequence[Scores], names: Sequence[str]) -> list[float]:
    """The mean of transformed ranks, 1 being the best; larger is better."""
    ranks = [ranks_of([score[name] for score in scores]) for name in names]
    return [sum(transform(rank[i], len(scores)) for rank in ranks) / len(names) for i in range(len(scores))]


WAYS: dict[str, Callable[[Sequence[Scores], Sequence[str]], list[float]]] = {
    "log of ranks from the worst (ours)": aggregate,
    "log of ranks from the best": partial(by_ranks, lambda rank, n: -math.log(rank)),
    "mean rank": partial(by_ranks, lambda rank, n: -rank),
}


def measure(images: Path, cells: int) -> None:
    """Scores more cells, until there are so many; the seed counts on, so that a second run finds others."""
    known = {row["cell"] for row in RECORD.rows()}
    spec = load_spec(
        "nasbench201",
        [
            "evaluator={name: proxy}",
            "objectives={naswot: maximize}",
            "strategy={name: random}",
            "executor={name: processes, lookahead: 4}",
            f"seed={len(known)}",
            f"budget.trials={cells - len(known)}",
            "data.name=folder",
            f"data.root={images}",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        for trial in search(spec, Path(folder) / "run"):
            if trial.trial % 50 == 0:
                print(f"{len(known) + trial.trial} of {cells} cells", file=sys.stderr)
            if trial.ok and str(trial.genotype) not in known:
                RECORD.append({"cell": str(trial.genotype)} | {name: trial.metrics[name] for name in NAMES})


def agreements(table: Path) -> Iterator[tuple[float, str]]:
    """(τ, a line) for every set of proxies."""
    with table.open(newline="") as file:
        reached = {row["cell"]: row for row in csv.DictReader(file)}
    rows = RECORD.rows()
    validation = [float(reached[row["cell"]]["val_accuracy_12"]) for row in rows]
    test = [float(reached[row["cell"]]["test_accuracy_200"]) for row in rows]
    rng = random.Random(0)
    samples = [rng.choices(range(len(rows)), k=len(rows)) for _ in range(RESAMPLES)]
    for size in range(1, len(NAMES) + 1):
        for names in combinations(NAMES, size):
            for way, combined in WAYS.items() if size > 1 else [("", aggregate)]:
                score = combined(rows, names)
                low, high = interval(score, test, samples)
                taus = kendall(score, validation) or 0.0, kendall(score, test) or 0.0
                what = f"{' + '.join(names)} | {way}"
                yield taus[1], f"| {what} | {taus[0]:.3f} | {taus[1]:.3f} | {low:.3f} to {high:.3f} |"


def interval(score: Sequence[float], target: Sequence[float], samples: Sequence[Sequence[int]]) -> tuple[float, float]:
    taus = sorted(kendall([score[i] for i in sample], [target[i] for i in sample]) or 0.0 for sample in samples)
    return taus[round(0.025 * len(taus))], taus[round(0.975 * len(taus)) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="the CSV file")
    parser.add_argument("--images", type=Path, help="CIFAR-10 as an image folder; without it, show what is there")
    parser.add_argument("--cells", type=int, default=500)
    arguments = parser.parse_args()
    if arguments.images and len(RECORD.rows()) < arguments.cells:
        measure(arguments.images, arguments.cells)
    print(f"n={len(RECORD.rows())} cells\n")
    print("| proxies | ranks | τ, val_accuracy_12 | τ, test_accuracy_200 | 95 % |\n|---|---|---|---|---|")
    for _, line in sorted(agreements(arguments.table), reverse=True):
        print(line)


if __name__ == "__main__":
    main()

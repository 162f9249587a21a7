"""Training-free scores of real networks against what the networks reached: which aggregation of ranks works best?

    python benchmarks/proxies.py --table cells.csv --images cifar10-jpeg [--cells 500]

A random search with evaluator proxy scores different cells of NAS-Bench-201, networks as published, on one batch of
CIFAR-10 training images. Prints Kendall's τ against val_accuracy_12 and test_accuracy_200, with the bootstrap 95 %
interval of the latter, of each proxy alone and of each set of them by `nanonas.ranking.aggregate`. Scores are appended
to benchmarks/results/proxies.json, a row a cell; what the cells reached stays in the table.
"""

import argparse
import csv
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from common import Record

from nanonas import load_spec, search
from nanonas.ranking import aggregate, kendall

RECORD = Record("proxies")
NAMES = ("params", "macs", "jacov", "synflow", "naswot")
RESAMPLES = 200


def measure(images: Path, cells: int) -> None:
    """Scores the rest of so many cells; the seed counts on, so that a second run finds others."""
    known = {row["cell"] for row in RECORD.rows()}
    spec = load_spec(
        "nasbench201",
        [
            "evaluator={name: proxy}",
            "objectives={naswot: maximize}",
            "strategy={name: random}",
            "executor={name: processes, lookahead: 4}",
            f"budget.trials={cells}",
            "data.name=folder",
            f"data.root={images}",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        for trial in search(spec, Path(folder) / "run"):
            if trial.trial % 50 == 0:
                print(f"{trial.trial} of {cells} cells", file=sys.stderr)
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
            score = aggregate(rows, names)
            low, high = interval(score, test, samples)
            taus = kendall(score, validation), kendall(score, test)
            yield taus[1] or 0.0, f"| {' + '.join(names)} | {taus[0]:.3f} | {taus[1]:.3f} | {low:.3f} to {high:.3f} |"


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
    print("| proxies | τ, val_accuracy_12 | τ, test_accuracy_200 | 95 % |\n|---|---|---|---|")
    for _, line in sorted(agreements(arguments.table), reverse=True):
        print(line)


if __name__ == "__main__":
    main()

"""Is a front worth its search? The preset cifar10-pareto, accuracy against parameters, and as many other trials.

    python benchmarks/pareto.py --seed 0 1 2 --root cifar10-jpeg [--arm predictor random nsga2]
    python benchmarks/pareto.py --table

For each seed first the preset as it is, for its minutes; then random search, and NSGA-II, with the same evaluator,
workers and number of trials. The hypervolume of a front is the share of the box between nothing (accuracy of guessing,
the most parameters that are allowed) and perfection (all right, no parameters) that it dominates; scores are the
validation accuracies of the cheap trainings, which is what each arm had to go by. The table holds arms of a seed
against one another after the number of trials that all of them have. Appends to benchmarks/results/pareto.json, a row
an arm, seed, machine and `--set`; skips what is there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import Record, machine_of
from whole_runs import data_of, difference, options, search, settings

from nanonas.core.pareto import hypervolume
from nanonas.devices.environment import environment
from nanonas.devices.machine import cores
from nanonas.runs.record import read_record
from nanonas.spec.load import load_spec

RECORD = Record("pareto")
PRESET = "cifar10-pareto"
ARMS = {
    "predictor": [],  # the preset
    "random": ["strategy={name: random}"],
    "nsga2": ["strategy={name: nsga2, population_size: 20, crossover_probability: 0.9}"],
}


def share(points: Sequence[Sequence[float]], most: float, classes: int) -> float:
    """Hypervolume of (accuracy, params) points as a fraction of the box."""
    guess = 1 / classes
    return hypervolume([((accuracy - guess) / (1 - guess), 1 - size / most) for accuracy, size in points], (0.0, 0.0))


def points(run: Path) -> list[tuple[float, float] | None]:
    """Accuracy and params of each trial; None of one that failed."""
    trials = [line.metrics for line in read_record(run).lines]
    return [(metrics["val_accuracy"], metrics["params"]) if metrics else None for metrics in trials]


def searched(arm: str, seed: int, sets: list[str], trials: int | None, out: Path) -> dict[str, Any]:
    sets = [*sets, f"seed={seed}", *ARMS[arm], *([f"budget={{trials: {trials}}}"] if trials else [])]
    found, seconds = search(PRESET, sets, out)
    spec = load_spec(PRESET, sets)
    return {
        "arm": arm,
        "seed": seed,
        "sets": settings(sets),
        "strategy": spec.strategy.model_dump(),
        "trials": found["trials"],
        "failed": found["failed"],
        "seconds": seconds,
        "most": spec.constraints["params"],
        "classes": found["task"]["classes"],
        "points": points(out),
        "front": [{"genotype": entry["genotype"], "metrics": entry["metrics"]} for entry in found["front"]],
        "environment": environment(threads=cores()),
    }


def after(row: dict[str, Any], trials: int) -> float:
    return share([point for point in row["points"][:trials] if point], row["most"], row["classes"])


def of_what(row: dict[str, Any]) -> tuple[str | None, ...]:
    return machine_of(row), *row["changes"]


def table() -> None:
    for what in dict.fromkeys(map(of_what, RECORD.rows())):
        print(*what)
        rows = [row for row in RECORD.rows() if of_what(row) == what]
        for seed in dict.fromkeys(row["seed"] for row in rows):
            alike = [row for row in rows if row["seed"] == seed]
            trials = min(row["trials"] for row in alike)
            for row in alike:
                row["hypervolume"] = after(row, trials) if "points" in row else row["hypervolume"]
            told = ", ".join(f"{row['arm']} {row['hypervolume']:.4f}" for row in alike)
            print(f"  seed {seed}, after {trials} trials: {told}")
        for arm in dict.fromkeys(row["arm"] for row in rows if row["arm"] != "random"):
            difference(rows, (arm, "random"), "hypervolume")


def main() -> None:
    parser = options(__doc__, Path("runs/pareto"))
    parser.add_argument("--arm", nargs="+", choices=list(ARMS), default=["predictor", "random"])
    arguments = parser.parse_args()
    data, changes = data_of(arguments), settings(arguments.sets)
    for seed in [] if arguments.table else arguments.seed:
        for arm in sorted(arguments.arm, key=list(ARMS).index):  # the predictor first
            rows = [row for row in RECORD.here() if row["seed"] == seed and row["changes"] == changes]
            there = {row["arm"]: row["trials"] for row in rows}
            if arm not in there:
                trials = None if arm == "predictor" else there.get("predictor")
                if arm != "predictor" and trials is None:
                    parser.error(f"no row of the predictor, seed {seed}, tells how many trials: name it too")
                out = arguments.out / f"{arm}-{seed}"
                row = searched(arm, seed, [*data, *arguments.sets], trials, out)
                RECORD.append({"changes": changes} | row)
    table()


if __name__ == "__main__":
    main()

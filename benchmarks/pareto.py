"""Does NSGA-II find a better front than as many random trials? The preset cifar10-pareto, accuracy against parameters.

    python benchmarks/pareto.py --seed 0 1 2 --root cifar10-jpeg
    python benchmarks/pareto.py --table

For each seed first the preset as it is, for its minutes; then random search with the same evaluator, workers and number
of trials. The hypervolume of a front is the share of the box between nothing (accuracy of guessing, the most
parameters that are allowed) and perfection (all right, no parameters) that it dominates; scores are the validation
accuracies of the cheap trainings, which is what either arm had to go by. Appends to benchmarks/results/pareto.json, a
row an arm, seed and device; skips what is there.
"""

from pathlib import Path
from typing import Any

from common import Record, device_of, here
from whole_runs import data_of, difference, options, search, settings

from nanonas.environment import cores, environment
from nanonas.pareto import hypervolume
from nanonas.spec import load_spec

RECORD = Record("pareto")
PRESET = "cifar10-pareto"
ARMS = ("nsga2", "random")


def share(front: list[dict[str, Any]], most: float, classes: int) -> float:
    """Hypervolume of a front as a fraction of the box."""
    guess = 1 / classes
    points = [
        ((entry["metrics"]["val_accuracy"] - guess) / (1 - guess), 1 - entry["metrics"]["params"] / most)
        for entry in front
    ]
    return hypervolume(points, (0.0, 0.0))


def searched(arm: str, seed: int, sets: list[str], trials: int | None, out: Path) -> dict[str, Any]:
    sets = [*sets, f"seed={seed}"]
    if arm == "random":
        sets += ["strategy={name: random}", f"budget={{trials: {trials}}}"]
    found, seconds = search(PRESET, sets, out)
    front = [{"genotype": entry["genotype"], "metrics": entry["metrics"]} for entry in found["front"]]
    most = load_spec(PRESET, sets).constraints["params"]
    return {
        "arm": arm,
        "seed": seed,
        "sets": settings(sets),
        "trials": found["trials"],
        "failed": found["failed"],
        "seconds": seconds,
        "hypervolume": share(front, most, found["task"]["classes"]),
        "front": front,
        "environment": environment(threads=cores()),
    }


def table() -> None:
    for device in dict.fromkeys(map(device_of, RECORD.rows())):
        print(device)
        for row in (of_device := RECORD.of_device(device)):
            found = f"{row['hypervolume']:.4f}, front of {len(row['front'])}, {row['trials']} trials"
            print(f"  {row['arm']:<8} seed {row['seed']}: {found}")
        difference(of_device, ARMS, "hypervolume")


def main() -> None:
    arguments = options(__doc__, Path("runs/pareto")).parse_args()
    data = data_of(arguments)
    for seed in [] if arguments.table else arguments.seed:
        for arm in ARMS:
            there = {row["arm"]: row["trials"] for row in RECORD.of_device(here()) if row["seed"] == seed}
            if arm not in there:
                sets = [*data, *arguments.sets]
                RECORD.append(searched(arm, seed, sets, there.get("nsga2"), arguments.out / f"{arm}-{seed}"))
    table()


if __name__ == "__main__":
    main()

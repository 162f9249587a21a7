"""Does successive halving find better winners in the same time? Random search with it and without.

    python benchmarks/halving.py digits [--seeds 10]
    python benchmarks/halving.py fashion_mnist_dear --root DIR
    python benchmarks/halving.py --show

Both arms of a seed run side by side, a core each: so many minutes of search, one worker, then the winner is trained
from scratch and tested. Where two trainings of one network differ much, the winner is trained five times, and its
accuracy is their mean. Appends to benchmarks/results/halving.json, a row an arm and seed; skips what is there.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # an arm a core

from common import Record

from nanonas import load_spec, search, train
from nanonas.statistics import compare_groups, mean_and_interval

RECORD = Record("halving")
COMMON = ["executor={name: inline, lookahead: 1}"]
FASHION = ["data={name: fashion_mnist, validation_fraction: 0.05}"]
TASKS = {  # preset, its small budget, and by what a rung has more epochs than the one below: three rungs, from 1 epoch
    "digits": ("digits-evo", ["budget={minutes: 0.4}", "train.epochs=9"], 3),
    "digits_short": (  # 27 steps, in the search as in the end: what counts is how fast a network learns
        "digits-evo",
        ["budget={minutes: 0.4}", "evaluator.batch_size=400", "train.batch_size=400", "train.epochs=9"],
        3,
    ),
    "digits_short_five": (  # the same, and seeds that nothing was chosen by
        "digits-evo",
        ["budget={minutes: 0.4}", "evaluator.batch_size=400", "train.batch_size=400", "train.epochs=9"],
        3,
    ),
    "digits_short_quarter": (  # a quarter of the budget: where full evaluations are few, cheap ones should help most
        "digits-evo",
        ["budget={minutes: 0.1}", "evaluator.batch_size=400", "train.batch_size=400", "train.epochs=9"],
        3,
    ),
    "fashion_mnist": (
        "cifar10-evo",
        [*FASHION, "evaluator.data_fraction=0.05", "budget={minutes: 2}", "train={epochs: 1}"],
        3,
    ),
    "fashion_mnist_dear": (  # random search affords three or four evaluations
        "cifar10-evo",
        [*FASHION, "evaluator.data_fraction=0.1", "budget={minutes: 3}", "train={epochs: 2}"],
        4,
    ),
    "fashion_mnist_wide": (  # networks that differ in width, and so in accuracy; a first rung of some 140 steps
        "cifar10-evo",
        [
            *FASHION,
            "space={name: nano, widths: [4, 8, 16], cells: [1], dropout: 0.0}",
            "constraints={}",
            "evaluator.data_fraction=0.33",
            "evaluator.image_size=14",
            "budget={minutes: 3}",
            "train={epochs: 1}",
        ],
        4,
    ),
}
TRAININGS = {"digits_short_five": 5, "digits_short_quarter": 5}
FIRST_SEED = {"digits_short_five": 10, "digits_short_quarter": 100}
ARMS = {
    "random": "strategy={{name: random}}",
    "successive halving of random": "strategy={{name: successive_halving, rungs: 3, reduction_factor: {factor}}}",
}


def run(arguments: tuple[str, list[str], str, int]) -> dict[str, Any]:
    task, data, arm, seed = arguments
    preset, sets, factor = TASKS[task]
    full = factor**2  # epochs
    sets = [*COMMON, *sets, f"evaluator.epochs={full}", *data, ARMS[arm].format(factor=factor), f"seed={seed}"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        trials = list(search(load_spec(preset, sets), out))
        best = json.loads((out / "search.json").read_text())["best"]
        results = [
            train(out, overrides=[f"seed={seed + 1000 * i}"], out=out.with_name(f"training-{i}"))
            for i in range(TRAININGS.get(task, 1))
        ]
    accuracies = [result["test_accuracy"] for result in results]
    return {
        "task": task,
        "arm": arm,
        "seed": seed,
        "trials": len(trials),
        "full_evaluations": sum(trial.fidelity["epochs"] == full for trial in trials),
        "training_seconds": round(sum(trial.metrics.get("train_seconds", 0.0) for trial in trials), 1),
        "val_accuracy": best["metrics"]["val_accuracy"],
        "test_accuracy": statistics.fmean(accuracies),
        "trainings": accuracies,
        "params": results[0]["params"],
        "genotype": results[0]["genotype"],
    }


def show(task: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n| {task} | n | trials | at full epochs | training seconds | val accuracy | test accuracy |")
    print("|---" * 7 + "|")
    for arm in ARMS:
        group = [row for row in rows if row["arm"] == arm]
        if len(group) > 1:
            names = ("trials", "full_evaluations", "training_seconds")
            means = [f"{sum(row[name] for row in group) / len(group):.1f}" for name in names]
            estimates = [mean_and_interval([100 * row[k] for row in group]) for k in ("val_accuracy", "test_accuracy")]
            cells = [f"{e.mean:.2f} ± {e.std:.2f}" for e in estimates]
            print("| " + " | ".join([arm, str(len(group)), *means, *cells]) + " |")
    for metric in ("val_accuracy", "test_accuracy"):
        plain, halved = ({r["seed"]: 100 * r[metric] for r in rows if r["arm"] == arm} for arm in ARMS)
        if len(plain) > 1 and plain.keys() == halved.keys():
            test = compare_groups(halved, plain)
            low, high = test.interval or (test.difference, test.difference)
            p = f"p={test.p:.4f} ({test.method}), p={test.t_p or 1:.4f} (paired t)"
            print(f"{metric}: {test.difference:+.2f} points ({low:+.2f} to {high:+.2f}), {p}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=TASKS)
    parser.add_argument("--root", type=Path, help="where the data are, instead of the usual place")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if arguments.task and not arguments.show:
        data = [f"data.root={arguments.root}"] if arguments.root else []
        with ProcessPoolExecutor(len(ARMS)) as pool:
            first = FIRST_SEED.get(arguments.task, 0)
            for seed in range(first, first + arguments.seeds):
                todo = [arm for arm in ARMS if not RECORD.has(task=arguments.task, arm=arm, seed=seed)]
                print(f"seed {seed}: {', '.join(todo) or 'there'}", file=sys.stderr)
                for row in pool.map(run, [(arguments.task, data, arm, seed) for arm in todo]):
                    RECORD.append(row)
    for task in TASKS:
        show(task, [row for row in RECORD.rows() if row["task"] == task])


if __name__ == "__main__":
    main()

"""Does successive halving find better winners in the same time? Random search with it and without.

    python benchmarks/halving.py digits [--seeds 10]
    python benchmarks/halving.py fashion_mnist_dear --root DIR
    python benchmarks/halving.py --show

Both arms of a seed run side by side, a core each: so many minutes of search, one worker, then the winner is trained
from scratch and tested. Where two trainings of one network differ much, the winner is trained five times, and its
accuracy is their mean. Appends to benchmarks/results/halving.json, a row an arm and seed; skips what is there.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # an arm a core

from common import Record

from nanonas import load_spec, search, train
from nanonas.core.statistics import compare_groups, mean_and_interval
from nanonas.engine.results import best_trial

RECORD = Record("halving")
COMMON = ["executor={name: inline, lookahead: 1}"]
NANO = ["space={name: nano}", "constraints={params: 247000}"]  # bounds of cifar10-evo are measures of `mobile`
FASHION = ["data={name: fashion_mnist, validation_fraction: 0.05}", "evaluator.shown=null"]


@dataclass(frozen=True)
class Setting:
    """A preset with its small budget.

    Attributes:
        factor: by what a rung has more epochs than the one below, and one in how many goes on.
        trainings: of the winner; its accuracy is their mean.
        first_seed: seeds that nothing was chosen by.
        seconds: of training; what a search had found after so many counts, to the second. Without it, what began within
            the minutes is finished and counts.
    """

    preset: str
    sets: tuple[str, ...]
    factor: int = 3
    rungs: int = 3
    trainings: int = 1
    first_seed: int = 0
    seconds: float = math.inf

    @property
    def epochs(self) -> int:
        """Of a full evaluation; the lowest rung has one."""
        return int(self.factor ** (self.rungs - 1))


# 27 steps, in the search as in the end: what counts is how fast a network learns
DIGITS_SHORT = ("evaluator.batch_size=400", "train.batch_size=400", "train.epochs=9")
SETTINGS = {
    "digits": Setting("digits-evo", ("budget={minutes: 0.4}", "train.epochs=9")),
    "digits_short": Setting("digits-evo", ("budget={minutes: 0.4}", *DIGITS_SHORT)),
    "digits_short_five": Setting("digits-evo", ("budget={minutes: 0.4}", *DIGITS_SHORT), trainings=5, first_seed=10),
    # a quarter of the budget: where full evaluations are few, cheap ones should help most
    "digits_short_quarter": Setting(
        "digits-evo", ("budget={minutes: 0.1}", *DIGITS_SHORT), trainings=5, first_seed=100
    ),
    # chosen by simulating both arms on a table of 50 such networks; tiny ones, that differ by points
    "digits_tiny": Setting(
        "digits-evo",
        (
            "data={name: digits, validation_fraction: 0.3}",
            "space={name: mobile, stem: [4, 6, 8], widths: [[4, 6, 8], [4, 6, 8, 12], [4, 8, 12, 16]], depths: [1, 2]}",
            "constraints={params: 5000}",
            "budget={minutes: 0.25}",
            "train.epochs=27",
        ),
        rungs=4,
        trainings=5,
        first_seed=1000,
    ),
    "fashion_mnist": Setting(
        "cifar10-evo",
        (*FASHION, *NANO, "evaluator.data_fraction=0.05", "budget={minutes: 2}", "train={epochs: 1}"),
    ),
    # random search affords three or four evaluations
    "fashion_mnist_dear": Setting(
        "cifar10-evo",
        (*FASHION, *NANO, "evaluator.data_fraction=0.1", "budget={minutes: 3}", "train={epochs: 2}"),
        factor=4,
    ),
    # a full evaluation of a wide network takes most of the time, so random search has the best of one or two; the
    # first epoch already ranks the widths, as five networks beforehand showed
    "fashion_mnist_long": Setting(
        "cifar10-evo",
        (
            *FASHION,
            "space={name: nano, widths: [4, 8, 16], cells: [1], dropout: 0.0}",
            "constraints={}",
            "evaluator.data_fraction=0.33",
            "evaluator.image_size=14",
            "budget={minutes: 6}",
            "train={epochs: 3}",
        ),
        factor=6,
        first_seed=2000,
        seconds=180,
    ),
    # networks that differ in width, and so in accuracy; a first rung of some 140 steps
    "fashion_mnist_wide": Setting(
        "cifar10-evo",
        (
            *FASHION,
            "space={name: nano, widths: [4, 8, 16], cells: [1], dropout: 0.0}",
            "constraints={}",
            "evaluator.data_fraction=0.33",
            "evaluator.image_size=14",
            "budget={minutes: 3}",
            "train={epochs: 1}",
        ),
        factor=4,
    ),
}
ARMS = {
    "random": "strategy={{name: random}}",
    "successive halving of random": (
        "strategy={{name: successive_halving, rungs: {setting.rungs}, reduction_factor: {setting.factor}}}"
    ),
}


def run(arguments: tuple[str, list[str], str, int]) -> dict[str, Any]:
    task, data, arm, seed = arguments
    setting = SETTINGS[task]
    full = f"evaluator.epochs={setting.epochs}"
    sets = [*COMMON, *setting.sets, full, *data, ARMS[arm].format(setting=setting), f"seed={seed}"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        spec = load_spec(setting.preset, sets)
        trials, spent = [], 0.0
        for trial in search(spec, out):
            spent += trial.metrics.get("train_seconds", 0.0)
            if spent > setting.seconds:
                break
            trials.append(trial)
        best = best_trial(trials, spec)
        assert best is not None
        results = [
            train(out, str(best.genotype), [f"seed={seed + 1000 * i}"], out=out.with_name(f"training-{i}"))
            for i in range(setting.trainings)
        ]
    accuracies = [result["test_accuracy"] for result in results]
    return {
        "task": task,
        "arm": arm,
        "seed": seed,
        "trials": len(trials),
        "full_evaluations": sum(trial.fidelity["epochs"] == setting.epochs for trial in trials),
        "training_seconds": round(sum(trial.metrics.get("train_seconds", 0.0) for trial in trials), 1),
        "val_accuracy": best.metrics["val_accuracy"],
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
    parser.add_argument("task", nargs="?", choices=SETTINGS)
    parser.add_argument("--root", type=Path, help="where the data are, instead of the usual place")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if arguments.task and not arguments.show:
        data = [f"data.root={arguments.root}"] if arguments.root else []
        with ProcessPoolExecutor(len(ARMS)) as pool:
            first = SETTINGS[arguments.task].first_seed
            for seed in range(first, first + arguments.seeds):
                todo = [arm for arm in ARMS if not RECORD.has(task=arguments.task, arm=arm, seed=seed)]
                print(f"seed {seed}: {', '.join(todo) or 'there'}", file=sys.stderr)
                for row in pool.map(run, [(arguments.task, data, arm, seed) for arm in todo]):
                    RECORD.append(row)
    for task in SETTINGS:
        show(task, [row for row in RECORD.rows() if row["task"] == task])


if __name__ == "__main__":
    main()

"""Every strategy on NAS-Bench-201, and other libraries beside them: what do evaluations buy?

    python benchmarks/search.py --table cells.csv                       everything: 200 seeds of ours, 40 of the others
    python benchmarks/search.py --table cells.csv --only predictor --seeds 20
    python benchmarks/search.py --show

A run of ours is one search of the preset nasbench201 by `nanonas.search`, journal and all, told val_accuracy_12 only;
after 50, 100, 200 and 500 evaluations the cell with the best validation accuracy is judged by test_accuracy_200 (table
means; ± is the standard deviation over seeds). Searches for two objectives, val_accuracy_12 and params, are judged by
the hypervolume of what they evaluated, as a share of the true front's (over the table's worst accuracy and largest
params), with the 95 % interval of its mean. Runs are appended to benchmarks/results/search.json, a row each, and
skipped when they are there. Other libraries need `pip install -e '.[peers]'`.
"""

import argparse
import csv
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a search a core

import peers
from common import Record, StrategyClock, needs

from nanonas import load_spec, search
from nanonas.core.pareto import hypervolume

RECORD = Record("search")
MARKS = (50, 100, 200, 500)
METRIC, REPORT = "val_accuracy_12", "test_accuracy_200"

OURS = {
    "random": ["strategy={name: random}"],
    "random, repeats": ["strategy={name: random, repeats: true}"],
    "regularized evolution, as published": [
        "strategy={name: evolution, population_size: 10, sample_size: 3, repeats: true}"
    ],
    "evolution": ["strategy={name: evolution, population_size: 10, sample_size: 3}"],
    "local search, by text": ["strategy={name: local_search, repeats: true}"],
    "local search": ["strategy={name: local_search}"],
    "nsga2": ["strategy={name: nsga2, population_size: 10}"],
    "predictor: the preset": [],
}
PEERS: dict[str, Callable[..., None]] = {
    "Optuna TPE": partial(peers.optuna, sampler="TPESampler"),
    "Optuna NSGA-II, population 10": partial(peers.optuna, sampler="NSGAIISampler", population_size=10),
    "NePS Bayesian optimization": partial(peers.neps, algorithm="bayesian_optimization"),
}
OBJECTIVES = "objectives={val_accuracy: maximize, params: minimize}"
FRONTS_OURS = {
    f"nsga2, population {size}": [f"strategy={{name: nsga2, population_size: {size}}}", OBJECTIVES] for size in (20, 50)
} | {
    "random, two objectives": ["strategy={name: random}", OBJECTIVES],
    "predictor, two objectives": ["strategy={name: predictor}", OBJECTIVES],
}
FRONTS_PEERS: dict[str, Callable[..., None]] = {
    f"pymoo NSGA-II, population {size}": partial(peers.pymoo, population_size=size) for size in (20, 50, 100)
}
NAMES = [*OURS, *PEERS, *FRONTS_OURS, *FRONTS_PEERS]
SEEDS = dict.fromkeys(OURS, 200) | dict.fromkeys(PEERS, 40) | dict.fromkeys([*FRONTS_OURS, *FRONTS_PEERS], 50)


class Cells:
    """The table: validation accuracy, test accuracy and params by cell."""

    def __init__(self, path: Path) -> None:
        with path.open(newline="") as file:
            self.rows = {
                row["cell"]: (float(row[METRIC]), float(row[REPORT]), float(row["params"]))
                for row in csv.DictReader(file)
            }
        self.path = path
        self.best = max(validation for validation, _, _ in self.rows.values())
        self.reference = (min(row[0] for row in self.rows.values()), -max(row[2] for row in self.rows.values()))

    def reached(self, cells: Sequence[str]) -> dict[str, Any]:
        """Test accuracy of the best-validation cell at each mark, and when the best of all was found."""
        rows = [self.rows[cell] for cell in cells]
        found = next((number for number, row in enumerate(rows, 1) if row[0] == self.best), None)
        best = {str(mark): max(rows[:mark], key=lambda row: row[0])[1] for mark in MARKS if mark <= len(rows)}
        return {"test_accuracy": best, "found_best_after": found}

    def dominated(self, cells: Sequence[str]) -> dict[str, Any]:
        """The share of the true front's hypervolume at each mark."""
        whole = self._volume(list(self.rows))
        shares = {str(mark): self._volume(cells[:mark]) / whole for mark in MARKS if mark <= len(cells)}
        return {"hypervolume": shares}

    def _volume(self, cells: Sequence[str]) -> float:
        best: dict[float, float] = {}
        for accuracy, _, params in (self.rows[cell] for cell in cells):
            best[params] = max(accuracy, best.get(params, 0.0))
        return hypervolume([(accuracy, -params) for params, accuracy in best.items()], self.reference)


def run(name: str, seed: int, cells: Cells, folder: Path) -> dict[str, Any]:
    ours, theirs = {**OURS, **FRONTS_OURS}, {**PEERS, **FRONTS_PEERS}
    if name in ours:
        asked, seconds = _ours(ours[name], seed, cells, folder)
    else:
        asked, seconds = _peer(theirs[name], seed, cells, 100 if name in PEERS else MARKS[-1])
    judged = cells.reached(asked) if name in {**OURS, **PEERS} else cells.dominated(asked)
    timed = {"evaluations": len(asked), "seconds_per_trial": round(seconds / len(asked), 6)}
    return {"strategy": name, "seed": seed, **timed, **judged}


def _ours(sets: list[str], seed: int, cells: Cells, folder: Path) -> tuple[list[str], float]:
    """The cells in the order of their evaluation, and the strategy's own seconds."""
    out = Path(tempfile.mkdtemp(dir=folder)) / "run"
    spec = load_spec(
        "nasbench201", [*sets, f"evaluator.path={cells.path}", f"budget.trials={MARKS[-1]}", f"seed={seed}"]
    )
    with StrategyClock() as clock:
        asked = [str(trial.genotype) for trial in search(spec, out)]
    shutil.rmtree(out.parent)
    return asked, sum(clock.asks) + sum(clock.tells)


def _peer(peer: Callable[..., None], seed: int, cells: Cells, evaluations: int) -> tuple[list[str], float]:
    asked: list[str] = []

    def evaluate(operations: Sequence[str]) -> tuple[float, float]:
        a, b, c, d, e, f = operations
        asked.append(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")
        accuracy, _, params = cells.rows[asked[-1]]
        return accuracy, params

    start = time.perf_counter()
    peer(evaluate, seed, evaluations)
    return asked[:evaluations], time.perf_counter() - start


def work(arguments: tuple[str, int, Path, Path]) -> dict[str, Any]:
    name, seed, path, folder = arguments
    return run(name, seed, Cells(path), folder)


def measure(names: Sequence[str], seeds: int | None, path: Path, processes: int) -> None:
    done = {(row["strategy"], row["seed"]) for row in RECORD.rows()}
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(processes) as pool:
        for name in names:
            wanted = range(seeds or SEEDS[name])
            todo = [(name, seed, path, Path(folder)) for seed in wanted if (name, seed) not in done]
            if todo:
                print(f"{name}: {len(todo)} runs", file=sys.stderr)
                for row in pool.map(work, todo):
                    RECORD.append(row)


def tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Two of them, a line a strategy, in Markdown."""
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for row in rows:
        groups.setdefault(row["strategy"], []).append(row)
    marks = " | ".join(map(str, MARKS))
    yield f"| strategy | n | {marks} | best found by | evaluations until | own ms a trial |"
    yield "|---" * (len(MARKS) + 5) + "|"
    for name, group in groups.items():
        if group and "test_accuracy" in group[0]:
            yield "| " + " | ".join([name, str(len(group)), *_accuracies(group), _own_time(group)]) + " |"
    yield ""
    yield f"| hypervolume after | n | {marks} | own ms a trial |"
    yield "|---" * (len(MARKS) + 3) + "|"
    for name, group in groups.items():
        if group and "hypervolume" in group[0]:
            shares = [[row["hypervolume"][str(mark)] for row in group] for mark in MARKS]
            cells = [f"{statistics.fmean(v):.4f} ± {1.96 * statistics.stdev(v) / len(v) ** 0.5:.4f}" for v in shares]
            yield "| " + " | ".join([name, str(len(group)), *cells, _own_time(group)]) + " |"


def _accuracies(group: list[dict[str, Any]]) -> list[str]:
    reached = [[row["test_accuracy"].get(str(mark)) for row in group] for mark in MARKS]
    cells = [f"{statistics.fmean(v):.3f} ± {statistics.stdev(v):.3f}" if all(v) else "" for v in reached]
    found = [row["found_best_after"] for row in group]
    marks = [mark for mark, values in zip(MARKS, reached, strict=True) if all(values)]
    shares = [f"{sum(f is not None and f <= mark for f in found) / len(group):.2f}" for mark in marks]
    until = f"{statistics.fmean(found):.1f}" if all(found) else f"more than {marks[-1]} in {found.count(None)} runs"
    return [*cells, " / ".join(shares), until]


def _own_time(group: list[dict[str, Any]]) -> str:
    return f"{1000 * statistics.fmean(row['seconds_per_trial'] for row in group):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="the CSV file")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help="these searches")
    parser.add_argument("--seeds", type=int, help="that many of each, instead of 200, 40 or 50")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if arguments.table and not arguments.show:
        names = arguments.only or NAMES
        if {*names} & {*PEERS, *FRONTS_PEERS}:
            needs("optuna", "neps", "pymoo", extra="peers")
        measure(names, arguments.seeds, arguments.table, arguments.processes)
    print("\n".join(tables(RECORD.rows())))


if __name__ == "__main__":
    main()

"""What the engine and the strategies themselves cost.

    python benchmarks/engine.py --table cells.csv

First, trials a second of random search on the cells of NAS-Bench-201 from a table, journal and all (5 runs of 5,000).
Then each strategy's own milliseconds a trial, ask and tell, after 100, 1,000 and 10,000 trials on the space nano with a
synthetic score: mean of the 50 trials before. (The predictor is told random trials until those 50: its own 10,000 would
take most of an hour.) Appends to benchmarks/results/engine.json and skips what is there. Run it
on an idle machine.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from synthetic import Synthetic, total

from nanonas.core.config import ComponentConfig
from nanonas.core.genotype import Genotype
from nanonas.core.space import SearchSpace
from nanonas.core.trial import Fidelity
from nanonas.evaluators import EVALUATORS

TRIALS, REPEATS = 5_000, 5
MARKS, WINDOW = (100, 1_000, 10_000), 50
STRATEGIES = {
    "random": "{name: random}",
    "evolution": "{name: evolution}",
    "local search": "{name: local_search}",
    "nsga2": "{name: nsga2}",
    "successive halving": "{name: successive_halving}",
    "zero cost, then evolution": "{name: zero_cost}",
    "predictor": "{name: predictor}",
}


@EVALUATORS.register("synthetic_proxies")
class WithProxies(Synthetic):
    """The synthetic score and its proxies, at 27 epochs, so that rungs can have fewer."""

    class Config(ComponentConfig):
        name: Literal["synthetic_proxies"] = "synthetic_proxies"

    @property
    def fidelity(self) -> Fidelity:
        return {"epochs": 27}

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        score = total(space, genotype)
        return {**super().evaluate(space, genotype, fidelity, seed), "jacov": score, "synflow": score}


from common import Record, StrategyClock, this_machine  # noqa: E402  # the registry is asked once, when a spec is first read

from nanonas import load_spec, search  # noqa: E402
from nanonas.core.trial import Proposal  # noqa: E402
from nanonas.strategies import STRATEGIES as REGISTRY  # noqa: E402
from nanonas.strategies import Accepts, Strategy  # noqa: E402

RECORD = Record("engine")


def throughput(table: Path) -> float:
    """Trials a second."""
    sets = ["strategy={name: random}", f"evaluator.path={table}", f"budget.trials={TRIALS}"]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        count = sum(1 for _ in search(load_spec("nasbench201", sets), Path(folder) / "run"))
        return count / (time.perf_counter() - start)


def rarely(strategy: type[Strategy]) -> None:
    """Lets a strategy be asked in the windows only; at all other times a random architecture is proposed."""
    ask = strategy.ask

    def rare(self: Strategy, trial: int, rng: random.Random, accepts: Accepts) -> Proposal | None:
        inside = any(mark - WINDOW <= trial < mark for mark in MARKS)
        return ask(self, trial, rng, accepts) if inside else self.draw(rng, accepts)

    strategy.ask = rare  # type: ignore[method-assign]


def own_time(strategy: str) -> dict[str, float]:
    """Milliseconds a trial after so many trials."""
    sets = [
        f"strategy={strategy}",
        "evaluator={name: synthetic_proxies}",
        f"budget.trials={MARKS[-1]}",
        "space={name: nano}",
        "constraints={}",
    ]
    executor = "executor={name: inline, lookahead: 1}"
    with tempfile.TemporaryDirectory() as folder, StrategyClock() as clock:
        reached: dict[str, float] = {}
        begun = time.perf_counter()
        asks = tells = 0
        for trial in search(load_spec("cifar10-evo", [*sets, executor, "budget.minutes=null"]), Path(folder) / "run"):
            done = trial.trial + 1
            if done + WINDOW in MARKS:
                asks, tells = len(clock.asks), len(clock.tells)
            if done in MARKS:
                spent = sum(clock.asks[asks:]) + sum(clock.tells[tells:])
                reached[str(done)] = round(1000 * spent / WINDOW, 4)
                print(f"  {done} trials after {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="the CSV file; without it, the strategies only")
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if not arguments.show:
        for repeat in range(REPEATS if arguments.table else 0):
            key = {"what": "throughput", "repeat": repeat, "machine": this_machine()}
            if not RECORD.has(**key):
                RECORD.append(key | {"trials_per_second": round(throughput(arguments.table))})
        rarely(REGISTRY["predictor"])
        for name, strategy in STRATEGIES.items():
            key = {"what": "own time", "strategy": name, "machine": this_machine()}
            if not RECORD.has(**key):
                print(name, file=sys.stderr)
                RECORD.append(key | {"milliseconds": own_time(strategy)})
    for machine in dict.fromkeys(row.get("machine") for row in RECORD.rows()):
        show(machine, [row for row in RECORD.rows() if row.get("machine") == machine])


def show(machine: str | None, rows: list[dict[str, Any]]) -> None:
    print(f"\n{machine or 'by a version that did not record the machine'}")
    rates = [row["trials_per_second"] for row in rows if row["what"] == "throughput"]
    if rates:
        median, n = statistics.median(rates), len(rates)
        print(f"trials a second: median {median:,.0f} (n={n}, {min(rates):,} to {max(rates):,})")
    print(f"\n| own ms a trial after | {' | '.join(f'{mark:,}' for mark in MARKS)} |\n|---|---|---|---|")
    for row in rows:
        if row["what"] == "own time":
            print("| " + " | ".join([row["strategy"], *(f"{row['milliseconds'][str(m)]:.2f}" for m in MARKS)]) + " |")


if __name__ == "__main__":
    main()

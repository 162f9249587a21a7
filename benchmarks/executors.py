"""Executors: the same trials everywhere, how much of two cores arrives, and a cluster that loses a node.

    python benchmarks/executors.py same         six strategies, inline, processes and Ray, 1, 2 and 4 workers
    python benchmarks/executors.py speed        two workers against two bare training loops, and against one worker
    python benchmarks/executors.py node         Ray: one of two nodes goes in the middle of a search
    python benchmarks/executors.py --show

Real training on digits throughout. `speed` needs an idle machine of two cores. Ray: `pip install -e '.[ray]'`. Appends
to benchmarks/results/executors.json, and skips what is there.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from common import Record, needs, this_machine

from nanonas import load_spec, search

RECORD = Record("executors")
SMALL = ["space.widths=[8]", "space.cells=[1]", "device=cpu", "executor.lookahead=4"]
STRATEGIES = {
    "random": "{name: random}",
    "evolution": "{name: evolution, population_size: 6, sample_size: 2}",
    "local search": "{name: local_search}",
    "nsga2": "{name: nsga2, population_size: 6}",
    "successive halving": "{name: successive_halving, rungs: 2, reduction_factor: 2}",
    "predictor": "{name: predictor, initial: 4, candidates: 20}",
}
EXECUTORS = [("inline", 1), *((name, workers) for name in ("processes", "ray") for workers in (1, 2, 4))]
PAIRS = 5


def trials_of(sets: list[str]) -> Iterator[dict[str, Any]]:
    """What does not depend on a clock."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in search(load_spec("digits-evo", [*SMALL, *sets]), Path(folder) / "run"):
            pass
        yield from trials_in(Path(folder) / "run")


def trials_in(run: Path) -> Iterator[dict[str, Any]]:
    for line in (run / "trials.jsonl").read_text().splitlines():
        trial = json.loads(line)
        del trial["elapsed"]
        trial["metrics"].pop("train_seconds", None)
        yield trial


def digest(trials: Iterator[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(list(trials)).encode()).hexdigest()[:16]


def same() -> None:
    for strategy, text in STRATEGIES.items():
        for executor, workers in EXECUTORS:
            if RECORD.has(what="same", strategy=strategy, executor=executor, workers=workers):
                continue
            sets = [f"strategy={text}", "evaluator.epochs=2", "budget.trials=16"]
            found = digest(trials_of([*sets, f"executor.name={executor}", f"executor.workers={workers}"]))
            row = {"what": "same", "strategy": strategy, "executor": executor, "workers": workers, "trials": found}
            RECORD.append(row)


# ---- throughput: always the same architecture, so that there is one bare loop to compare with

EPOCHS, JOBS = 40, 16


def jobs() -> tuple[Any, list[Any]]:
    from nanonas.executors import Job

    spec = load_spec("digits-evo", [*SMALL, "space.widths=[16]", f"evaluator.epochs={EPOCHS}"])
    cell = "conv_3x3+none,conv_3x3+none,none,skip_connect"
    genotype = f"w16/x1r:{cell}/x1r:{cell}/x1r:{cell}"
    return spec, [Job(genotype, {"epochs": EPOCHS, "image_size": 8, "data_fraction": 1.0}, i) for i in range(JOBS)]


def bare(count: int, barrier: Any) -> None:
    """A training loop and nothing else."""
    from nanonas.executors.worker import Worker

    spec, todo = jobs()
    worker = Worker(spec.assignment, None)
    worker.run(todo[0])  # imports, data
    barrier.wait()
    for job in todo[:count]:
        worker.run(job)
    barrier.wait()


def two_loops() -> float:
    """Seconds for all jobs, half of them in each of two processes."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    loops = [context.Process(target=bare, args=[JOBS // 2, barrier]) for _ in range(2)]
    for loop in loops:
        loop.start()
    barrier.wait()
    start = time.perf_counter()
    barrier.wait()
    seconds = time.perf_counter() - start
    for loop in loops:
        loop.join()
    return seconds


def executed(name: str, workers: int) -> tuple[float, float]:
    """Seconds for all jobs, and the share of a core that the coordinator takes."""
    from nanonas.data.dataset import load_dataset
    from nanonas.executors import EXECUTORS as REGISTRY

    spec, todo = jobs()
    config = REGISTRY[name].Config(name=name, workers=workers, lookahead=4)
    executor = REGISTRY[name](config, spec, None, load_dataset(spec.data))
    for pending in [executor.submit(job) for job in todo[:workers]]:
        pending.result()  # imports, data
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    waiting: list[Any] = []
    for job in todo:
        waiting.append(executor.submit(job))
        if len(waiting) == config.lookahead:
            waiting.pop(0).result()
    for pending in waiting:
        pending.result()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    executor.close()
    return seconds, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds


def speed() -> None:
    for pair in range(PAIRS):
        row: dict[str, Any] = {"what": "speed", "pair": pair, "machine": this_machine()}
        if RECORD.has(**row):
            continue
        row["two_loops"] = round(two_loops(), 3)
        for name in ("processes", "ray"):
            for workers in (2, 1):
                seconds, share = executed(name, workers)
                row |= {f"{name}_{workers}": round(seconds, 3), f"{name}_{workers}_coordinator": round(share, 4)}
        RECORD.append(row)


# ---- a node that dies


def node() -> None:
    needs("ray", extra="ray")
    if RECORD.has(what="node"):
        return
    ray: Any = import_module("ray")
    from ray.cluster_utils import Cluster

    sets = [
        "budget.trials=24",
        "strategy.population_size=6",
        "strategy.sample_size=2",
        f"evaluator.epochs={EPOCHS // 4}",
    ]
    expected = digest(trials_of([*sets, "executor.name=inline"]))
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False)
    spec = load_spec("digits-evo", [*SMALL, *sets, "executor.name=ray", "executor.workers=2"])
    with tempfile.TemporaryDirectory() as folder:
        for trial in search(spec, Path(folder) / "run"):
            if trial.trial == 8:
                cluster.remove_node(second, allow_graceful=False)
        lines = list(trials_in(Path(folder) / "run"))
    ray.shutdown()
    cluster.shutdown()
    RECORD.append({"what": "node", "trials": len(lines), "same": digest(iter(lines)) == expected})


def show(rows: list[dict[str, Any]]) -> None:
    ways = [row for row in rows if row["what"] == "same"]
    for strategy in dict.fromkeys(row["strategy"] for row in ways):
        found = [row for row in ways if row["strategy"] == strategy]
        verdict = "identical" if len({row["trials"] for row in found}) == 1 else "DIFFERENT"
        print(f"{strategy:<20} {len(found)} ways, {verdict}")
    pairs = [row for row in rows if row["what"] == "speed"]
    for machine in dict.fromkeys(row.get("machine") for row in pairs):
        show_speed(machine, [row for row in pairs if row.get("machine") == machine])
    for row in rows:
        if row["what"] == "node":
            print(f"a node lost: {row['trials']} trials, {'the same' if row['same'] else 'OTHERS'}")


def show_speed(machine: str | None, pairs: list[dict[str, Any]]) -> None:
    print(machine or "by a version that did not record the machine")
    for name in ("processes", "ray"):
        against = [row["two_loops"] / row[f"{name}_2"] for row in pairs]
        twice = [row[f"{name}_1"] / row[f"{name}_2"] for row in pairs]
        share = statistics.median(row[f"{name}_2_coordinator"] for row in pairs)
        print(
            f"{name}: two workers reach {statistics.median(against):.3f} of two bare loops ({min(against):.3f} to "
            f"{max(against):.3f}), {statistics.median(twice):.2f} of one worker; coordinator {100 * share:.1f} % of a "
            f"core; median of {len(pairs)}"
        )


def main() -> None:
    parts = {"same": same, "speed": speed, "node": node}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=parts)
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if arguments.part and not arguments.show:
        parts[arguments.part]()
    show(RECORD.rows())
    sys.stdout.flush()


if __name__ == "__main__":
    main()

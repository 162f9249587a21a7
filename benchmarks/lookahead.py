"""What the fixed order costs: a thousand workers, simulated, for a range of lookaheads.

    python benchmarks/lookahead.py

The engine itself, evolution on the space nano with a synthetic score, and an executor whose clock is simulated: a trial
goes to the first worker that is free and takes a time drawn from a lognormal distribution with a spread (a standard
deviation of the logarithm) of 0.5, where 261 candidates of cifar10-evo had 0.33; the coordinator takes results in the
order of the proposals, as it always does. Busy is the share of the workers' time until the last proposal in which they
train. Prints a table, and appends to benchmarks/results/lookahead.json.
"""

import argparse
import heapq
import random
import tempfile
from pathlib import Path
from typing import Any, Literal

import synthetic  # noqa: F401

from nanonas.evaluators import Assignment
from nanonas.executors import EXECUTORS, Executor, ExecutorConfig, Job, Outcome, Pending

WORKERS, TRIALS, SPREAD = 1_000, 30_000, 0.5
LOOKAHEADS = (1_000, 1_100, 1_250, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000, 6_000, 10_000)


@EXECUTORS.register("simulated")
class Simulated(Executor):
    """Workers that only exist on a clock.

    Attributes:
        now: seconds since the start, as the coordinator sees them.
        work: seconds that all trials together take; last: when the last one was handed over.
    """

    class Config(ExecutorConfig):
        name: Literal["simulated"] = "simulated"

    latest: "Simulated"

    def __init__(self, config: ExecutorConfig, assignment: Assignment, *rest: Any) -> None:
        super().__init__(config, assignment, *rest)
        Simulated.latest = self
        from nanonas.executors.worker import Worker

        self.worker = Worker(assignment, None)
        self.free = [0.0] * WORKERS
        self.spans: list[tuple[float, float]] = []
        self.now = 0.0

    def submit(self, job: Job) -> Pending:
        start = max(self.now, heapq.heappop(self.free))
        finish = start + random.Random(job.seed).lognormvariate(0, SPREAD)
        heapq.heappush(self.free, finish)
        self.spans.append((start, finish))
        return Simulation(self, self.worker.run(job), finish)

    def busy(self) -> float:
        """The share of all workers' time in which they train, until the last trial is handed over."""
        end = self.now
        return sum(max(0.0, min(finish, end) - start) for start, finish in self.spans) / (WORKERS * end)


class Simulation:
    def __init__(self, executor: Simulated, outcome: Outcome, finish: float) -> None:
        self.executor, self.outcome, self.finish = executor, outcome, finish

    def result(self) -> Outcome:
        self.executor.now = max(self.executor.now, self.finish)
        return self.outcome


from common import Record  # noqa: E402  # the registry is asked once, when a spec is first read

from nanonas import load_spec, search  # noqa: E402

RECORD = Record("lookahead")


def measure(lookahead: int) -> dict[str, Any]:
    sets = [
        "strategy={name: evolution, population_size: 500, sample_size: 50}",
        "evaluator={name: synthetic}",
        f"executor={{name: simulated, lookahead: {lookahead}}}",
        f"budget={{trials: {TRIALS}}}",
        "space={name: nano}",
        "constraints={}",
    ]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        best = 0.0
        busy = 0.0
        for trial in search(load_spec("cifar10-evo", sets), Path(folder) / "run"):
            best = max(best, trial.metrics["val_accuracy"])
            if trial.trial == TRIALS - lookahead - 1:  # from now on nothing new is handed over
                busy = Simulated.latest.busy()
    return {"lookahead": lookahead, "busy": round(busy, 4), "best": best, "trials": TRIALS, "workers": WORKERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    if not parser.parse_args().show:
        for lookahead in LOOKAHEADS:
            if not RECORD.has(lookahead=lookahead):
                RECORD.append(measure(lookahead))
    print("| lookahead | busy | best score |\n|---|---|---|")
    for row in RECORD.rows():
        print(f"| {row['lookahead']:,} | {row['busy']:.3f} | {row['best']:.4f} |")


if __name__ == "__main__":
    main()

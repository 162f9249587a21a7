"""A journal of 100,000 trials: how long it takes to open, resume, compare and report, and the memory.

    python benchmarks/journal.py [--trials 100000]

Writes the journal by a search of the space nano with a synthetic score (random search; some minutes), then measures
each command's work in a process of its own: seconds, and the most memory above that of `import torch`. `compare` reads
the journal, for its curves; `report` is compare with --html, which draws every trial too. Appends to
benchmarks/results/journal.json.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import synthetic  # noqa: F401
from common import Record

RECORD = Record("journal")


def searched(run: Path, trials: int) -> None:
    from nanonas import load_spec, search

    sets = [
        "strategy={name: random}",
        "evaluator={name: synthetic}",
        "executor={name: inline, lookahead: 1}",
        f"budget={{trials: {trials}}}",
        "space={name: nano}",
        "constraints={}",
    ]
    for _ in search(load_spec("cifar10-evo", sets), run):
        pass


def opened(run: Path, trials: int) -> None:
    from nanonas.engine.results import read_trials
    from nanonas.runs.directory import run_spec
    from nanonas.spaces import SPACES

    spec = run_spec(run)
    assert len(read_trials(run, SPACES[spec.space.name](spec.space))) == trials


def compared(run: Path, trials: int) -> None:
    from nanonas import compare

    assert compare([run])["groups"]


def reported(run: Path, trials: int) -> None:
    from nanonas import compare

    compare([run], run.parent / "report.html")


WORK = {
    "torch": lambda run, trials: None,
    "open": opened,
    "resume": searched,
    "compare": compared,
    "report": reported,
}
MEASURED = [what for what in WORK if what != "torch"]


def inside(what: str, run: Path, trials: int) -> None:
    import torch  # noqa: F401

    start = time.perf_counter()
    WORK[what](run, trials)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def measured(what: str, run: Path, trials: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--inside", what, "--run", str(run), "--trials", str(trials)]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--inside", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments.inside, arguments.run, arguments.trials)
        return
    if not RECORD.has(trials=arguments.trials):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            searched(run, arguments.trials)
            row: dict[str, Any] = {"trials": arguments.trials, "bytes": (run / "trials.jsonl").stat().st_size}
            plain = measured("torch", run, arguments.trials)["bytes"]
            for what in MEASURED:
                found = measured(what, run, arguments.trials)
                row |= {f"{what}_seconds": round(found["seconds"], 2), f"{what}_bytes": int(found["bytes"] - plain)}
            row["report_file_bytes"] = (run.parent / "report.html").stat().st_size
            RECORD.append(row)
    for row in RECORD.rows():
        for what in MEASURED:
            megabytes = row[f"{what}_bytes"] / 1e6
            print(f"{row['trials']:,} trials, {what}: {row[f'{what}_seconds']} s, {megabytes:.0f} MB above torch")


if __name__ == "__main__":
    main()

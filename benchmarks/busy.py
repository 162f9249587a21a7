"""How long commands take beside processes that keep the cores busy: search, train and eval, each as a user types it.

    python benchmarks/busy.py --root cifar10-jpeg [--runs 5] [--busy 0 1 2 4] [--tasks digits cifar10]
    python benchmarks/busy.py --runs 1 --busy 0 --tasks digits       a first try, in half a minute
    python benchmarks/busy.py --table

A busy process is a Python loop that does nothing. `digits` searches with digits-evo, trains its winner for 40 epochs
and evaluates it; `cifar10` trains a winner of cifar10-evo for two epochs and evaluates it. Seconds are those of whole
commands, imports included; beside them the processor seconds of the command and its workers, of which threads that spin
take more. Runs take turns, so that each number of busy processes meets the same hours. Appends a row for each command
to benchmarks/results/busy.json; skips what is there of such a machine, unless it has another --label.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import Record
from whole_runs import data_of, nanonas, options

from nanonas import load_spec
from nanonas.core.files import write_text
from nanonas.data.dataset import load_dataset
from nanonas.devices.environment import environment

RECORD = Record("busy")
LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(10**6):\n        pass"


@dataclass(frozen=True)
class Task:
    preset: str
    genotype: str  # a winner of the preset
    commands: tuple[str, ...]
    sets: tuple[str, ...] = ()


TASKS = {
    "digits": Task(
        "digits-evo",
        "w12/x2r:none+conv_1x1,sep_conv_5x5+max_pool_3x3,skip_connect,max_pool_3x3"
        "/x1r:sep_conv_3x3+avg_pool_3x3,conv_1x1+conv_1x1,sep_conv_5x5,skip_connect"
        "/x2:none+skip_connect,sep_conv_5x5+avg_pool_3x3,skip_connect,conv_1x1",
        ("search", "train", "eval"),
    ),
    "cifar10": Task(
        "cifar10-evo",
        "w16/pool32:residual3e2x2s/pool80:residual3e4x1s/pool32:fused3e2x1s",
        ("train", "eval"),
        ("train.minutes=null", "train.epochs=2"),
    ),
}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes compute, until the end of the block or of this process."""
    processes = [subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def processor_seconds() -> float:
    """Of all commands and their workers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def prepare(task: Task, data: list[str], out: Path) -> None:
    """A run directory without a search, and the same trained; what was decoded and trained before is taken as it is."""
    spec = load_spec(task.preset, [*data, *task.sets])
    load_dataset(spec.data, lambda text: print(text, file=sys.stderr))
    fresh = out / task.preset
    fresh.mkdir(parents=True, exist_ok=True)
    write_text(fresh / "spec.yaml", spec.text())
    nanonas("train", str(fresh), "--genotype", task.genotype, "--out", f"{fresh}-trained")


def measured(command: str, count: int, task: Task, out: Path) -> dict[str, Any]:
    """Of a row: one command beside so many busy processes."""
    fresh, scratch = out / task.preset, out / "scratch"
    words = {
        "search": ["search", "--spec", str(fresh / "spec.yaml"), "--out", str(scratch)],
        "train": ["train", str(fresh), "--genotype", task.genotype, "--out", str(scratch)],
        "eval": ["eval", f"{fresh}-trained"],
    }
    shutil.rmtree(scratch, ignore_errors=True)
    with busy(count):
        before = processor_seconds()
        document, seconds = nanonas(*words[command])
        used = processor_seconds() - before
    told: dict[str, Any] = {key: document[key] for key in ("threads", "crowded_steps", "latency_ms") if key in document}
    return {"seconds": seconds, "processor_seconds": round(used, 1), **told, "environment": environment(threads=1)}


def table(rows: list[dict[str, Any]]) -> None:
    print(f"{'':<16} {'busy':>4}  {'n':>2} {'seconds, median':>16} {'range':>15} {'of quiet':>8} {'processor s':>12}")
    groups: dict[tuple[str, str, str], dict[int, list[dict[str, Any]]]] = {}
    for row in rows:
        kind = (row["label"] or "", row["task"], row["command"])
        groups.setdefault(kind, {}).setdefault(row["busy"], []).append(row)
    for kind, found in groups.items():
        quiet = statistics.median(row["seconds"] for row in found[0]) if 0 in found else None
        for count, group in sorted(found.items()):
            seconds = [row["seconds"] for row in group]
            middle, used = statistics.median(seconds), statistics.median(row["processor_seconds"] for row in group)
            share = f"{middle / quiet:.2f}" if quiet else ""
            spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
            name = " ".join(kind).strip()
            print(f"{name:<16} {count:>4} {len(group):>3} {middle:>16.1f} {spread:>15} {share:>8} {used:>12.1f}")


def main() -> None:
    parser = options(__doc__, Path("runs/busy"), varied=False)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2, 4], help="numbers of busy processes")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--label", help="of rows measured once more on such a machine, at another commit")
    arguments = parser.parse_args()
    for name in arguments.tasks if not arguments.table else []:
        task = TASKS[name]
        wanted: list[dict[str, Any]] = [
            {"label": arguments.label, "task": name, "command": command, "busy": count, "run": run}
            for run in range(arguments.runs)
            for count in arguments.busy
            for command in task.commands
        ]
        missing = [row for row in wanted if not RECORD.has(**row)]
        data = data_of(arguments) if name == "cifar10" else []
        if missing:
            prepare(task, data, arguments.out)
        for row in missing:
            row |= measured(row["command"], row["busy"], task, arguments.out)
            RECORD.append(row)
            print(f"{name}, {row['command']} beside {row['busy']}: {row['seconds']} s", file=sys.stderr, flush=True)
    table(RECORD.here())


if __name__ == "__main__":
    main()

"""Breaks searches, resumes them, and says whether anything was lost.

    python benchmarks/faults.py                    everything: 180 + 20 kills, every other fault 20 times
    python benchmarks/faults.py --only "a torn last line" --times 3
    python benchmarks/faults.py --show

A drill is a search of 30 trials by the command line, two workers, an evaluator of 20 ms (a smooth score of the
choices), broken once at a moment drawn from its seed, then resumed by the same command until it is done. It is lost
if a line that was in the journal is not there any more, if the trials differ from those of the undisturbed search
(genotypes, metrics, errors), or if a process or a temporary file is left. Appends to benchmarks/results/faults.json,
a row a drill, and skips what is there. Faults that need mounts need root.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from synthetic import Synthetic

from nanonas.core.config import ComponentConfig
from nanonas.core.errors import EvaluationError
from nanonas.core.files import write_text
from nanonas.core.genotype import Genotype
from nanonas.core.say import Say
from nanonas.core.space import SearchSpace
from nanonas.core.trial import Fidelity
from nanonas.evaluators import EVALUATORS, Assignment

TRIALS, SECONDS = 30, 0.02
MARK = "NANONAS_DRILL"  # in the environment of a drill and of all it starts


@EVALUATORS.register("drill")
class Drill(Synthetic):
    """20 ms, then a smooth score of the choices; or a fault, for about one architecture in eight."""

    class Config(ComponentConfig):
        name: Literal["drill"] = "drill"
        fault: Literal["", "nan", "raise", "hang", "memory"] = ""

    def __init__(self, assignment: Assignment, say: Say, run: Any = None) -> None:
        config: Any = assignment.evaluator
        self.fault = config.fault

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        time.sleep(SECONDS)
        if self.fault and seed % 8 == 0:
            self._fail()
        return super().evaluate(space, genotype, fidelity, seed)

    def _fail(self) -> None:
        if self.fault == "nan":
            raise EvaluationError("the training loss is nan after epoch 1")
        if self.fault == "raise":
            raise ZeroDivisionError("an operation that a user wrote")
        while self.fault == "hang":
            time.sleep(1)
        hoard = []
        while True:
            hoard.append(bytes(100_000_000))  # reserved, but never written: that takes no time


from common import Record  # noqa: E402  # the registry is asked once, when a spec is first read

RECORD = Record("faults")


# ---- one drill


class Search:
    """A search in a process group of its own, begun and begun again by the same command."""

    def __init__(self, folder: Path, *sets: str, digits: bool = False, memory: int | None = None) -> None:
        self.folder, self.run = folder, folder / "run"
        self.mark = f"{folder.name}-{os.getpid()}"
        self.memory = memory
        small = ["space.widths=[8]", "space.cells=[1]", "strategy.population_size=6", "strategy.sample_size=2"]
        drill = (
            ["evaluator.epochs=1", "budget.trials=10"]
            if digits
            else ["evaluator={name: drill}", f"budget.trials={TRIALS}"]
        )
        fixed = [*small, *drill, "executor.workers=2", "executor.lookahead=4", "device=cpu", *sets]
        words = [word for item in fixed for word in ("--set", item)]
        self.command = [sys.executable, __file__, "search", "--preset", "digits-evo", *words, "--out", str(self.run)]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "subprocess.Popen[str]":
        (self.folder / "tmp").mkdir(exist_ok=True)
        environment = os.environ | {MARK: self.mark, "TMPDIR": str(self.folder / "tmp")}

        def limit() -> None:
            if self.memory:
                resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))

        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
            preexec_fn=limit,
        )
        return self.process

    def finish(self) -> tuple[int, str]:
        """Waits for the end: exit code, and what was said."""
        assert self.process is not None
        said = self.process.communicate(timeout=300)[1]
        return self.process.returncode, said

    def wait_for(self, lines: int) -> None:
        assert self.process is not None
        while self.process.poll() is None and len(self.lines()) < lines:
            time.sleep(0.005)

    def lines(self) -> list[bytes]:
        """The whole ones of the journal."""
        path = self.run / "trials.jsonl"
        data = path.read_bytes() if path.exists() else b""
        return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)

    def trials(self) -> list[dict[str, Any]]:
        """Without what a clock measured."""
        found = [json.loads(line) for line in self.lines()]
        for line in found:
            line.pop("elapsed")
            line["metrics"].pop("train_seconds", None)
            line["error"] = (line["error"] or "").partition("\n")[0]
        return found

    def processes(self) -> list[int]:
        """All that carry the mark, the coordinator first."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    marked = f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if marked:
                    found.append(int(entry.name))
        return sorted(found)

    def workers(self) -> list[int]:
        """Those that compute: the resource tracker of multiprocessing is none."""
        assert self.process is not None
        spawned = []
        for pid in self.processes():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"spawn_main" in command:
                spawned.append(pid)
        return spawned

    def left(self) -> list[str]:
        """Processes and temporary files that should not be there any more."""
        end = time.monotonic() + 5
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        files = [path.name for path in self.run.iterdir() if path.name.startswith(".")]
        files += [path.name for path in (self.folder / "tmp").iterdir() if not path.name.startswith("torchinductor_")]
        return [*(f"process {pid}" for pid in self.processes()), *files]


class Lost(Exception):
    """What a drill found broken."""


def resumed(search: Search, expected: list[dict[str, Any]]) -> None:
    """Nothing of before is gone, and the end is that of the undisturbed search."""
    kept = search.lines()
    search.start()
    code, said = search.finish()
    if code != 0:
        raise Lost(f"resuming ended with {code}: {said[-500:]}")
    if search.lines()[: len(kept)] != kept:
        raise Lost("lines of the journal changed")
    if search.trials() != expected:
        raise Lost("other trials than the undisturbed search")
    if search.left():
        raise Lost(f"left behind: {', '.join(search.left())}")


def stopped(search: Search, codes: tuple[int, ...], words: str = "") -> None:
    """The search ended as it should, without a traceback, and its workers with it."""
    code, said = search.finish()
    if code not in codes:
        raise Lost(f"ended with {code} instead of {codes}: {said[-500:]}")
    if "Traceback" in said or words not in said:
        raise Lost(f"said {said[-500:]!r}")
    end = time.monotonic() + 5
    while search.processes():
        if time.monotonic() > end:
            raise Lost(f"{len(search.processes())} processes outlived it by 5 seconds")
        time.sleep(0.02)


# ---- the faults: each breaks a search at a random moment, resumes it and raises Lost if that shows


def kill(who: str, digits: bool = False) -> Callable[[Path, random.Random], None]:
    def fault(folder: Path, rng: random.Random) -> None:
        search = Search(folder, digits=digits)
        process = search.start()
        total = 10 if digits else TRIALS
        search.wait_for(rng.randrange(total - 4))
        time.sleep(rng.random() * (0.3 if digits else SECONDS))
        if who == "one worker":
            while process.poll() is None and not search.workers():
                time.sleep(0.005)
            for worker in rng.sample(search.workers(), min(1, len(search.workers()))):
                os.kill(worker, signal.SIGKILL)
            stopped(search, (0,))
        else:
            (os.killpg if who == "group" else os.kill)(process.pid, signal.SIGKILL)
            stopped(search, (-signal.SIGKILL,))
        resumed(search, undisturbed(digits))

    return fault


def interrupted(*signals: signal.Signals) -> Callable[[Path, random.Random], None]:
    def fault(folder: Path, rng: random.Random) -> None:
        search = Search(folder)
        process = search.start()
        search.wait_for(1 + rng.randrange(TRIALS - 5))
        for number in signals:
            os.killpg(process.pid, number)
            time.sleep(rng.random() * 0.1)
        stopped(search, (128 + signals[0],), "Go on with:")
        resumed(search, undisturbed())

    return fault


def suspended(folder: Path, rng: random.Random) -> None:
    search = Search(folder, "executor.timeout_seconds=2")
    search.start()
    search.wait_for(1 + rng.randrange(TRIALS - 5))
    kept = search.lines()
    os.kill(rng.choice(search.workers()), signal.SIGSTOP)
    code, said = search.finish()
    if code != 0 or search.lines()[: len(kept)] != kept or len(search.lines()) != TRIALS or search.left():
        raise Lost(f"ended with {code}, {len(search.lines())} lines, {search.left()} left: {said[-300:]}")
    failed = [line["error"] for line in search.trials() if line["status"] == "failed"]
    if any(error != "ran longer than 2 seconds" for error in failed):
        raise Lost(f"failed with {failed}")
    resumed(search, search.trials())


def failing(fault: str, reason: str, *sets: str, memory: int | None = None) -> Callable[[Path, random.Random], None]:
    """Candidates that cannot be scored are failed trials with their reason; here the search is also interrupted."""

    def drill(folder: Path, rng: random.Random) -> None:
        sets_ = [f"evaluator.fault={fault}", f"seed={rng.randrange(1_000_000)}", *sets]
        whole = Search(folder / "whole", *sets_, memory=memory)
        search = Search(folder / "broken", *sets_, memory=memory)
        for one in (whole, search):
            one.folder.mkdir()
        whole.start()
        process = search.start()
        search.wait_for(1 + rng.randrange(TRIALS - 5))
        os.killpg(process.pid, signal.SIGKILL)
        search.finish()
        stopped(whole, (0,))
        failed = [line["error"] for line in whole.trials() if line["status"] == "failed"]
        if not all(error.startswith(reason) for error in failed) or len(whole.trials()) != TRIALS:
            raise Lost(f"failed with {failed}")
        resumed(search, whole.trials())

    return drill


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(folder: Path, rng: random.Random) -> None:
    (folder / "small").mkdir()
    with mounted(folder / "small", "1m"):
        search = Search(folder)
        search.run = folder / "small" / "run"
        search.command[-1] = str(search.run)
        ballast = folder / "small" / "ballast"
        search.start()
        search.wait_for(1 + rng.randrange(TRIALS - 8))
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 1024):
                    pass
            except OSError:
                pass
        kept = search.lines()
        stopped(search, (1,), "Go on with:")
        if search.lines()[: len(kept)] != kept:
            raise Lost("lines of the journal changed")
        ballast.unlink()
        resumed(search, undisturbed())


def read_only(folder: Path, rng: random.Random) -> None:
    (folder / "small").mkdir()
    with mounted(folder / "small", "4m"):
        search = Search(folder)
        search.run = folder / "small" / "run"
        search.command[-1] = str(search.run)
        search.start()
        search.wait_for(1 + rng.randrange(TRIALS - 8))
        # an open file keeps a mount writable: the search is stopped and begun again, as after a crash of the disk
        assert search.process is not None
        os.killpg(search.process.pid, signal.SIGKILL)
        search.finish()
        kept = search.lines()
        subprocess.run(["mount", "-o", "remount,ro", str(folder / "small")], check=True)
        search.start()
        stopped(search, (1,), "Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", str(folder / "small")], check=True)
        if search.lines() != kept:
            raise Lost("lines of the journal changed")
        resumed(search, undisturbed())


def half(folder: Path, rng: random.Random) -> Search:
    """A search that was killed in the middle."""
    search = Search(folder)
    process = search.start()
    search.wait_for(3 + rng.randrange(TRIALS - 8))
    os.killpg(process.pid, signal.SIGKILL)
    search.finish()
    return search


def torn(folder: Path, rng: random.Random) -> None:
    search = half(folder, rng)
    lines = search.lines()
    cut = rng.randrange(1, len(lines[-1]))
    (search.run / "trials.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
    resumed(search, undisturbed())


def garbage(folder: Path, rng: random.Random) -> None:
    search = half(folder, rng)
    lines = search.lines()
    number = rng.randrange(1, len(lines))
    rubbish = rng.choice(
        [b"\x00\xff\xfe garbage\n", b"{}\n", lines[0][:-9] + b"\n", b"[1, 2]\n", b'{"trial": 1e999}\n']
    )
    broken = b"".join([*lines[: number - 1], rubbish, *lines[number:]])
    (search.run / "trials.jsonl").write_bytes(broken)
    search.start()
    stopped(search, (1,), f"trials.jsonl:{number}: ")
    if (search.run / "trials.jsonl").read_bytes() != broken:
        raise Lost("the refused journal was changed")
    (search.run / "trials.jsonl").write_bytes(b"".join(lines))
    resumed(search, undisturbed())


def clock(folder: Path, rng: random.Random) -> None:
    search = half(folder, rng)
    os.environ["NANONAS_DRILL_CLOCK"] = str(-rng.randrange(10**6))  # the resuming process reads another time of day
    try:
        resumed(search, undisturbed())
    finally:
        del os.environ["NANONAS_DRILL_CLOCK"]
    elapsed = [json.loads(line)["elapsed"] for line in search.lines()]
    if sorted(elapsed) != elapsed:
        raise Lost("elapsed goes back")


def second(folder: Path, rng: random.Random) -> None:
    sets = "budget.trials=300", f"seed={rng.randrange(1_000_000)}"  # longer than the second takes to start
    whole, search = Search(folder / "whole", *sets), Search(folder / "used", *sets)
    for one in (whole, search):
        one.folder.mkdir()
    whole.start()
    first = search.start()
    search.wait_for(1 + rng.randrange(TRIALS))
    search.start()
    code, said = search.finish()
    search.process = first
    if code != 1 or f"in use by process {first.pid}" not in said:
        raise Lost(f"the second was not refused: {code}, {said[-300:]}")
    stopped(search, (0,))
    stopped(whole, (0,))
    resumed(search, whole.trials())


MEMORY = 3_000_000_000
FAULTS: dict[str, tuple[int, Callable[[Path, random.Random], None]]] = {
    "SIGKILL of the process group": (60, kill("group")),
    "SIGKILL of the coordinator": (60, kill("coordinator")),
    "SIGKILL of one worker": (60, kill("one worker")),
    "SIGKILL of the process group, digits": (7, kill("group", digits=True)),
    "SIGKILL of the coordinator, digits": (7, kill("coordinator", digits=True)),
    "SIGKILL of one worker, digits": (6, kill("one worker", digits=True)),
    "SIGTERM": (20, interrupted(signal.SIGTERM)),
    "SIGINT": (20, interrupted(signal.SIGINT)),
    "SIGINT twice": (20, interrupted(signal.SIGINT, signal.SIGINT)),
    "SIGSTOP of a worker beyond the time-out": (20, suspended),
    "out of memory": (20, failing("memory", "MemoryError", memory=MEMORY)),
    "NaN loss": (20, failing("nan", "the training loss is nan")),
    "an operation that raises": (20, failing("raise", "ZeroDivisionError: an operation that a user wrote")),
    "an operation that never returns": (20, failing("hang", "ran longer than 1 seconds", "executor.timeout_seconds=1")),
    "a full disk": (20, full_disk),
    "a read-only mount": (20, read_only),
    "a torn last line": (20, torn),
    "a line of garbage in the middle": (20, garbage),
    "a clock that jumps back": (20, clock),
    "a second search on the directory": (20, second),
}
_UNDISTURBED: dict[bool, list[dict[str, Any]]] = {}


def undisturbed(digits: bool = False) -> list[dict[str, Any]]:
    """The trials of the search that nothing breaks."""
    if digits not in _UNDISTURBED:
        with tempfile.TemporaryDirectory() as folder:
            search = Search(Path(folder), digits=digits)
            search.start()
            stopped(search, (0,))
            _UNDISTURBED[digits] = search.trials()
    return _UNDISTURBED[digits]


def drill(name: str, seed: int) -> str:
    """What was lost; empty when nothing was."""
    folder = Path(tempfile.mkdtemp(prefix="drill-"))
    try:
        FAULTS[name][1](folder, random.Random(f"{name}/{seed}"))
    except (Lost, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


def show(rows: list[dict[str, Any]]) -> None:
    print("| fault | drills | nothing lost |\n|---|---|---|")
    for name in FAULTS:
        found = [row for row in rows if row["fault"] == name]
        if found:
            print(f"| {name} | {len(found)} | {sum(not row['lost'] for row in found)} |")
    for row in rows:
        if row["lost"]:
            print(f"{row['fault']}, seed {row['seed']}: {row['lost']}")


def main() -> None:
    global TRIALS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FAULTS, metavar="FAULT")
    parser.add_argument("--times", type=int, help="that many drills of each")
    parser.add_argument("--trials", type=int, default=TRIALS, help="of a search, at least 9")
    parser.add_argument(
        "--undisturbed", type=Path, metavar="FILE", help="keep there what nothing broke, for other calls"
    )
    parser.add_argument("--show", action="store_true", help="print what is there and stop")
    parser.add_argument("--no-record", action="store_true", help="run, print, and keep no row")
    arguments = parser.parse_args()
    TRIALS, kept = arguments.trials, arguments.undisturbed
    if kept and kept.exists():
        _UNDISTURBED[False] = json.loads(kept.read_text())
    rows = RECORD.rows() if not arguments.no_record else []
    for name in [] if arguments.show else arguments.only or FAULTS:
        for seed in range(arguments.times or FAULTS[name][0]):
            if any((row["fault"], row["seed"]) == (name, seed) for row in rows):
                continue
            row = {"fault": name, "seed": seed, "lost": drill(name, seed)}
            print(f"{name} {seed}: {row['lost'] or 'nothing lost'}", file=sys.stderr)
            rows.append(row)
            if not arguments.no_record:
                RECORD.append(row)
    if kept and False in _UNDISTURBED:
        write_text(kept, json.dumps(_UNDISTURBED[False]))
    show(rows)
    sys.exit(any(row["lost"] for row in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["search"]:  # a drill: the command line, with one more evaluator
        if "NANONAS_DRILL_CLOCK" in os.environ:
            shift, real = float(os.environ["NANONAS_DRILL_CLOCK"]), time.time
            time.time = lambda: real() + shift
        from nanonas.app import main as nanonas

        nanonas()
    else:
        main()

"""The run directory: the one noun that travels through all commands."""

import json
import math
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.errors import NO_LOCKS, RunError, SpecError
from ..core.files import check_version, heading, read_bytes, read_json, write_bytes, write_json, write_text
from ..core.say import Say
from ..core.trial import Line
from ..core.version import version
from ..devices.environment import environment
from ..spec.load import load_spec
from ..spec.schema import Spec, differences

Source = Mapping[str, Mapping[str, str]]
"""What was scored on, by kind: {"data": {"name", "fingerprint"}} or {"table": …}; it goes into environment.json."""
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")  # what mkstemp makes of a file's name
ABANDONED = 60  # seconds without a write
BEGINNINGS = ("environment.json", "latency.json")  # of a run killed in its first moment; or the table of another run


def default_run(spec: Spec) -> Path:
    return Path("runs") / f"{spec.name}-seed{spec.seed}"


def run_spec(run: Path) -> Spec:
    """The spec of an existing run directory."""
    path = existing_run(run) / "spec.yaml"
    try:
        return load_spec(path)
    except SpecError:
        check_version(path)
        raise


def beside(run: Path, word: str) -> Path:
    """`runs/a-again` for `runs/a`; for `.` and `..` by their names."""
    named = run if run.name.strip(".") else run.resolve()
    return named.with_name(f"{named.name}-{word}")


def check_target(run: Path) -> None:
    """Raises RunError when a path holds something that is no run."""
    begun = run.is_dir() and all(path.name.startswith(".") or path.name in BEGINNINGS for path in run.iterdir())
    if run.exists() and not begun and not (run / "spec.yaml").is_file():
        raise RunError(f"{run} exists and is not a run directory (it has no spec.yaml); choose another --out")
    check_contents(run)


def check_contents(run: Path) -> None:
    """Raises RunError when a run directory holds anything but files and folders.

    It may come from a stranger: a link would lead reads and writes out of it, a pipe or a device would never end.
    """
    for folder, folders, files in os.walk(run):
        for name in [*folders, *files]:
            path = Path(folder) / name
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # a running search has renamed it
                continue
            if stat.S_ISLNK(mode):
                raise RunError(f"{path} is a symbolic link, which may lead anywhere; put a copy of the file there")
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise RunError(f"{path} is neither a file nor a folder; delete it")


def begin(run: Path, spec: Spec, source: Source, lines: Sequence[Line], say: Say) -> None:
    """Writes what a run begins with, or checks that the run there, with `lines` as its trials, is one of this spec and
    these data."""
    if (run / "spec.yaml").exists():
        before = run_spec(run)
        changed = differences(before, spec)
        if changed:
            raise RunError(f"{run} holds a run of another spec ({'; '.join(changed[:5])}); choose another --out")
        _check_spent(run, before, spec, lines)
    if (run / "environment.json").exists():
        check_source(run, source)
        torch = read_json(run / "environment.json").get("torch")
        if torch != version("torch"):
            say(f"warning: {run} was begun with torch {torch}, this is {version('torch')}: scores may differ")
    else:
        write_environment(run, 1, source)
    write_text(run / "spec.yaml", spec.text())  # last: with it, a directory is a run


def _check_spent(run: Path, before: Spec, spec: Spec, lines: Sequence[Line]) -> None:
    """Raises RunError when a smaller budget than before would claim that less was spent."""
    spent = {"trials": len(lines), "minutes": lines[-1].elapsed / 60 if lines else 0.0}
    for unit, had in spent.items():
        old, new = (getattr(one.budget, unit) for one in (before, spec))
        if new is not None and new < min(had, old or math.inf):
            raise RunError(
                f"{run} has spent {had:.4g} {unit}, more than budget.{unit}={new:g}; to see its result, repeat it "
                f"with --set budget.{unit}={'null' if old is None else f'{old:g}'}, or choose another --out"
            )


def write_environment(run: Path, threads: int, source: Source) -> None:
    """Args: threads: of each process that trains."""
    write_json(run / "environment.json", heading("environment") | environment(threads) | dict(source))


def other_source(run: Path, source: Source, told_by: str = "train.json") -> str | None:
    """The kind of source that differs from what a file of the run says of it; None when it says nothing."""
    before = read_json(run / told_by) if (run / told_by).exists() else {}
    return next((kind for kind, found in source.items() if before.get(kind, found) != found), None)


def check_source(run: Path, source: Source) -> None:
    """Raises RunError when a run was begun on other data, or on another table."""
    kind = other_source(run, source, "environment.json")
    if kind is not None:
        raise RunError(
            f"{run} was begun on {'other data' if kind == 'data' else f'another {kind}'}: behind the same name lies "
            "something else now; choose another --out"
        )


def existing_run(run: Path) -> Path:
    """The path of a run directory, or a RunError that says how to make one."""
    if not run.exists():
        raise RunError(f"{run} does not exist; a run is made by: nanonas search --preset digits-evo --out {run}")
    if not run.is_dir() or not (run / "spec.yaml").is_file():
        raise RunError(f"{run} is not a run directory (it has no spec.yaml); name one that nanonas search has made")
    check_contents(run)
    return run


@contextmanager
def locked(run: Path, say: Say = lambda text: None) -> Iterator[None]:
    """Holds the run directory for this process; RunError, with the holder's process id, when another has it.

    Where the disk has no locks, `say` gets a warning.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks of this kind
        yield
        return
    path = run / ".lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise BlockingIOError  # its last holder removed it in this very moment
        except (BlockingIOError, FileNotFoundError):
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            advice = "close that search first" if holder == str(os.getpid()) else "wait for it, or choose another --out"
            raise RunError(f"{run} is in use by process {holder}; {advice}") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            say(
                f"warning: the disk of {run} has no locks ({error.strerror}), so nothing keeps another nanonas from "
                "writing there; run one at a time, or choose another --out"
            )
        _sweep(run)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _sweep(run: Path) -> None:
    """Deletes what `write_bytes` left beside its files when it was killed, once nobody can be writing it still."""
    for path in run.glob(".*.*"):
        with suppress(FileNotFoundError):
            if TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


class Log:
    """log.txt: what was said, with the time. What is said before there is a run directory waits until there is."""

    def __init__(self, run: Path, say: Say = lambda text: None) -> None:
        self._run, self._say = run, say
        self._waiting: list[str] = []

    def say(self, text: str) -> None:
        self._say(text)
        self.note(text)

    def note(self, text: str) -> None:
        """For the file only."""
        self._waiting.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        if (self._run / "spec.yaml").exists():
            with (self._run / "log.txt").open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(self._waiting)
            self._waiting.clear()


def count_test_look(run: Path, command: str, again: bool = False) -> int:
    """Every look at test data is a line of test_looks.jsonl; how many there are now.

    Args:
        again: whether the same network may have been looked at before, by a command that was killed.
    """
    path = run / "test_looks.jsonl"
    repeated = {"again": True} if again else {}
    line = json.dumps({"command": command, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")} | repeated)
    looks = [*(read_bytes(path).splitlines() if path.exists() else []), line.encode()]
    write_bytes(path, b"".join(look + b"\n" for look in looks))
    return len(looks)

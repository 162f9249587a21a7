"""The run directory, and in it trials.jsonl: the record is the state."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .errors import RunError
from .trial import Line, Trial, line_of

SCHEMA_VERSION = 1


class Journal:
    """trials.jsonl: a line is on disk before anyone learns of it. A torn last line is cut off, any other is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = self._read()
        self._end = sum(self._sizes)

    def _read(self) -> list[Line]:
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]  # what follows the last newline was never finished
        lines: list[Line] = []
        self._sizes: list[int] = []
        for number, text in enumerate(whole.splitlines(keepends=True), 1):
            try:
                line = Line.model_validate_json(text)
            except ValidationError as error:
                problem = error.errors(include_url=False)[0]
                where = ".".join(map(str, problem["loc"]))
                raise RunError(
                    f"{self.path}:{number}: not a trial: {where + ': ' if where else ''}{problem['msg']}"
                ) from None
            if line.trial != len(lines):
                raise RunError(f"{self.path}:{number}: trial {line.trial} stands where trial {len(lines)} belongs")
            lines.append(line)
            self._sizes.append(len(text))
        return lines

    def append(self, trial: Trial) -> None:
        """One write, then fsync. On a full disk the half line is cut off again, and the error goes on."""
        text = (json.dumps(line_of(trial), allow_nan=False) + "\n").encode()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(handle, self._end)  # a torn line of an earlier death
            try:
                if os.pwrite(handle, text, self._end) < len(text):
                    raise OSError(28, "No space left on device", str(self.path))
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, self._end)
                raise
        finally:
            os.close(handle)
        self._end += len(text)


def write_text(path: Path, text: str) -> None:
    """Beside, then renamed: a reader sees the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, document: dict[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Raises RunError when the file is missing or is no JSON object."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} is missing") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(document, dict):
        raise RunError(f"{path} is damaged: not a JSON object")
    return document


def document(kind: str, run: Path, **fields: Any) -> dict[str, Any]:
    """A result file's content; every one names its kind, its version and its run."""
    return {"kind": kind, "schema_version": SCHEMA_VERSION, "run": str(run), **fields}


def existing_run(run: Path) -> Path:
    """The path of a run directory, or a RunError that says how to make one."""
    if not run.exists():
        raise RunError(f"{run} does not exist; a run is made by: nanonas search --preset digits-evo --out {run}")
    if not run.is_dir() or not (run / "spec.yaml").is_file():
        raise RunError(f"{run} is not a run directory (it has no spec.yaml); name one that nanonas search has made")
    return run


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Holds the run directory for this process; RunError, with the holder's process id, when another has it."""
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks of this kind
        yield
        return
    path = run / ".lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (path.exists() and path.samefile(f"/dev/fd/{file.fileno()}")):
                raise BlockingIOError  # its last holder removed it in this very moment
        except OSError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            raise RunError(f"{run} is in use by process {holder}; wait for it, or choose another --out") from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def log(run: Path, text: str) -> None:
    """A line of log.txt: what was said, with the time."""
    with (run / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

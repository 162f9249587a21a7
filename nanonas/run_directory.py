"""The run directory: the one noun that travels through all commands."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .environment import environment
from .errors import RunError
from .spec import Spec, differences, load_spec

if TYPE_CHECKING:
    from .data import Dataset

SCHEMA_VERSION = 1


def default_run(spec: Spec) -> Path:
    return Path("runs") / f"{spec.name}-seed{spec.seed}"


def run_spec(run: Path) -> Spec:
    """The spec of an existing run directory."""
    return load_spec(existing_run(run) / "spec.yaml")


def check_target(run: Path) -> None:
    """Raises RunError when a path holds something that is no run."""
    if run.is_dir() and not any(path for path in run.iterdir() if not path.name.startswith(".")):
        return
    if run.exists() and not (run / "spec.yaml").is_file():
        raise RunError(f"{run} exists and is not a run directory (it has no spec.yaml); choose another --out")


def begin(run: Path, spec: Spec, data: "Dataset | None", say: Callable[[str], None]) -> None:
    """Writes what a run begins with, or checks that the run there is one of this spec and these data."""
    now = environment() | data_environment(data)
    if (run / "spec.yaml").exists():
        changed = differences(run_spec(run), spec)
        if changed:
            raise RunError(f"{run} holds a run of another spec ({'; '.join(changed[:5])}); choose another --out")
    write_text(run / "spec.yaml", spec.text())
    if not (run / "environment.json").exists():
        write_json(run / "environment.json", now)
        return
    check_data(run, data)
    before = read_json(run / "environment.json").get("torch")
    if before != now["torch"]:
        say(f"warning: {run} was begun with torch {before}, this is {now['torch']}: scores may differ")


def data_environment(data: "Dataset | None") -> dict[str, Any]:
    """What environment.json says of the data, so that another set behind the same name is noticed."""
    return {"data": {"name": data.name, "fingerprint": data.fingerprint}} if data is not None else {}


def check_data(run: Path, data: "Dataset | None") -> None:
    """Raises RunError when a run was begun on other data."""
    before = read_json(run / "environment.json").get("data")
    if before is not None and before != data_environment(data).get("data"):
        raise RunError(
            f"{run} was begun on other data: behind data.name and data.root lies another set now; choose another --out"
        )


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

"""An exported file at work, once it may be believed: its format, its metadata, and whether it can hold code.

Imports torch only for a format that needs it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ExportError, NanonasError, RunError
from ..exporters import Metadata, by_suffix, reason
from ..runs.directory import check_contents
from ..runs.exported import exported_files, made_here, sha256
from .inference import Model


@dataclass(frozen=True)
class OpenedFile:
    """Attributes:
    run: the run directory around the file, if it lists it, unchanged.
    """

    path: Path
    format: str
    metadata: Metadata
    model: Model
    run: Path | None

    @property
    def place(self) -> dict[str, str]:
        """Which file it is, for a result's document."""
        return {"file": f"exports/{self.path.name}" if self.run else self.path.name, "format": self.format}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Raises ExportError for whatever a runtime raises for a file that loads and does not run."""
        try:
            yield
        except NanonasError:
            raise
        except Exception as error:
            raise ExportError(f"{self.path} loads but does not run: {reason(error)}") from None


def is_model_file(target: Path) -> bool:
    """Whether a target is a file, and no run directory; RunError for a file that is not there."""
    if target.is_file():
        return True
    if target.suffix in by_suffix():
        raise RunError(f"{target} does not exist; files are made by: nanonas export RUN --format onnx")
    return False


def open_file(path: Path, trust: bool) -> OpenedFile:
    """Args: trust: load a file that can hold code though it is not in its run, or was not exported here.

    Raises:
        ExportError: the file is damaged, of no known format, or not trusted.
    """
    name, exporter = by_suffix().get(path.suffix, (None, None))
    if name is None or exporter is None:
        raise ExportError(f"{path} is of no known format; allowed: {', '.join(by_suffix())}, or a run directory")
    run = _run_of(path)
    if exporter.holds_code and not trust and (run is None or not made_here(sha256(path))):
        doubt = "no run directory around it lists it" if run is None else "it was not exported on this machine"
        raise ExportError(f"{path} can hold code, and {doubt}; add --trust if you know who made it")
    file = exporter.read(path)
    metadata = Metadata.of(file.metadata, path)
    return OpenedFile(path, name, metadata, Model.of_file(file, metadata), run)


def _run_of(path: Path) -> Path | None:
    """The run directory around a file, if it lists it, unchanged."""
    run = path.absolute().parent.parent
    if path.absolute().parent.name != "exports" or not (run / "spec.yaml").is_file():
        return None
    check_contents(run)
    listed = [entry for entry in exported_files(run) if entry.path == f"exports/{path.name}"]
    unchanged = any(entry.bytes == path.stat().st_size and entry.sha256 == sha256(path) for entry in listed)
    return (path.parent.parent if path.parent.name else run) if unchanged else None

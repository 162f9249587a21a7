"""The list of exported files in a run directory, and which of them this user made."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..core.files import read
from ..data.cache import cache_dir


class Times(BaseModel):
    """Of one batch, in milliseconds."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    median: float
    p95: float


class Latencies(BaseModel):
    """On one thread."""

    model_config = ConfigDict(frozen=True)

    batch_1: Times
    batch_64: Times


class ExportedFile(BaseModel):
    """An entry of export.json.

    Attributes:
        max_abs_diff: from the network's logits, on 256 training images; with preprocessing, from its probabilities.
        top1_agreement: share of the same images that get the network's class.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    format: str
    path: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: str
    max_abs_diff: float
    top1_agreement: float
    test_accuracy: Annotated[float, Field(ge=0, le=1)]
    with_preprocessing: bool
    latency_ms: Latencies


class _List(BaseModel):
    """export.json."""

    files: list[ExportedFile]


def exported_files(run: Path) -> list[ExportedFile]:
    """What export.json lists and is still there; RunError when it is damaged."""
    listed = read(run / "export.json", _List, "delete it and export again")
    return [entry for entry in listed.files if (run / "exports" / Path(entry.path).name).exists()] if listed else []


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made_here(digest: str) -> bool:
    """Whether this user's `export` wrote this file. A run directory cannot say so: it may come from a stranger."""
    return (cache_dir() / "exported" / digest).exists()


def remember(digest: str) -> None:
    place = cache_dir() / "exported"
    with suppress(OSError):  # a cache that cannot be written: eval will ask for --trust
        place.mkdir(parents=True, exist_ok=True)
        (place / digest).touch()

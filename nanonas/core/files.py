"""Files that no crash tears and no stranger abuses: written beside and renamed, measured before they are read."""

import codecs
import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import NEWER, UPGRADE, NewerVersion, RunError
from .version import version

M = TypeVar("M", bound=BaseModel)
SCHEMA_VERSION = 1
MAX_DOCUMENT = 64_000_000  # bytes of a JSON file
UTF = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What a file in Unicode begins with. UTF-16 begins with the first bytes of UTF-32, and so comes after it."""


def write_text(path: Path, text: str) -> None:
    """What a path holds that is no UTF-8 is written as an escape."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Beside, then renamed: a reader sees the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, document: dict[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_bytes(path: Path, limit: int = MAX_DOCUMENT) -> bytes:
    """Raises RunError, before anything is read, when a file is larger than any that is written here."""
    size = path.stat().st_size
    if size > limit:
        raise RunError(f"{path} is damaged: {size:,} bytes, and no such file is larger than {limit:,}")
    return path.read_bytes()


def read_json(path: Path) -> dict[str, Any]:
    """Raises RunError when the file is missing or is no JSON object."""
    try:
        document = json.loads(read_bytes(path))
    except FileNotFoundError:
        raise RunError(f"{path} is missing") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(document, dict):
        raise RunError(f"{path} is damaged: not a JSON object")
    if _is_newer_schema(document.get("schema_version")):
        raise _newer(path, document)
    return document


def read(path: Path, model: type[M], otherwise: str = "") -> M | None:
    """None when the file is not there; RunError, with what can be done `otherwise`, when it is damaged."""
    if not path.exists():
        return None
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        check_version(path, error)
        advice = f"; {otherwise}" if otherwise else ""
        raise RunError(f"{path} is damaged: {first_problem(error)}{advice}") from None


def check_version(path: Path, error: Exception | None = None) -> None:
    """Raises NewerVersion when a file that cannot be used is not damaged, but newer than this version: the error names
    keys that are unknown here, or a schema; or environment.json says so."""
    problems = error.errors(include_url=False) if isinstance(error, ValidationError) else []
    for problem in problems:
        of_schema = problem["loc"][-1:] == ("schema_version",) and _is_newer_schema(problem["input"])
        if problem["type"] == "extra_forbidden" or of_schema:
            raise _newer(path, {})
    if _version_beside(path):
        raise _newer(path, {})


def _newer(path: Path, document: Mapping[str, Any]) -> NewerVersion:
    """With the version, where the file or environment.json tells it."""
    within = document.get("environment", document)
    told = _later(within.get("nanonas") if isinstance(within, dict) else None) or _version_beside(path)
    return NewerVersion(f"{path} {NEWER}{f', {told}' if told else ''}; this is {version('nanonas')}; {UPGRADE}")


def _is_newer_schema(told: object) -> bool:
    return isinstance(told, int | float) and told > SCHEMA_VERSION


def _version_beside(path: Path) -> str:
    """What environment.json says, when that is a later version than this; nothing otherwise."""
    with suppress(OSError, ValueError, RecursionError, RunError):
        beside = json.loads(read_bytes(path.with_name("environment.json")))
        return _later(beside.get("nanonas")) if isinstance(beside, dict) else ""
    return ""


def _later(told: object) -> str:
    parts, own = (re.findall(r"\d+", text)[:3] for text in (str(told)[:40], version("nanonas") or ""))
    return ".".join(parts) if list(map(int, parts)) > list(map(int, own)) else ""


def first_problem(error: ValidationError) -> str:
    """The first of what was wrong, and where: `metrics.params: Input should be a valid number`."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where + ': ' if where else ''}{first['msg']}"


def document(kind: str, run: Path, **fields: Any) -> dict[str, Any]:
    """A result file's content; every one names its kind, its version and its run."""
    return {**heading(kind), "run": readable(run), **fields}


def readable(path: Path) -> str:
    """A path as text, with ? for what is no UTF-8."""
    return str(path).encode(errors="replace").decode()


def heading(kind: str) -> dict[str, Any]:
    return {"kind": kind, "schema_version": SCHEMA_VERSION}


def text_of(data: bytes) -> str:
    """A file that a user made, with any editor or by `>` in PowerShell, which writes UTF-16.

    Raises ValueError, with what to do, for what is neither UTF-8 nor begins with the mark of another UTF.
    """
    encoding = next((name for mark, name in UTF.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        problem = f"not text in {encoding.upper()} (byte {data[error.start]:#04x} in line {line})"
        raise ValueError(f"{problem}; save it as UTF-8 in an editor") from None
    if "\0" in text:
        raise ValueError("not text in UTF-8 but perhaps in UTF-16 (it holds NUL bytes); save it as UTF-8 in an editor")
    return text

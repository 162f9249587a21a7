"""The cache of decoded data sets: uint8 arrays on disk that every process maps into memory.

It lies in `$NANONAS_CACHE`, else `$XDG_CACHE_HOME/nanonas`, else `~/.cache/nanonas`. An entry is a folder with the
images and labels of each part as .npy files, and meta.json. It appears complete or not at all.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.config import Config
from ..core.errors import DataError

VERSION = 2  # one more whenever the same files would be decoded to other pixels
CHUNK_IMAGES = 256
CHUNK_BYTES = 1 << 26
PIXELS_AT_ONCE = 500 * 64 * 64  # of a batch in float32, so that its activations fit into memory too
SMALLEST_STD = 1e-3
TEMPORARY = ".nanonas-decoding-"
ABANDONED_SECONDS = 24 * 3600

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]


class Meta(Config):
    """meta.json: what is known of a data set besides pixels and labels.

    Attributes:
        bytes: the size of every other file.
        range: the values of pictures of more than 8 bits that became 0 and 255.
        notes: what its users should know, and are told whenever it is opened.
    """

    name: str
    classes: tuple[str, ...]
    fingerprint: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bytes: dict[str, int]
    range: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contents:
    """Of a part: the rows of `images` (N, H, W, C) and `labels` (N,) that make it up.

    Attributes:
        names: of all images, where they come from files.
        beside: arrays of the part that are kept with it.
    """

    images: Pixels
    labels: Labels
    rows: Indices
    names: Sequence[str] | None = None
    beside: Mapping[str, Labels] = field(default_factory=dict)


class Entry(NamedTuple):
    """A data set in the cache, with the images and labels of its train part."""

    meta: Meta
    images: Pixels
    labels: Labels


def cache_dir() -> Path:
    """Where decoded data sets and downloads are kept. Raises DataError for a user without a home folder."""
    try:
        if place := os.environ.get("NANONAS_CACHE"):
            return Path(place).expanduser().absolute()
        if home := os.environ.get("XDG_CACHE_HOME"):
            return Path(home).expanduser().absolute() / "nanonas"
        return Path.home() / ".cache" / "nanonas"
    except RuntimeError as error:
        raise DataError("there is no such home folder for the cache; set NANONAS_CACHE to a folder") from error


def entry_path(name: str, *identity: object) -> Path:
    """The folder for `name`, another one for every other `identity`."""
    digest = hashlib.sha256(json.dumps([VERSION, name, *identity]).encode())
    return cache_dir() / f"{name}-{digest.hexdigest()[:16]}"


def read_entry(path: Path) -> Entry:
    """Of the test images and labels it looks at the size only. Raises DataError at a damaged entry."""
    try:
        meta = Meta.model_validate_json((path / "meta.json").read_bytes())
        whole = all((path / name).stat().st_size == size for name, size in meta.bytes.items())
    except PermissionError:  # it may be as good as any
        raise
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    return Entry(meta, *read_part(path, "train"))


def read_beside(path: Path, part: str, name: str) -> Labels | None:
    """An array that was kept with a part; None where there is none."""
    file = path / f"{part}_{name}.npy"
    try:
        return np.array(np.lib.format.open_memmap(file, mode="r"), dtype=np.int64) if file.exists() else None
    except (OSError, ValueError) as error:
        raise _damaged(path) from error


def read_names(path: Path, part: str) -> tuple[str, ...] | None:
    """Of the image files of a part, relative to the root; None where the images are no files."""
    file = path / f"{part}_names.json"
    try:
        return tuple(map(str, json.loads(file.read_bytes()))) if file.exists() else None
    except (OSError, ValueError, RecursionError, TypeError) as error:
        raise _damaged(path) from error


def read_part(path: Path, part: str) -> tuple[Pixels, Labels]:
    """Images, memory-mapped, and labels of `part`, train or test; both read-only."""
    try:
        images = np.lib.format.open_memmap(path / f"{part}_images.npy", mode="r")
        labels = np.array(np.lib.format.open_memmap(path / f"{part}_labels.npy", mode="r"), dtype=np.int64)
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
        raise _damaged(path)
    labels.flags.writeable = False
    return images, labels


def write_entry(
    path: Path,
    meta: Mapping[str, Any],
    parts: Mapping[str, "Contents"],
    texts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Writes `parts`, train and test, into a folder beside `path` that then takes its place.

    When another process has put a sound entry there meanwhile, that one stays. Raises DataError when the cache cannot
    be written.

    Args:
        meta: name, classes, range, notes.
        texts: other files, for people.
    """
    digest = hashlib.sha256(json.dumps(meta["classes"]).encode())
    histogram = np.zeros((parts["train"].images.shape[3], 256), dtype=np.int64)

    def rows_of(part: str, contents: Contents) -> Iterator[Pixels]:
        chunk = chunk_of(contents.images.shape[1:])
        for start in range(0, len(contents.rows), chunk):
            batch = np.ascontiguousarray(contents.images[contents.rows[start : start + chunk]])
            digest.update(batch.data)
            if part == "train":
                for channel, counts in enumerate(histogram):
                    counts += np.bincount(batch[..., channel].ravel(), minlength=256)
            yield batch

    with scratch(path) as temporary:
        for part, contents in parts.items():
            labels = contents.labels[contents.rows].astype("<i8")
            shape = (len(labels), *contents.images.shape[1:])
            digest.update(repr(shape).encode() + labels.tobytes())
            write_array(temporary / f"{part}_labels.npy", "<i8", labels.shape, [labels])
            write_array(temporary / f"{part}_images.npy", "|u1", shape, rows_of(part, contents))
            for name, values in contents.beside.items():
                write_array(temporary / f"{part}_{name}.npy", "<i8", values.shape, [values.astype("<i8")])
            if contents.names is not None:
                names = [contents.names[row] for row in contents.rows]
                (temporary / f"{part}_names.json").write_text(json.dumps(names), encoding="ascii")
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        mean, std = _statistics(histogram)
        sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
        known = Meta(**meta, fingerprint=digest.hexdigest(), mean=mean, std=std, bytes=sizes)
        (temporary / "meta.json").write_text(known.model_dump_json(indent=1), encoding="utf-8")
        _publish(temporary, path)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is being written, which is then renamed or removed."""
    temporary = path.with_name(TEMPORARY + uuid.uuid4().hex)
    try:
        _sweep(path.parent)
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"no space left on {path.parent}; NANONAS_CACHE moves the cache") from error
        raise DataError(
            f"cannot write the cache {path.parent} ({error.strerror}); set NANONAS_CACHE to a folder you can write to"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def chunk_of(shape: tuple[int, ...]) -> int:
    """How many images of a shape are decoded or copied at a time."""
    return max(1, min(CHUNK_IMAGES, CHUNK_BYTES // math.prod(shape)))


def at_once(area: int, most: int) -> int:
    """How many images of so many pixels a network works on at a time, where nothing depends on it."""
    return max(1, min(most, PIXELS_AT_ONCE // area))


def write_array(path: Path, kind: str, shape: tuple[int, ...], blocks: Iterable[npt.NDArray[Any]]) -> None:
    """A .npy file, by plain writes: on a full disk these raise, where a mapped page would kill the process."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(block.data)


def _publish(temporary: Path, path: Path) -> None:
    try:
        temporary.rename(path)
        return
    except OSError:
        if not path.exists():
            raise
    try:
        read_entry(path)  # another process was faster, and its entry is as good
    except DataError:
        aside = temporary.with_name(temporary.name + "-damaged")
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        _publish(temporary, path)


def _sweep(home: Path) -> None:
    """Removes what processes that were killed while they decoded have left behind."""
    for folder in home.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _statistics(histogram: npt.NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in units of pixel / 255, from how often it takes each value."""
    values = np.arange(256) / 255
    weights = histogram / np.maximum(histogram.sum(axis=1, keepdims=True), 1)  # of no image at all, when nobody trains
    mean = weights @ values
    std = np.sqrt((weights * (values - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(np.maximum(std, SMALLEST_STD).tolist())


def _damaged(path: Path) -> DataError:
    return DataError(f"the cache entry {path} is damaged; remove it, and the data is decoded again")

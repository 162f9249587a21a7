"""The public data sets that torchvision reads, downloaded where they are missing.

The files are fetched here and not by torchvision, whose download has no time-out and draws a progress bar into logs.
"""

import hashlib
import http.client
import os
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.errors import NO_LOCKS, DataError
from ..core.say import Say

TIMEOUT_SECONDS = 60
BLOCK = 1 << 18
UNDER_WAY = ".downloading"
DIGITS = tuple("0123456789")
# torchvision's class → what it reads under the root
PLACES = {
    "MNIST": "MNIST/raw",
    "FashionMNIST": "FashionMNIST/raw",
    "SVHN": "train_32x32.mat",
    "CIFAR10": "cifar-10-batches-py",
    "CIFAR100": "cifar-100-python",
}
SLOW = "; its server has been slow (an hour): data.root, or an image folder with data.name=folder, is the alternative"


class Arrays(NamedTuple):
    """Images (N, H, W, C) and labels (N,)."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


class Archive(NamedTuple):
    """A file to fetch, and where torchvision looks for it."""

    path: Path
    md5: str
    urls: tuple[str, ...]


class _MissingError(Exception):
    """torchvision did not find the files, or not with the checksum that they should have."""


class _NetworkError(Exception):
    """The network's part of the OSErrors of a download; the others are the disk's."""


def read(
    kind: str, root: Path, *, is_ours: bool, say: Say, progress: Callable[[int, int], None]
) -> tuple[tuple[str, ...], Arrays, Arrays]:
    """Classes, train and test of `kind`, a class of torchvision.datasets; downloads into `root` what is missing there.

    Nothing is written when `root` holds the data. Damaged files are downloaded again only when the folder `is_ours`.
    `progress` gets megabytes. Raises DataError: no network, an unwritable root, damaged files.
    """
    from torchvision import datasets

    cls = getattr(datasets, kind)
    try:
        return _load(cls, root)
    except _MissingError:
        pass
    except DataError:
        if not (root / UNDER_WAY).exists():  # else another process is about to complete it
            raise
    with _alone(root, say):
        with suppress(_MissingError):
            return _load(cls, root)
        archives = _archives(cls, root)
        wanted = [archive for archive in archives if not _is_intact(archive)]
        if wanted and not is_ours and (root / PLACES[kind]).exists():
            raise _damaged(kind, root)
        if wanted:
            say(f"downloading {kind} into {root}" + (SLOW if kind.startswith("CIFAR") else ""))
        for archive in wanted:
            _fetch(kind, archive, progress)
        try:
            return _load(cls, root, download=True)  # finds the archives and unpacks them
        except _MissingError as error:
            raise _damaged(kind, root) from error


@contextmanager
def _alone(root: Path, say: Say) -> Iterator[None]:
    """Waits for another process that downloads into this folder, and keeps others waiting."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = root / UNDER_WAY
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise _unwritable(root, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process downloads into {root}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise  # without locks two may download at once, each into a file of its own
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _load(cls: Any, root: Path, download: bool = False) -> tuple[tuple[str, ...], Arrays, Arrays]:
    kind = cls.__name__
    try:
        if kind == "SVHN":
            parts = [cls(root, split=split, download=download) for split in ("train", "test")]
            arrays = [Arrays(part.data.transpose(0, 2, 3, 1), np.asarray(part.labels, np.int64)) for part in parts]
        else:
            parts = [cls(root, train=train, download=download) for train in (True, False)]
            arrays = [Arrays(np.asarray(part.data), np.asarray(part.targets, np.int64)) for part in parts]
    except Exception as error:  # unpickling, gzip, tar and scipy.io each have their own
        if isinstance(error, RuntimeError) and "not found" in str(error):
            raise _MissingError from error
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"cannot use {error.filename or root}: {error.strerror}") from error
        raise _damaged(kind, root) from error
    classes = DIGITS if kind in ("MNIST", "SVHN") else tuple(parts[0].classes)
    train, test = (Arrays(a.pixels if a.pixels.ndim == 4 else a.pixels[..., None], a.labels) for a in arrays)
    for part in (train, test):
        if len(part.pixels) != len(part.labels) or not np.isin(part.labels, np.arange(len(classes))).all():
            raise _damaged(kind, root)
    return classes, train, test


def _damaged(kind: str, root: Path) -> DataError:
    place = root / PLACES[kind]
    return DataError(f"{place} is an incomplete or damaged {kind}; remove it and run again to download it anew")


def _archives(cls: Any, root: Path) -> list[Archive]:
    kind = cls.__name__
    if kind == "SVHN":
        return [Archive(root / name, md5, (url,)) for url, name, md5 in (cls.split_list[s] for s in ("train", "test"))]
    if kind.startswith("CIFAR"):
        return [Archive(root / cls.filename, cls.tgz_md5, (cls.url,))]
    home = root / PLACES[kind]
    return [Archive(home / name, md5, tuple(mirror + name for mirror in cls.mirrors)) for name, md5 in cls.resources]


def _is_intact(archive: Archive) -> bool:
    if not archive.path.is_file():
        return False
    with archive.path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest() == archive.md5


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _fetch(kind: str, archive: Archive, progress: Callable[[int, int], None]) -> None:
    reason: object = None
    part = archive.path.with_name(f"{archive.path.name}.{os.getpid()}.part")
    for url in archive.urls:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                _receive(response, part, archive, progress)
            return
        except (OSError, http.client.HTTPException, _NetworkError) as error:  # the next mirror may answer
            reason = getattr(error, "reason", None) or error
    raise DataError(
        f"cannot download {kind} from {urllib.parse.urlsplit(archive.urls[-1]).netloc} ({reason}); set data.root to a "
        "folder that holds it, use your own images with data.name=folder, or data.name=digits, which needs no network"
    )


def _receive(response: Any, part: Path, archive: Archive, progress: Callable[[int, int], None]) -> None:
    total = int(response.headers.get("Content-Length") or 0)
    digest = _md5()
    done = 0
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            while block := _next_block(response):
                file.write(block)
                digest.update(block)
                done += len(block)
                progress(done // 1_000_000, max(done, total) // 1_000_000)
        if digest.hexdigest() != archive.md5:
            raise _NetworkError("what arrived has another checksum")
        part.replace(archive.path)
    except OSError as error:
        raise _unwritable(archive.path.parent, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write {folder} ({error.strerror}); leave data.root null to download into the cache, which "
        "NANONAS_CACHE moves"
    )


def _next_block(response: Any) -> bytes:
    try:
        return bytes(response.read(BLOCK))
    except (OSError, http.client.HTTPException) as error:
        raise _NetworkError(str(error)) from error

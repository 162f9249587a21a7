"""A user's own images: which files make up the classes, and what they have in common."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from ..core.errors import DataError
from ..devices.machine import cores
from .cache import Labels, Pixels
from .picture import decode, header_of, strict_about_bombs

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
LAYOUT = "expected ROOT/train/<class>/* and ROOT/test/<class>/*, or one folder ROOT/<class>/*"
TRAIN_NAMES = frozenset({"train", "training"})  # in any case
TEST_NAMES = frozenset({"test", "testing"})
OTHER_PARTS = frozenset({"val", "valid", "validation", "dev", "eval"})
LARGEST_SIDE = 1024  # pixels
BAD_FILES_TOLD = 5
# below this many pixels threads cost more in waiting for the interpreter lock than decoding beside it saves
THREADS_FROM_PIXELS = 128 * 128


@dataclass(frozen=True, eq=False)
class FolderImages:
    """Image files with their labels; `shape` is the (H, W, C) to which each is brought when it is read."""

    paths: tuple[str, ...]
    labels: Labels
    shape: tuple[int, int, int]
    resize: bool
    threads: int

    def read(self, indices: Labels) -> Pixels:
        """(len(indices), H, W, C). Raises DataError, with the path, at an image that cannot be decoded."""
        paths = [self.paths[index] for index in indices]
        images = np.empty((len(paths), *self.shape), dtype=np.uint8)
        errors = []
        with strict_about_bombs(), ThreadPoolExecutor(self.threads) as pool:
            decoded = pool.map(self._decode, paths) if self.threads > 1 else map(self._decode, paths)
            for image, found in zip(images, decoded, strict=True):
                if isinstance(found, DataError):
                    errors.append(found)
                else:
                    image[:] = found
        _refuse(errors)
        return images

    def _decode(self, path: str) -> Pixels | DataError:
        try:
            pixels = decode(path, self.shape, self.resize)
        except DataError as error:
            return error
        if pixels.shape != self.shape:
            sizes = [f"{width}×{height}" for height, width, _ in (pixels.shape, self.shape)]
            return DataError(f"{path} is {sizes[0]}, not {sizes[1]}; set data.image_size")
        return pixels


@dataclass(frozen=True)
class Part:
    paths: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Listing:
    """What a root holds. `identity` changes when a file is added, removed, renamed or written to."""

    root: Path
    classes: tuple[str, ...]
    train: Part
    test: Part | None
    identity: str
    warnings: tuple[str, ...]

    def open(
        self, image_size: int | None, progress: Callable[[int, int], None]
    ) -> tuple[FolderImages, FolderImages | None]:
        """Train and test, after a look at the header of every image, for what they have in common.

        One channel when every image is grayscale, else three. Raises DataError at an unreadable header, and when
        `image_size` is None and the images have several sizes.
        """
        paths = self.train.paths + (self.test.paths if self.test else ())
        sizes: Counter[tuple[int, int]] = Counter()
        gray, errors = True, []
        with strict_about_bombs():
            for done, path in enumerate(paths):
                progress(done, len(paths))
                try:
                    header = header_of(path)
                except DataError as error:
                    errors.append(error)
                else:
                    gray = gray and header.gray
                    sizes[header.width, header.height] += 1
        _refuse(errors)
        if image_size is None and len(sizes) > 1:
            (w, h), (wide, high) = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
            raise DataError(
                f"the images in {self.root} have {len(sizes):,} sizes, from {w}×{h} to {wide}×{high}; "
                f"set data.image_size, e.g. --set data.image_size={min(64, max(8, w, h))}"
            )
        width, height = (image_size, image_size) if image_size else next(iter(sizes))
        if max(width, height) > LARGEST_SIDE:
            raise DataError(
                f"the images in {self.root} are {width}×{height}, and a side may have {LARGEST_SIDE:,} pixels; "
                "set data.image_size, e.g. --set data.image_size=64"
            )
        pixels = sum(w * h * count for (w, h), count in sizes.items()) / len(paths)
        threads = min(8, cores()) if pixels >= THREADS_FROM_PIXELS else 1

        def images(part: Part) -> FolderImages:
            labels = np.array(part.labels, dtype=np.int64)
            return FolderImages(part.paths, labels, (height, width, 1 if gray else 3), image_size is not None, threads)

        return images(self.train), images(self.test) if self.test else None


def scan(root: Path) -> Listing:
    """Lists ROOT/train/<class>/* with or without ROOT/test, else ROOT/<class>/*; reads no image.

    Links are followed, hidden files ignored, folders inside a class belong to it. Raises DataError when there is
    nothing to classify: no folder, no classes, one class, a class without images, other classes in test than in train.
    """
    try:
        if not root.exists():
            raise DataError(f"data.root {root} does not exist; {LAYOUT}")
        if not root.is_dir():
            raise DataError(f"data.root {root} is a file, not a folder; {LAYOUT}")
        return _scan(root)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or root}: {error.strerror}") from error


def _scan(root: Path) -> Listing:
    folders = _folders(root)
    # a folder named train that holds images, not folders, is a class: of vehicles, perhaps
    home = _named(root, folders, TRAIN_NAMES) or root
    tested = _named(root, folders, TEST_NAMES) if home != root else None
    classes = tuple(_folders(home))
    notes = []
    if not classes:
        raise DataError(f"data.root {root} has no folder of images; {LAYOUT}")
    if home == root:
        _check_no_parts(root, classes)
    if len(classes) == 1:
        raise DataError(f"{home} has a single class, {classes[0]!r}; at least two are needed; {LAYOUT}")
    if odd := next((name for name in classes if not name.isprintable()), None):
        raise DataError(f"{home} has a class named {odd!r}; rename the folder: a name must be printable text")
    if home != root and (unused := [name for name in folders if root / name not in (home, tested)]):
        cut = "validation images are" if tested else "test and validation images are"
        notes.append(
            f"in {root} {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} not used: {cut} cut from {home.name}"
        )
    digest = hashlib.sha256()
    train, ignored = _part(home, classes, digest)
    test = None
    if tested:
        if difference := sorted(set(classes) ^ set(_folders(tested))):
            where = tested.name if difference[0] in classes else home.name
            raise DataError(
                f"{home.name} and {tested.name} in {root} have different classes: {difference[0]!r} is not in {where}"
                + (f" (and {len(difference) - 1} more)" if len(difference) > 1 else "")
            )
        test, more = _part(tested, classes, digest)
        ignored += more
    if ignored:
        notes.append(f"{ignored:,} files in {root} are not used: they are no {', '.join(sorted(EXTENSIONS))}")
    return Listing(root, classes, train, test, digest.hexdigest(), tuple(notes))


def _named(root: Path, folders: Sequence[str], names: frozenset[str]) -> Path | None:
    """The folder of a part, which has folders of classes; DataError when there are two."""
    found = [root / name for name in folders if name.lower() in names and _folders(root / name)]
    if len(found) > 1:
        raise DataError(f"{root} has both {found[0].name} and {found[1].name}; {LAYOUT}")
    return found[0] if found else None


def _check_no_parts(root: Path, classes: Sequence[str]) -> None:
    """Raises DataError when what would be the classes are parts of the data under names that say so."""
    if (TRAIN_NAMES | TEST_NAMES | OTHER_PARTS).issuperset(name.lower() for name in classes):
        raise DataError(f"{root / classes[0]} has no class folders; {LAYOUT}")
    trains = {re.sub("train(ing)?", "*", name.lower()): name for name in classes if "train" in name.lower()}
    tests = {re.sub("test(ing)?", "*", name.lower()): name for name in classes if "test" in name.lower()}
    if both := sorted(trains.keys() & tests.keys()):  # seg_train and seg_test
        names = f"{trains[both[0]]} and {tests[both[0]]}"
        raise DataError(f"{names} in {root} seem to be parts of the data, not classes; rename them; {LAYOUT}")


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.name[0] != "." and entry.is_dir())


def _part(home: Path, classes: tuple[str, ...], digest: "hashlib._Hash") -> tuple[Part, int]:
    """The images of every class, in the same order on every machine, and how many other files lie there."""
    paths: list[str] = []
    labels: list[int] = []
    ignored = 0
    for label, name in enumerate(classes):
        folder = str(home / name)
        found, others = _images(folder)
        if not found:
            raise DataError(f"class {name!r} has no images: {folder} holds no {', '.join(sorted(EXTENSIONS))}")
        for path in found:
            status = os.stat(path)  # noqa: PTH116  # text all through: with 60,000 Path objects this takes four times as long
            line = f"{home.name}/{name}{_slashed(path[len(folder) :])}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        paths += found
        labels += [label] * len(found)
        ignored += others
    return Part(tuple(paths), tuple(labels)), ignored


def _images(folder: str) -> tuple[list[str], int]:
    found: list[str] = []
    ignored = 0
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        if (real := os.path.realpath(here)) in seen:  # a link to a folder above it would be walked for ever
            folders.clear()
            continue
        seen.add(real)
        visible = [name for name in names if name[0] != "."]
        images = [name for name in visible if name[name.rfind(".") :].lower() in EXTENSIONS]
        found += [f"{here}{os.sep}{name}" for name in images]
        ignored += len(visible) - len(images)
    return sorted(found, key=_slashed), ignored


def _slashed(path: str) -> str:
    """As on every system, so that the order is the same on all."""
    return path.replace(os.sep, "/")


def _raise(error: OSError) -> NoReturn:
    raise error


def _refuse(errors: Sequence[DataError]) -> None:
    """Raises one DataError for all of them, if there are any."""
    if len(errors) > 1:
        told = "; ".join(str(error).partition(";")[0] for error in errors[:BAD_FILES_TOLD])
        more = f"; and {len(errors) - BAD_FILES_TOLD:,} more" if len(errors) > BAD_FILES_TOLD else ""
        raise DataError(f"{len(errors):,} files cannot be used: {told}{more}; replace or remove them")
    if errors:
        raise errors[0]

"""A user's own images: which files make up the classes and parts, and what they have in common."""

import errno
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from ..core.errors import DataError
from ..devices.machine import cores
from .cache import Indices, Labels, Pixels
from .copies import TEST, TRAIN, VALIDATION
from .picture import PLUGINS, Damaged, Fit, Form, Range, decode, extremes, header_of, strict_about_bombs

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", *PLUGINS})
LAYOUT = "expected ROOT/train/<class>/* and ROOT/test/<class>/*, or one folder ROOT/<class>/*"
TRAIN_NAMES = frozenset({"train", "training"})  # in any case
VALIDATION_NAMES = frozenset({"val", "valid", "validation", "dev"})
TEST_NAMES = frozenset({"test", "testing"})
OTHER_PARTS = frozenset({"eval"})
ALL_PARTS = TRAIN_NAMES | VALIDATION_NAMES | TEST_NAMES | OTHER_PARTS
# what file servers and systems put beside a user's files: thumbnails, what was deleted
SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@sharesnap", "@appdata"),
        *("#recycle", "#snapshot", "$recycle.bin", "recycler", "system volume information", "lost+found"),
        *("__macosx", "__pycache__"),
    }
)
NAMES = {TRAIN: TRAIN_NAMES, VALIDATION: VALIDATION_NAMES, TEST: TEST_NAMES}
OURS = (("spec.yaml", "environment.json"), ("meta.json", "train_images.npy"))  # in a run, in an entry of the cache
LARGEST_SIDE = 1024  # pixels
# below this many pixels threads cost more in waiting for the interpreter lock than decoding beside it saves
THREADS_FROM_PIXELS = 128 * 128


@dataclass(frozen=True, eq=False)
class FolderImages:
    """Image files with their labels; `form` is what each becomes when it is read.

    Attributes:
        names: relative to the root, with slashes.
        deep: which images have more than 8 bits a channel.
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    labels: Labels
    form: Form
    threads: int
    deep: frozenset[int] = frozenset()

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.form.shape

    def read(self, indices: Indices) -> tuple[Pixels, Mapping[int, str]]:
        images = np.zeros((len(indices), *self.shape), dtype=np.uint8)
        damaged: dict[int, str] = {}
        with strict_about_bombs(), ThreadPoolExecutor(self.threads) as pool:
            rows = indices.tolist()
            decoded = pool.map(self._decode, rows) if self.threads > 1 else map(self._decode, rows)
            for row, image, found in zip(rows, images, decoded, strict=True):
                if isinstance(found, Damaged):
                    damaged[row] = str(found)
                else:
                    image[:] = found
        return images, damaged

    def spans(self, indices: Indices, progress: Callable[[int, int], None]) -> Sequence[Range]:
        chosen = [row for row in indices.tolist() if row in self.deep]
        found = []
        for done, row in enumerate(chosen):
            progress(done, len(chosen))
            with suppress(Damaged):
                found.append(extremes(self.paths[row]))
        return found

    def ranged(self, span: Range) -> "FolderImages":
        return replace(self, form=replace(self.form, range=span))

    def _decode(self, row: int) -> Pixels | Damaged:
        try:
            pixels = decode(self.paths[row], self.form)
        except Damaged as error:
            return error
        if pixels.shape != self.shape:
            sizes = [f"{width}×{height}" for height, width, _ in (pixels.shape, self.shape)]
            raise DataError(f"{self.paths[row]} is {sizes[0]}, not {sizes[1]}; set data.image_size")
        return pixels


@dataclass(frozen=True)
class Listing:
    """The image files of a user, part by part, and in each class by class.

    Attributes:
        paths, names, labels, parts: of each file; names are relative to the root, with slashes.
        groups: (N,) files of one number stay together; None where the user named no groups.
        identity: changes when a file is added, removed, renamed, moved or written to.
        unused: other files beside the images.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    names: tuple[str, ...]
    labels: Labels
    parts: Labels
    groups: Labels | None
    identity: str
    warnings: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def open(
        self, image_size: int | None, fit: Fit, progress: Callable[[int, int], None]
    ) -> tuple[FolderImages, tuple[str, ...]]:
        """The images, and what is to be said of them, after a look at every header, for what they have in common.

        One channel when every image is grayscale, else three. Raises DataError when `image_size` is None and the images
        have several sizes.
        """
        sizes: Counter[tuple[int, int]] = Counter()
        gray, cut, deep = True, [], set()
        with strict_about_bombs():
            for done, path in enumerate(self.paths):
                progress(done, len(self.paths))
                with suppress(Damaged):  # decoding tells
                    header = header_of(path)
                    gray = gray and header.gray
                    sizes[header.width, header.height] += 1
                    if header.deep:
                        deep.add(done)
                    if header.cut:
                        cut.append(self.names[done])
        if image_size is None and len(sizes) > 1:
            (w, h), (wide, high) = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
            raise DataError(
                f"the images in {self.root} have {len(sizes):,} sizes, from {w}×{h} to {wide}×{high}; "
                f"set data.image_size, e.g. --set data.image_size={min(64, max(8, w, h))}"
            )
        width, height = (image_size, image_size) if image_size or not sizes else next(iter(sizes))
        if max(width or 1, height or 1) > LARGEST_SIDE:
            raise DataError(
                f"the images in {self.root} are {width}×{height}, and a side may have {LARGEST_SIDE:,} pixels; "
                "set data.image_size, e.g. --set data.image_size=64"
            )
        pixels = sum(w * h * count for (w, h), count in sizes.items()) / len(self.paths)
        threads = min(8, cores()) if pixels >= THREADS_FROM_PIXELS else 1
        form = Form(height or 1, width or 1, 1 if gray else 3, fit, resize=image_size is not None)
        said = [
            f"{len(cut):,} colour images have 16 bits a channel, of which the upper 8 are read, such as {name}; where "
            "those are dark, save them with 8 bits"
            for name in cut[:1]
        ]
        images = FolderImages(self.paths, self.names, self.labels, form, threads, frozenset(deep))
        return images, tuple(said)


def scan(root: Path, groups: str | None = None) -> Listing:
    """Lists ROOT/train/<class>/*, with or without ROOT/val and ROOT/test, else ROOT/<class>/*; reads no image.

    Links are followed; hidden files, runs of nanonas and what file servers leave are ignored; folders inside a class
    belong to it. Raises DataError when there is nothing to classify: no folder, no classes, one class, a class without
    images, other classes in one part than in another.

    Args:
        groups: a regular expression; files in whose names its first group finds the same text belong together.
    """
    try:
        if not root.exists():
            raise DataError(f"data.root {root} does not exist; {LAYOUT}")
        if not root.is_dir():
            raise DataError(f"data.root {root} is a file, not a folder; {LAYOUT}")
        return _scan(root, groups)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or root}: {error.strerror}") from error


def _scan(root: Path, groups: str | None) -> Listing:
    folders = _folders(root)
    # a folder named train that holds images, not folders, is a class: of vehicles, perhaps
    found = {part: _named(root, folders, names) for part, names in NAMES.items()}
    made = {part: home for part, home in found.items() if home}
    if TRAIN in made or (TEST in made and len(folders) == 1):
        unused = [name for name in folders if root / name not in made.values()]
        notes = [f"in {root} {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} not used"] if unused else []
        return _listing(root, made, groups, notes)
    if not folders:
        raise DataError(f"data.root {root} has no folder of images; {LAYOUT}")
    _check_no_parts(root, folders)
    return _listing(root, {TRAIN: root}, groups, [])


def _listing(root: Path, homes: Mapping[int, Path], groups: str | None, notes: list[str]) -> Listing:
    """Of the folders of one or more parts."""
    first = next(iter(homes.values()))
    classes = tuple(_folders(first))
    if len(classes) == 1:
        raise DataError(f"{first} has a single class, {classes[0]!r}; at least two are needed; {LAYOUT}")
    if odd := next((name for name in classes if not name.isprintable()), None):
        raise DataError(f"{first} has a class named {odd!r}; rename the folder: a name must be printable text")
    paths: list[str] = []
    labels: list[int] = []
    parts: list[int] = []
    other, skipped = list[str](), set[str]()
    for part, home in homes.items():
        skipped |= {path.name for path in home.iterdir() if path.name.lower() in SYSTEM_FOLDERS}
        if difference := sorted(set(classes) ^ set(_folders(home))):
            where = home.name if difference[0] in classes else first.name
            raise DataError(
                f"{first.name} and {home.name} in {root} have different classes: {difference[0]!r} is not in {where}"
                + (f" (and {len(difference) - 1} more)" if len(difference) > 1 else "")
            )
        for label, name in enumerate(classes):
            images, more, out = images_in(str(home / name))
            if not images:
                raise DataError(f"class {name!r} has no images: {home / name} holds no {', '.join(sorted(EXTENSIONS))}")
            paths += images
            labels += [label] * len(images)
            parts += [part] * len(images)
            other += more
            skipped |= out
    if ours := [path.name for path in sorted(first.iterdir()) if path.is_dir() and _is_ours(path)]:
        notes.append(f"in {first} {', '.join(ours)} {'is' if len(ours) == 1 else 'are'} of nanonas, and no class")
    if skipped:
        notes.append(
            f"in {root} folders named {', '.join(sorted(skipped))} are not used: a server or system keeps them"
        )
    if other:
        names = ", ".join(_relative(path, root) for path in other[:3]) + (", …" if len(other) > 3 else "")
        kinds = ", ".join(sorted(EXTENSIONS))
        notes.append(f"{len(other):,} files in {root} are not used ({names}): they are no {kinds}")
    found = listing(
        root, classes, paths, [_relative(path, root) for path in paths], labels, parts, groups, tuple(notes)
    )
    return replace(found, unused=tuple(_relative(path, root) for path in other))


def listing(
    root: Path,
    classes: tuple[str, ...],
    paths: Sequence[str],
    names: Sequence[str],
    labels: Sequence[int],
    parts: Sequence[int],
    groups: str | Labels | None,
    notes: tuple[str, ...],
) -> Listing:
    """Args: groups: a regular expression, or a number for each file."""
    digest = hashlib.sha256()
    for path, name in zip(paths, names, strict=True):
        digest.update(_stamp(path, name).encode("utf-8", "surrogateescape"))
    if isinstance(groups, str):
        groups, said = grouped(names, groups)
        notes = (*notes, *said)
    if groups is not None:
        digest.update(groups.tobytes())
    numbers = np.array(labels, dtype=np.int64), np.array(parts, dtype=np.int64)
    return Listing(root, classes, tuple(paths), tuple(names), *numbers, groups, digest.hexdigest(), notes)


def grouped(names: Sequence[str], pattern: str) -> tuple[Labels, tuple[str, ...]]:
    """A number for each name, equal where the first group of a regular expression finds the same text; and what is to
    be said of it. Raises DataError when it finds nothing anywhere."""
    found = [re.search(pattern, name) for name in names]
    texts = [(match and match[1]) or f"\0{name}" for match, name in zip(found, names, strict=True)]
    lost = sum(text[0] == "\0" for text in texts)
    if lost == len(names):
        raise DataError(f"data.groups {pattern!r} finds no group in any file name, such as {names[0]}")
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    groups = np.array([numbers[text] for text in texts], dtype=np.int64)
    first = next((name for name, text in zip(names, texts, strict=True) if text[0] == "\0"), "")
    said = f"data.groups finds nothing in {lost:,} of {len(names):,} file names, such as {first}: each is on its own"
    return groups, (said,) if lost else ()


def _stamp(path: str, name: str) -> str:
    """What changes with a file: also when another takes its name, of the same size and time."""
    try:
        # text all through: with 60,000 Path objects this takes four times as long
        told = os.stat(path)  # noqa: PTH116
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        return f"{name}\0\n"  # a link that leads nowhere
    return f"{name}\0{told.st_size}\0{told.st_mtime_ns}\0{told.st_ino}\0{told.st_ctime_ns}\n"


def _named(root: Path, folders: Sequence[str], names: frozenset[str]) -> Path | None:
    """The folder of a part, which has folders of classes; DataError when there are two."""
    found = [root / name for name in folders if name.lower() in names and _folders(root / name)]
    if len(found) > 1:
        raise DataError(f"{root} has both {found[0].name} and {found[1].name}; {LAYOUT}")
    return found[0] if found else None


def _check_no_parts(root: Path, classes: Sequence[str]) -> None:
    """Raises DataError when what would be the classes are parts of the data under names that say so, or hold parts."""
    if ALL_PARTS.issuperset(name.lower() for name in classes):
        raise DataError(f"{root / classes[0]} has no class folders; {LAYOUT}")
    trains = {re.sub("train(ing)?", "*", name.lower()): name for name in classes if "train" in name.lower()}
    tests = {re.sub("test(ing)?", "*", name.lower()): name for name in classes if "test" in name.lower()}
    if both := sorted(trains.keys() & tests.keys()):  # seg_train and seg_test
        names = f"{trains[both[0]]} and {tests[both[0]]}"
        raise DataError(f"{names} in {root} seem to be parts of the data, not classes; rename them; {LAYOUT}")
    for name in classes:
        inside = [folder for folder in _folders(root / name) if folder.lower() in ALL_PARTS]
        if any(folder.lower() in TRAIN_NAMES for folder in inside) and len(inside) > 1:
            raise DataError(
                f"{root / name} has the folders {' and '.join(inside)}, parts of the data inside a class; move them: "
                f"{LAYOUT}; or name every file in data.labels"
            )


def _folders(folder: Path) -> list[str]:
    """Those that a user made: classes, or parts."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_folder(entry) and _is_the_users(entry.name, entry.path))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_the_users(name: str, path: str) -> bool:
    return name[0] != "." and name.lower() not in SYSTEM_FOLDERS and not _is_ours(Path(path))


def _is_ours(folder: Path) -> bool:
    """Whether it is a run or an entry of the cache, or holds such folders and nothing else."""
    if _is_marked(folder):
        return True
    with os.scandir(folder) as entries:
        inside = [
            entry for entry in itertools.islice(entries, 3) if entry.name[0] != "."
        ]  # of a class, 3 files will do
        if not inside or not all(_is_folder(entry) for entry in inside):
            return False
    return all(path.is_dir() and _is_marked(path) for path in folder.iterdir() if path.name[0] != ".")


def _is_marked(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in OURS)


def images_in(folder: str) -> tuple[list[str], list[str], set[str]]:
    """The images in a folder and those inside it, in the same order on every machine; other files; and the names of
    folders that a server or system keeps."""
    found: list[str] = []
    other, skipped, seen = list[str](), set[str](), set[str]()
    for here, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        skipped |= {name for name in folders if name.lower() in SYSTEM_FOLDERS}
        folders[:] = sorted(name for name in folders if _is_the_users(name, f"{here}{os.sep}{name}"))
        if (real := os.path.realpath(here)) in seen:  # a link to a folder above it would be walked for ever
            folders.clear()
            continue
        seen.add(real)
        visible = [name for name in names if name[0] != "."]
        images = [name for name in visible if name[name.rfind(".") :].lower() in EXTENSIONS]
        found += [f"{here}{os.sep}{name}" for name in images]
        other += [f"{here}{os.sep}{name}" for name in sorted({*visible} - {*images})]
    return sorted(found, key=_slashed), other, skipped


def _relative(path: str, root: Path) -> str:
    return _slashed(path[len(str(root)) :]).lstrip("/")


def _slashed(path: str) -> str:
    """As on every system, so that the order is the same on all."""
    return path.replace(os.sep, "/")


def _raise(error: OSError) -> NoReturn:
    raise error

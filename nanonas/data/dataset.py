"""DATASETS: whole data sets as uint8 arrays, decoded once and memory-mapped from then on.

Nothing is written outside the cache when `data.root` holds the data. Test images lie in a file of their own, which only
`Dataset.test` opens.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from ..core.config import Config, absolute
from ..core.errors import DataError
from ..core.registry import Registry
from ..core.say import Say, paced
from ..core.task import Task
from . import folder, published
from .cache import Entry, Indices, Labels, Pixels, cache_dir, entry_path, read_beside, read_entry, read_names, read_part
from .decoding import ArrayImages, Decoder, Raw
from .labels import scan_table
from .picture import Fit, Range
from .split import split

IMBALANCE = 10

Side = Annotated[int, Field(ge=1, le=folder.LARGEST_SIDE)]
"""Pixels, of an image as a network gets it; or its channels."""


class DataConfig(Config):
    """The data section of a spec."""

    name: Annotated[str, Field(description="the data set; folder: your own images")] = "digits"
    root: Annotated[
        str | None, Field(min_length=1, description="where the data lie; null: downloaded into the cache")
    ] = None
    validation_fraction: Annotated[
        float, Field(gt=0, le=0.5, description="share of the training images that a search scores on")
    ] = 0.1
    image_size: Annotated[
        int | None,
        Field(ge=4, le=folder.LARGEST_SIDE, description="images become squares of so many pixels; null: as they are"),
    ] = None

    fit: Annotated[
        Fit,
        Field(
            description="what becomes of images that are no squares: squash changes their shape, crop cuts off what is "
            "too long, pad puts gray beside them"
        ),
    ] = "squash"
    labels: Annotated[
        str | None,
        Field(
            min_length=1,
            description="a CSV file with the columns path and label, perhaps split (train, validation, test) and "
            "group; paths begin at data.root, or beside the file",
        ),
    ] = None
    groups: Annotated[
        str | None,
        Field(
            min_length=1,
            description="a regular expression; images in whose paths its first group finds the same text are never on "
            "both sides of a split: of one patient, one camera, one object",
        ),
    ] = None
    copies: Annotated[
        Literal["keep", "drop"],
        Field(description="equal and nearly equal images stay on one side of a split; drop: only one of them is used"),
    ] = "keep"
    range: Annotated[
        Range | None,
        Field(
            description="of images of more than 8 bits, what becomes black and white; null: the lowest and the highest "
            "value of the training images"
        ),
    ] = None

    @field_validator("root", "labels")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return None if path is None else absolute(path)

    @field_validator("groups")
    @classmethod
    def _finds_a_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                known = re.compile(pattern).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"is no regular expression: {error}") from error
            if not known:
                raise ValueError("needs a group in parentheses, such as '(patient\\d+)'")
        return pattern

    @field_validator("range")
    @classmethod
    def _rises(cls, span: Range | None) -> Range | None:
        if span is not None and not span[0] < span[1]:
            raise ValueError("must be [lowest, highest], with the lowest below the highest")
        return span

    @model_validator(mode="after")
    def _is_for_files(self) -> Self:
        for key in ("labels", "groups", "range"):
            if getattr(self, key) is not None and self.name != "folder":
                raise ValueError(f"{key} is for images of your own: data.name=folder")
        return self

    @field_validator("name")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        DATASETS[name]
        return name


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set ready to train on.

    `train_images` is (N, H, W, C) uint8, read-only and memory-mapped, with one channel or three; `train_labels` is
    (N,) int64 and indexes `classes`. `mean` and `std`, one for each channel, are of the train part and in units of
    pixel / 255. `flip`: whether a mirrored image is still of its class. `fingerprint` is the same exactly when the
    classes, pixels and labels of both parts are. `range`: the values that became black and white in images of more than
    8 bits. `groups`: (N,), images of one number stay on one side of a split. `validation`: what the user set apart.
    """

    name: str
    classes: tuple[str, ...]
    flip: bool
    fingerprint: str
    train_images: Pixels
    train_labels: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cache: Path
    range: Range | None = None
    groups: Labels | None = None
    validation: Indices | None = None

    @property
    def height(self) -> int:
        return int(self.train_images.shape[1])

    @property
    def width(self) -> int:
        return int(self.train_images.shape[2])

    @property
    def channels(self) -> int:
        return int(self.train_images.shape[3])

    @property
    def source(self) -> dict[str, dict[str, str]]:
        """What environment.json says of these data, so that another set behind the same name is noticed."""
        return {"data": {"name": self.name, "fingerprint": self.fingerprint}}

    @property
    def task(self) -> Task:
        return Task(self.channels, self.height, self.width, len(self.classes))

    def split(self, fraction: float, seed: int) -> tuple[Indices, Indices]:
        """Training and validation images: as the user set them apart, or `fraction` of every class."""
        if self.validation is not None:
            return np.setdiff1d(np.arange(len(self.train_labels)), self.validation), self.validation
        return split(self.train_labels, fraction, seed, self.groups)

    def train_names(self) -> tuple[str, ...] | None:
        """Of the files, relative to the root; None where the images are no files."""
        return read_names(self.cache, "train")

    def test_names(self) -> tuple[str, ...] | None:
        return read_names(self.cache, "test")

    def test(self) -> tuple[Pixels, Labels]:
        """The test part, laid out as the train part is. Its file is opened here and nowhere else."""
        return read_part(self.cache, "test")


@dataclass(frozen=True)
class Source:
    """Data that was found and not yet read; another `identity` means that it has to be decoded anew."""

    identity: str
    read: Callable[[], Raw]


@dataclass(frozen=True)
class DatasetKind:
    """What DATASETS holds.

    Attributes:
        flip: whether a mirrored image is still of its class.
        locate: reads no image.
        task: of the data as they are published; None where only they can tell.
    """

    flip: bool
    locate: Callable[[DataConfig, Say], Source]
    task: Task | None = None


# ---- loading


_PROVIDED: dict[DataConfig, Dataset] = {}


def provide(config: DataConfig, dataset: Dataset) -> None:
    """From now on `load_dataset` gives this one: for workers, which take what the coordinator has opened."""
    _PROVIDED[config] = dataset


def load_dataset(config: DataConfig, say: Say = lambda message: None, testing: bool = False) -> Dataset:
    """The data set that `config` names: from the cache, where it is put first if it is not there yet.

    `say` gets progress and warnings, a line at a time.

    Args:
        testing: nobody trains on it, so it may consist of a test part.

    Raises:
        DataError: the data are missing, unreadable or unfit for classification, or the disk has no room for them.
    """
    if config in _PROVIDED:
        return _PROVIDED[config]
    source = DATASETS[config.name].locate(config, say)
    cache = entry_path(config.name, config.image_size, config.fit, config.copies, config.range, source.identity)
    try:
        entry = read_entry(cache)
    except DataError:
        if cache.exists():
            say(f"warning: the cache entry {cache} was damaged; decoding again")
        Decoder(cache, config.name, config.copies == "drop", config.range, partial(paced, say)).write(source.read())
        entry = read_entry(cache)
    for note in entry.meta.notes:
        say(f"warning: {note}")
    dataset = _opened(cache, entry)
    if not len(dataset.train_labels) and not testing:
        raise DataError(f"data.root {config.root} has a test part only; training needs {folder.LAYOUT}")
    counts = np.bincount(dataset.train_labels, minlength=len(dataset.classes))
    if len(dataset.train_labels) and counts.max() > IMBALANCE * counts.min():
        large, small = int(counts.argmax()), int(counts.argmin())
        say(
            f"warning: classes of very different size: {dataset.classes[large]!r} has {counts[large]:,} train images, "
            f"{dataset.classes[small]!r} {counts[small]:,}; accuracy will mostly be that of the large classes"
        )
    return dataset


def known_task(config: DataConfig) -> Task | None:
    """What `load_dataset(config).task` would be, without a look at the data; None where only they can tell."""
    task, side = DATASETS[config.name].task, config.image_size
    return replace(task, height=side, width=side) if task and side else task


def open_dataset(cache: Path) -> Dataset:
    """The data set in `Dataset.cache`, an entry of the cache: for worker processes. Raises DataError if damaged."""
    return _opened(cache, read_entry(cache))


def _opened(cache: Path, entry: Entry) -> Dataset:
    meta = entry.meta
    return Dataset(
        name=meta.name,
        classes=meta.classes,
        flip=DATASETS[meta.name].flip,
        fingerprint=meta.fingerprint,
        train_images=entry.images,
        train_labels=entry.labels,
        mean=meta.mean,
        std=meta.std,
        cache=cache,
        range=meta.range,
        groups=read_beside(cache, "train", "groups"),
        validation=read_beside(cache, "train", "validation"),
    )


# ---- the data sets


def _digits(config: DataConfig, say: Say) -> Source:
    if config.root:
        say(f"warning: data.root {config.root} is not used by digits; for your own images set data.name=folder")

    def read() -> Raw:
        from sklearn.datasets import load_digits

        found = load_digits()
        pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., None]  # the originals go from 0 to 16
        images = ArrayImages(pixels, found.target.astype(np.int64), config.image_size)
        return Raw(published.DIGITS, images, np.zeros(len(pixels), dtype=np.int64))

    return Source("", read)


def _torchvision(kind: str) -> Callable[[DataConfig, Say], Source]:
    def locate(config: DataConfig, say: Say) -> Source:
        root = _root(config)

        def read() -> Raw:
            classes, train, test = published.read(
                kind,
                root or cache_dir() / "downloads",
                is_ours=root is None,
                say=say,
                progress=paced(say, f"downloading {kind}: {{:,}} of {{:,}} MB"),
            )
            return Raw.of_two(classes, train, test, config.image_size)

        return Source(f"{root}{_stamp(root / published.PLACES[kind])}" if root else "", read)

    return locate


def _stamp(place: Path) -> str:
    """Size and time of each file at a place, since torchvision does not look into those of the MNISTs."""
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    found = [path.stat() for path in files if path.is_file()]
    return "".join(f" {stat.st_size} {stat.st_mtime_ns}" for stat in found)


def _folder(config: DataConfig, say: Say) -> Source:
    root = _root(config)
    if config.labels is not None:
        listing = scan_table(Path(config.labels), root, config.groups)
    elif root is None:
        raise DataError(f"data.name=folder needs data.root, the folder of your images; {folder.LAYOUT}")
    else:
        listing = folder.scan(root, config.groups)
    for warning in listing.warnings:
        say(f"warning: {warning}")

    def read() -> Raw:
        progress = paced(say, "looking at the headers of {:,} of {:,} images")
        images, warnings = listing.open(config.image_size, config.fit, progress)
        for warning in warnings:
            say(f"warning: {warning}")
        return Raw(listing.classes, images, listing.parts, listing.groups, listing.unused)

    return Source(f"{listing.root} {listing.identity}", read)


def _root(config: DataConfig) -> Path | None:
    if config.root is None:
        return None
    try:
        return Path(config.root).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a null character
        raise DataError(f"data.root {config.root!r} is no folder: {error}") from error


DATASETS: Registry[DatasetKind] = Registry("data set")
DATASETS.add("digits", DatasetKind(False, _digits, Task(1, 8, 8, 10)))
DATASETS.add("mnist", DatasetKind(False, _torchvision("MNIST"), Task(1, 28, 28, 10)))
DATASETS.add("fashion_mnist", DatasetKind(True, _torchvision("FashionMNIST"), Task(1, 28, 28, 10)))
DATASETS.add("svhn", DatasetKind(False, _torchvision("SVHN"), Task(3, 32, 32, 10)))
DATASETS.add("cifar10", DatasetKind(True, _torchvision("CIFAR10"), Task(3, 32, 32, 10)))
DATASETS.add("cifar100", DatasetKind(True, _torchvision("CIFAR100"), Task(3, 32, 32, 100)))
DATASETS.add("folder", DatasetKind(True, _folder))

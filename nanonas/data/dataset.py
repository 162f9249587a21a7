"""DATASETS: whole data sets as uint8 arrays, decoded once and memory-mapped from then on.

Nothing is written outside the cache when `data.root` holds the data. Test images lie in a file of their own, which only
`Dataset.test` opens.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from ..core.config import Config, absolute
from ..core.errors import DataError
from ..core.registry import Registry
from ..core.say import Say
from ..core.task import Task
from ..devices.machine import memory_bytes
from . import folder, published
from .cache import (
    ArrayImages,
    Decodable,
    Indices,
    Labels,
    Pixels,
    Raw,
    cache_dir,
    entry_path,
    read_entry,
    read_part,
    write_entry,
)

TEST_FRACTION = 0.2
SMALLEST_CLASS = 5
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

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: str | None) -> str | None:
        return None if root is None else absolute(root)

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
    classes, pixels and labels of both parts are.
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


def load_dataset(config: DataConfig, say: Say = lambda message: None) -> Dataset:
    """The data set that `config` names: from the cache, where it is put first if it is not there yet.

    `say` gets progress and warnings, a line at a time. Raises DataError when the data is missing, unreadable, larger
    than half of the memory, or unfit for classification, and when the cache cannot be written.
    """
    if config in _PROVIDED:
        return _PROVIDED[config]
    source = DATASETS[config.name].locate(config, say)
    cache = entry_path(config.name, config.image_size, source.identity)
    try:
        dataset = open_dataset(cache)
    except DataError:
        if cache.exists():
            say(f"warning: the cache entry {cache} was damaged; decoding again")
        raw = source.read()
        _check_classes(raw)
        parts = _parts(raw)
        _check_memory(sum(len(indices) for _, indices in parts.values()), raw.train.shape)
        write_entry(cache, config.name, raw.classes, parts, _progress(say, "decoding {:,} of {:,} images"))
        dataset = open_dataset(cache)
    counts = np.bincount(dataset.train_labels, minlength=len(dataset.classes))
    if counts.max() > IMBALANCE * counts.min():
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
    meta, images, labels = read_entry(cache)
    return Dataset(
        name=meta.name,
        classes=meta.classes,
        flip=DATASETS[meta.name].flip,
        fingerprint=meta.fingerprint,
        train_images=images,
        train_labels=labels,
        mean=meta.mean,
        std=meta.std,
        cache=cache,
    )


def memory_limit() -> int | None:
    """The most bytes that a decoded data set may have: half of the memory, of the machine or of the control group where
    that allows less; None where that is unknown."""
    found = memory_bytes()
    return None if found is None else found // 2


def split(labels: Labels, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Indices of train and of validation, which gets `fraction` of every class; both sorted.

    Every class has at least one image in each part: DataError when a class has a single one.
    """
    rng = np.random.default_rng(seed)
    held = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(f"class {label} has a single image, which cannot be split; at least two are needed")
        count = min(len(members) - 1, max(1, int(len(members) * fraction + 0.5)))
        held.append(rng.permutation(members)[:count])
    validation = np.sort(np.concatenate(held)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), validation), validation


def _parts(raw: Raw) -> dict[str, tuple[Decodable, Indices]]:
    if raw.test is not None:
        return {
            "train": (raw.train, np.arange(len(raw.train.labels))),
            "test": (raw.test, np.arange(len(raw.test.labels))),
        }
    train, test = split(raw.train.labels, TEST_FRACTION, seed=0)
    return {"train": (raw.train, train), "test": (raw.train, test)}


def _check_classes(raw: Raw) -> None:
    for part, images, least in (("train", raw.train, SMALLEST_CLASS), ("test", raw.test, 1)):
        if images is not None:
            counts = np.bincount(images.labels, minlength=len(raw.classes))
            if counts.min() < least:
                name = raw.classes[int(counts.argmin())]
                raise DataError(f"class {name!r} has {counts.min()} {part} images; at least {least} are needed")


def _check_memory(total: int, shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    limit = memory_limit()
    if limit is None or total * math.prod(shape) <= limit:
        return
    fitting = min(math.isqrt(limit // (total * channels)), folder.LARGEST_SIDE)
    advice = f"set data.image_size to at most {fitting}" if fitting >= 4 else "use fewer images"
    raise DataError(
        f"{total:,} images of {width}×{height} pixels take {total * math.prod(shape) / 1e9:,.1f} GB, more than half of "
        f"the memory; {advice}"
    )


def _progress(say: Say, text: str) -> Callable[[int, int], None]:
    """Says how far a job is, once it has taken longer than people wait without a word, and then now and again."""
    due = time.monotonic() + 2

    def report(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due and done < total:
            due = time.monotonic() + 5
            say(text.format(done, total))

    return report


# ---- the data sets


def _digits(config: DataConfig, say: Say) -> Source:
    if config.root:
        say(f"warning: data.root {config.root} is not used by digits; for your own images set data.name=folder")

    def read() -> Raw:
        from sklearn.datasets import load_digits

        found = load_digits()
        pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., None]  # the originals go from 0 to 16
        images = ArrayImages(pixels, found.target.astype(np.int64), config.image_size)
        return Raw(published.DIGITS, images, None)

    return Source("", read)


def _torchvision(kind: str) -> Callable[[DataConfig, Say], Source]:
    def locate(config: DataConfig, say: Say) -> Source:
        root = _root(config)

        def read() -> Raw:
            classes, *parts = published.read(
                kind,
                root or cache_dir() / "downloads",
                is_ours=root is None,
                say=say,
                progress=_progress(say, f"downloading {kind}: {{:,}} of {{:,}} MB"),
            )
            train, test = (ArrayImages(pixels, labels, config.image_size) for pixels, labels in parts)
            return Raw(classes, train, test)

        return Source(f"{root}{_stamp(root / published.PLACES[kind])}" if root else "", read)

    return locate


def _stamp(place: Path) -> str:
    """Size and time of each file at a place, since torchvision does not look into those of the MNISTs."""
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    found = [path.stat() for path in files if path.is_file()]
    return "".join(f" {stat.st_size} {stat.st_mtime_ns}" for stat in found)


def _folder(config: DataConfig, say: Say) -> Source:
    root = _root(config)
    if root is None:
        raise DataError(f"data.name=folder needs data.root, the folder of your images; {folder.LAYOUT}")
    listing = folder.scan(root)
    for warning in listing.warnings:
        say(f"warning: {warning}")

    def read() -> Raw:
        train, test = listing.open(config.image_size, _progress(say, "looking at {:,} of {:,} images"))
        return Raw(listing.classes, train, test)

    return Source(f"{root} {listing.identity}", read)


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

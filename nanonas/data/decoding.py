"""From what a source found to an entry of the cache: every image decoded once, copies found, parts made."""

import csv
import io
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..core.errors import DataError
from .cache import Contents, Indices, Labels, Pixels, chunk_of, scratch, write_array, write_entry
from .copies import PARTS, TEST, TRAIN, VALIDATION, Copies, Fingerprints, joined
from .picture import Range
from .split import split

TEST_FRACTION = 0.2
SMALLEST_CLASS = 5
NAMED = 20  # files in a message
LEFT_OUT = "left_out.csv"
MOST_DAMAGED = 0.1  # of the files; above that something else is wrong


class Decodable(Protocol):
    """Labelled images that are decoded when they are read, (N, H, W, C); `shape` is (H, W, C)."""

    @property
    def labels(self) -> Labels: ...

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def names(self) -> tuple[str, ...] | None:
        """Of the files, where there are some."""

    def read(self, indices: Indices) -> tuple[Pixels, Mapping[int, str]]:
        """(len(indices), H, W, C); and why the images of some indices cannot be read."""

    def spans(self, indices: Indices, progress: Callable[[int, int], None]) -> Sequence[Range]:
        """The lowest and the highest value of each image of more than 8 bits among them."""

    def ranged(self, span: Range) -> "Decodable":
        """The same images, with these values as black and white where they have more than 8 bits."""


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images that are in memory already, (N, H, W, C) uint8, resized to `size` × `size` when they are read."""

    pixels: Pixels
    labels: Labels
    size: int | None
    names: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.pixels.shape
        return (self.size or height, self.size or width, channels)

    def read(self, indices: Indices) -> tuple[Pixels, Mapping[int, str]]:
        chosen = self.pixels[indices]
        if chosen.shape[1:] == self.shape:
            return chosen, {}
        from PIL import Image

        height, width, channels = self.shape
        flat = chosen[..., 0] if channels == 1 else chosen
        resized = [Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR) for image in flat]
        return np.stack([np.asarray(image) for image in resized]).reshape(-1, *self.shape), {}

    def spans(self, indices: Indices, progress: Callable[[int, int], None]) -> Sequence[Range]:
        return []

    def ranged(self, span: Range) -> "ArrayImages":
        return self


@dataclass(frozen=True)
class Raw:
    """What a source is read to.

    Attributes:
        parts: (N,) TRAIN, VALIDATION or TEST, as the user or the publisher made them. Where there is no TEST, a fifth
            of TRAIN becomes it.
        groups: (N,) images of one number are on one side of every split that we make.
        unused: names of files beside them that are no images.
    """

    classes: tuple[str, ...]
    images: Decodable
    parts: Labels
    groups: Labels | None = None
    unused: tuple[str, ...] = ()

    @classmethod
    def of_two(
        cls, classes: tuple[str, ...], train: tuple[Pixels, Labels], test: tuple[Pixels, Labels], size: int | None
    ) -> "Raw":
        """A published data set."""
        pixels, labels = np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])
        parts = np.repeat([TRAIN, TEST], [len(train[1]), len(test[1])])
        return cls(classes, ArrayImages(pixels, labels, size), parts)


@dataclass(frozen=True)
class Decoder:
    """Writes the entry of a data set.

    Attributes:
        span: `data.range`; None: that of the training images, where some have more than 8 bits.
        progress: text with two gaps → a function of what is done and of how much there is.
    """

    path: Path
    name: str
    drop_copies: bool
    span: Range | None
    progress: Callable[[str], Callable[[int, int], None]]

    def write(self, raw: Raw) -> None:
        """Raises DataError when the data are unfit for classification, and when the cache cannot be written."""
        _check_classes(raw.classes, raw.images.labels, raw.parts)
        made = bool((raw.parts == TEST).any())
        span = self.span or self._span(raw.images, np.flatnonzero(raw.parts != TEST))
        parts, again = self._write(raw, raw.parts, span, made)
        if again is not None:  # the range was that of images which are test images now
            self._write(raw, parts, again, made)

    def _span(self, images: Decodable, rows: Indices) -> Range | None:
        spans = images.spans(rows, self.progress("looking for the range of {:,} of {:,} images"))
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def _write(self, raw: Raw, parts: Labels, span: Range | None, made: bool) -> tuple[Labels, Range | None]:
        """The parts; and the range of the training images, where that is another: nothing is written then.

        Args:
            made: by the user or the publisher, not by us.
        """
        images = raw.images.ranged(span) if span else raw.images
        labels = images.labels
        with scratch(self.path) as temporary:
            pixels, damaged, prints = self._decoded(images, temporary)
            sound = np.setdiff1d(np.arange(len(labels)), [*damaged])
            _check_classes(raw.classes, labels[sound], parts[sound])
            alike = _apart(prints.groups(), labels, sound)
            groups = alike if raw.groups is None else joined(alike, raw.groups)
            if not (parts == TEST).any():
                whole = sound[parts[sound] == TRAIN]
                parts = parts.copy()
                parts[whole[split(labels[whole], TEST_FRACTION, 0, groups[whole])[1]]] = TEST
            if span and not self.span and (own := self._span(raw.images, sound[parts[sound] != TEST])) != span:
                return parts, own
            copies = Copies(sound, alike, parts, labels, images.names)
            used = copies.distinct() if self.drop_copies else sound
            notes = [*self._damage(damaged), *copies.notes(made, self.drop_copies)]
            if span:
                notes.append(f"in images of more than 8 bits, {span[0]:g} is black and {span[1]:g} is white")
            train = np.concatenate([used[parts[used] == part] for part in (TRAIN, VALIDATION)])
            beside = {}
            if len(np.unique(groups[train])) < len(train):
                beside["groups"] = groups[train]
            if (parts[train] == VALIDATION).any():
                beside["validation"] = np.flatnonzero(parts[train] == VALIDATION)
            contents = {
                "train": Contents(pixels, labels, train, images.names, beside),
                "test": Contents(pixels, labels, used[parts[used] == TEST], images.names),
            }
            known: dict[str, Any] = {"name": self.name, "classes": raw.classes, "range": span, "notes": tuple(notes)}
            left_out = [(name, "no image by its name") for name in raw.unused]
            left_out += [((images.names or ())[row], reason) for row, reason in damaged.items()]
            write_entry(self.path, known, contents, {LEFT_OUT: _table(left_out)} if left_out else {})
        return parts, None

    def _damage(self, damaged: Mapping[int, str]) -> list[str]:
        if not damaged:
            return []
        rest = f"; all are named in {self.path / LEFT_OUT}" if len(damaged) > NAMED else ""
        return [_listed(damaged, "files are left out") + rest]

    def _decoded(self, images: Decodable, temporary: Path) -> tuple[Pixels, Mapping[int, str], Fingerprints]:
        """All images, in a mapped file; why some cannot be read; and what tells copies."""
        count, prints, damaged = len(images.labels), Fingerprints(), dict[int, str]()
        shape, chunk = (count, *images.shape), chunk_of(images.shape)
        _check_room(self.path.parent, shape)
        report = self.progress("decoding {:,} of {:,} images")

        def blocks() -> Iterator[Pixels]:
            for start in range(0, count, chunk):
                rows = np.arange(start, min(start + chunk, count))
                block, wrong = images.read(rows)
                damaged.update(wrong)
                prints.add(block)
                yield np.ascontiguousarray(block)
                report(int(rows[-1]) + 1, count)

        write_array(temporary / "all.npy", "|u1", shape, blocks())
        if len(damaged) > MOST_DAMAGED * count:
            raise DataError(f"{_listed(damaged, 'files cannot be read')}; replace or remove them")
        return np.lib.format.open_memmap(temporary / "all.npy", mode="r"), damaged, prints


def _apart(alike: Labels, labels: Labels, sound: Indices) -> Labels:
    """Where all images of a class are copies of one another, each is on its own: the class could not be split."""
    alike = alike.copy()
    for label in np.unique(labels[sound]):
        members = sound[labels[sound] == label]
        if len(np.unique(alike[members])) == 1:
            alike[members] = members
    return alike


def _table(rows: Sequence[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *rows])
    return text.getvalue()


def _listed(reasons: Mapping[int, str], what: str) -> str:
    told = "; ".join(reason.partition("; replace or remove")[0] for reason in [*reasons.values()][:NAMED])
    more = f"; and {len(reasons) - NAMED:,} more" if len(reasons) > NAMED else ""
    return f"{len(reasons):,} {what}: {told}{more}"


def _check_classes(classes: tuple[str, ...], labels: Labels, parts: Labels) -> None:
    """Raises DataError when a class has too few images in a part that was made."""
    for part, least in ((TRAIN, SMALLEST_CLASS), (VALIDATION, 1), (TEST, 1)):
        if (parts == part).any():
            counts = np.bincount(labels[parts == part], minlength=len(classes))
            if counts.min() < least:
                name = classes[int(counts.argmin())]
                raise DataError(f"class {name!r} has {counts.min()} {PARTS[part]} images; at least {least} are needed")


def _check_room(folder: Path, shape: tuple[int, ...]) -> None:
    """Raises DataError when the disk has no room for the images, which are there twice for a while."""
    needed = 2 * math.prod(shape)
    home = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    free = shutil.disk_usage(home).free
    if needed > free:
        count, height, width, channels = shape
        fitting = min(math.isqrt(free // (2 * count * channels)), height, width)
        advice = f", or set data.image_size to at most {fitting}" if fitting >= 4 else ""
        raise DataError(
            f"{count:,} images of {width}×{height} pixels need {needed / 1e9:,.1f} GB of disk while they are decoded, "
            f"and {home} has {free / 1e9:,.1f} GB left; move the cache with NANONAS_CACHE{advice}"
        )

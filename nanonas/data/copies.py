"""Pictures that are the same, or nearly: found by their pixels, whatever their files are called.

Equal pixels have equal digests. Near-copies (saved again, resized, brighter, mirrored, turned by a quarter) have nearly
equal perceptual hashes: the signs of the lowest frequencies of a cosine transform (pHash, Zauner 2010). Pairs whose
hashes are near are then held against each other as small gray pictures.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from .cache import Indices, Labels, Pixels

SMALLEST_SIDE = 32  # pixels; smaller pictures, such as digits, are alike without being copies
SIDE, LOW = 32, 8  # of the gray picture, and of its frequencies
BANDS = 4  # of 16 bits: near hashes have one in common
NEAR_BITS = 12
NEAR = 0.98  # correlation
CLIPPED, SEEN = 5, 0.3  # levels from black and white; the least share of a picture that is compared
FLAT = 6.0  # levels of gray: a picture that varies less is like every other one
NEIGHBOURS = 64  # with which a picture is compared in each band
NAMED = 3  # pairs in a message
TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")

Hashes = npt.NDArray[np.uint64]


@dataclass
class Fingerprints:
    """Of pictures, in the order in which they are added."""

    digests: list[bytes] = field(default_factory=list)
    grays: list[npt.NDArray[np.uint8]] = field(default_factory=list)  # (n, 32, 32); empty where pictures are small

    def add(self, pixels: Pixels) -> None:
        """(N, H, W, C) uint8."""
        self.digests += [hashlib.blake2b(image.data, digest_size=16).digest() for image in np.ascontiguousarray(pixels)]
        if min(pixels.shape[1:3]) >= SMALLEST_SIDE:
            self.grays.append(_gray(pixels))

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Of copies, each index with one before it; following them leads to all."""
        first: dict[bytes, int] = {}
        for index, digest in enumerate(self.digests):
            if (known := first.setdefault(digest, index)) != index:
                yield known, index
        if self.grays:
            yield from _near(np.concatenate(self.grays), np.array(sorted(first.values())))

    def groups(self) -> Labels:
        """(N,) a number for each picture: that of the first among its copies."""
        found = np.arange(len(self.digests))
        for one, other in self.pairs():
            a, b = _root(found, one), _root(found, other)
            found[max(a, b)] = min(a, b)
        return np.array([_root(found, index) for index in range(len(found))], dtype=np.int64)


def joined(*several: Labels) -> Labels:
    """(N,) groups of which each holds together what any of `several` does."""
    found = np.arange(len(several[0]))
    for groups in several:
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        for index, other in enumerate(first[inverse]):
            a, b = _root(found, index), _root(found, int(other))
            found[max(a, b)] = min(a, b)
    return np.array([_root(found, index) for index in range(len(found))], dtype=np.int64)


@dataclass(frozen=True)
class Copies:
    """What is known of copies among the images `rows`; the arrays are of all images, and so are `names`.

    Attributes:
        groups: (N,) the first among its copies, for each image.
        parts: (N,) TRAIN, VALIDATION or TEST.
    """

    rows: Indices
    groups: Labels
    parts: Labels
    labels: Labels
    names: Sequence[str] | None

    @cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        """Each image that has a copy before it, with that one; test comes before validation, and that before train."""
        kept: dict[int, int] = {}
        order = self.rows[np.lexsort((self.rows, -self.parts[self.rows]))]
        pairs = [(row, kept.setdefault(int(self.groups[row]), row)) for row in order.tolist()]
        return [(row, other) for row, other in pairs if row != other]

    def distinct(self) -> Indices:
        """One image for each set of copies; of the test part all."""
        copied = [row for row, _ in self._pairs if self.parts[row] != TEST]
        return np.setdiff1d(self.rows, np.array(copied, dtype=np.int64))

    def notes(self, made: bool, dropped: bool) -> Iterator[str]:
        """What a user should know.

        Args:
            made: by the user or the publisher are the parts, not by us, who part no copies.
            dropped: whether only `distinct` images are used.
        """
        across = [pair for pair in self._pairs if self.parts[pair[0]] != self.parts[pair[1]]] if made else []
        for part in (TEST, VALIDATION):
            if found := [pair for pair in across if self.parts[pair[1]] == part]:
                held = len({other for _, other in found})
                advice = (
                    "these train images are left out" if dropped else "data.copies=drop leaves out the train images"
                )
                told = f"{held:,} {PARTS[part]} images also lie in train, equal or nearly"
                yield f"{told}: {self._named(found)}; {advice}"
        if found := [pair for pair in self._pairs if self.labels[pair[0]] != self.labels[pair[1]]]:
            yield f"{len(found):,} images also lie in another class, equal or nearly: {self._named(found)}"
        inside = [pair for pair in self._pairs if pair not in {*across}]
        if inside and self.names is not None:
            what = "are left out" if dropped else "stay on one side of every split"
            yield f"{len(inside):,} images are copies of others, equal or nearly: {self._named(inside)}; they {what}"

    def _named(self, pairs: Sequence[tuple[int, int]]) -> str:
        told = ", ".join(f"{self._name(other)} = {self._name(row)}" for row, other in pairs[:NAMED])
        return told + (f", and {len(pairs) - NAMED:,} more" if len(pairs) > NAMED else "")

    def _name(self, row: int) -> str:
        if self.names is not None:
            return self.names[row]
        part = self.parts[row]
        return f"{PARTS[part]} {np.count_nonzero(self.parts[:row] == part)}"


def _root(parents: Labels, index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index


def _gray(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """(N, H, W, C) → (N, 32, 32)."""
    from PIL import Image

    modes = {1: "L", 3: "RGB"}
    flat = pixels[..., 0] if pixels.shape[3] == 1 else pixels
    images = (Image.fromarray(image, modes[pixels.shape[3]]).convert("L") for image in flat)
    return np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for image in images])


@cache
def _cosines() -> npt.NDArray[np.float32]:
    """(8, 32), the lowest frequencies of a cosine transform."""
    k, x = np.arange(LOW)[:, None], np.arange(SIDE)[None]
    return np.cos(np.pi * k * (2 * x + 1) / (2 * SIDE)).astype(np.float32)


def _hashes(grays: npt.NDArray[np.uint8]) -> tuple[Hashes, ...]:
    """For each of the eight ways to mirror and turn a picture: (N,) 63 bits, whether a frequency is above the median.

    Mirroring changes the sign of odd frequencies, and a transposition swaps the axes.
    """
    low = np.einsum("ux,nxy,vy->nuv", _cosines(), grays.astype(np.float32), _cosines(), optimize=True)
    signs = np.where(np.arange(LOW) % 2, -1, 1)
    found = []
    for way in range(8):
        turned = low * (signs[:, None] if way & 1 else 1) * (signs[None] if way & 2 else 1)
        turned = turned.transpose(0, 2, 1) if way & 4 else turned
        flat = turned.reshape(len(low), -1)[:, 1:]
        bits = flat > np.median(flat, axis=1, keepdims=True)
        found.append(np.packbits(np.pad(bits, ((0, 0), (1, 0))), axis=1).view(">u8").astype(np.uint64).ravel())
    return tuple(found)


def _way(picture: npt.NDArray[np.uint8], way: int) -> npt.NDArray[np.uint8]:
    """A picture (…, 32, 32) as `_hashes` mirrors and turns it."""
    picture = picture[..., ::-1, :] if way & 1 else picture
    picture = picture[..., ::-1] if way & 2 else picture
    return picture.swapaxes(-1, -2) if way & 4 else picture


def _near(grays: npt.NDArray[np.uint8], different: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs of near-copies among pictures that are all different."""
    varied = different[grays[different].reshape(len(different), -1).std(1) >= FLAT]
    if len(varied) < 2:
        return
    ways = _hashes(grays[varied])
    for way, turned in enumerate(ways):
        one, other = _candidates(ways[0], turned, same=way == 0)
        bits = np.bitwise_count(ways[0][one] ^ turned[other])
        one, other = varied[one[bits <= NEAR_BITS]], varied[other[bits <= NEAR_BITS]]
        for start in range(0, len(one), 4096):
            a, b = one[start : start + 4096], other[start : start + 4096]
            alike = _correlation(grays[a], _way(grays[b], way)) >= NEAR
            yield from zip(a[alike].tolist(), b[alike].tolist(), strict=True)


def _correlation(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(N,) of pictures (N, 32, 32), over what is neither black nor white in both: more brightness clips."""
    seen = (np.minimum(a, b) > CLIPPED) & (np.maximum(a, b) < 255 - CLIPPED)
    seen |= seen.mean((1, 2), keepdims=True) < SEEN
    count = seen.sum((1, 2), keepdims=True)
    parts = []
    for pictures in (a, b):
        values = np.where(seen, pictures, 0).astype(np.float64)
        parts.append(np.where(seen, values - values.sum((1, 2), keepdims=True) / count, 0))
    norms = np.sqrt((parts[0] ** 2).sum((1, 2)) * (parts[1] ** 2).sum((1, 2)))
    found: npt.NDArray[np.float64] = (parts[0] * parts[1]).sum((1, 2)) / np.maximum(norms, 1e-9)
    return found


def _candidates(plain: Hashes, turned: Hashes, same: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of pairs whose hashes have a band in common: in `plain`, in `turned`; each pair once or more."""
    found = [np.empty((2, 0), dtype=np.int64)]
    for band in range(BANDS):
        keys = [(hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF) for hashes in (plain, turned)]
        order = np.argsort(keys[1], kind="stable")
        low = np.searchsorted(keys[1][order], keys[0], "left")
        high = np.searchsorted(keys[1][order], keys[0], "right")
        for step in range(int(min((high - low).max(), NEIGHBOURS))):
            rows = np.flatnonzero(low + step < high)
            found.append(np.stack([rows, order[low[rows] + step]]))
    pairs = np.concatenate(found, axis=1)
    pairs = pairs[:, pairs[0] > pairs[1]] if same else pairs[:, pairs[0] != pairs[1]]
    pairs = np.unique(pairs, axis=1)
    return pairs[0], pairs[1]

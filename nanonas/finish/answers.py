"""Answers: what a network says of images whose class is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.classification import Counts, Integers, Reals, confusion

TOP = 3


@dataclass(frozen=True, eq=False)
class Answers:
    """Of a part of a data set.

    Attributes:
        labels: (N,).
        probabilities: (N, classes).
        names: of the image files; None where the images are no files.
    """

    classes: tuple[str, ...]
    labels: Integers
    probabilities: Reals
    names: Sequence[str] | None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def predicted(self) -> Integers:
        found: Integers = self.probabilities.argmax(1)
        return found

    @cached_property
    def own(self) -> Reals:
        """(N,): the probability of the true class."""
        return self.probabilities[np.arange(len(self)), self.labels]

    @cached_property
    def confusion(self) -> Counts:
        return confusion(self.labels, self.predicted, len(self.classes))

    def name(self, image: int) -> str:
        return self.names[image] if self.names is not None else f"image {image}"

    def label(self, image: int) -> str:
        return self.classes[int(self.labels[image])]

    def top(self, image: int) -> list[tuple[str, float]]:
        """The most probable classes of an image, and how probable they are."""
        row = self.probabilities[image]
        return [(self.classes[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:TOP]]

    def wrong(self) -> Integers:
        """The images that were taken for another class, the worst first: those whose own is the least probable."""
        found = np.flatnonzero(self.predicted != self.labels)
        return found[np.argsort(self.own[found], kind="stable")]

    def taken_for(self, true: int, other: int) -> Integers:
        """Images of a class that were taken for another, the surest first; of those that are right, the least sure."""
        found = np.flatnonzero((self.labels == true) & (self.predicted == other))
        sure = self.probabilities[found, other]
        return found[np.argsort(sure if true == other else -sure, kind="stable")]

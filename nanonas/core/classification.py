"""How good a classifier is, class by class, from what it says of images whose class is known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .statistics import wilson

Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MIN_PROBABILITIES = (0.5, 0.7, 0.9)
FLATTERS = 10  # times the smallest class, from which on accuracy is mostly that of the largest
BINS = 15


def confusion(labels: Integers, predicted: Integers, classes: int) -> Counts:
    """(classes, classes): how many images of the row's class are taken for the column's."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(matrix: Counts) -> float:
    """The mean recall of the classes that have images."""
    counts = matrix.sum(1)
    known = counts > 0
    return float((np.diag(matrix)[known] / counts[known]).mean())


def macro_f1(matrix: Counts) -> float:
    """The mean F1 of the classes that have images, or that an image was taken for."""
    f1 = [value for value in _f1(matrix) if value is not None]
    return float(np.mean(f1))


def flatters(counts: Sequence[int]) -> bool:
    """Whether classes of so many images differ so much that accuracy says little of the small ones."""
    found = [count for count in counts if count]
    return bool(found) and max(found) >= FLATTERS * min(found)


def judged(probabilities: Reals, labels: Integers, classes: Sequence[str]) -> dict[str, Any]:
    """What train.json and eval.json say of each class, and of the answers above a probability.

    Args:
        probabilities: (N, classes), in which the largest of a row is the answer.
    """
    matrix = confusion(labels, probabilities.argmax(1), len(classes))
    right = int(np.trace(matrix))
    return {
        "interval": _interval(right, len(labels)),
        "balanced_accuracy": balanced_accuracy(matrix),
        "macro_f1": macro_f1(matrix),
        "classes": [{"name": name} | entry for name, entry in zip(classes, _classes(matrix), strict=True)],
        "confused": [
            {"class": classes[true], "taken_for": classes[other], "images": images}
            for true, other, images in confused(matrix)
        ],
        "refusals": [refusal(probabilities, labels, least) for least in MIN_PROBABILITIES],
    }


def confused(matrix: Counts) -> list[tuple[int, int, int]]:
    """Class, what it was taken for, and how often; the most frequent first."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    pairs = [(int(true), int(other), int(wrong[true, other])) for true, other in np.argwhere(wrong)]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))


def refusal(probabilities: Reals, labels: Integers, least: float) -> dict[str, Any]:
    """What becomes of images when answers less probable than `least` are refused."""
    answered = probabilities.max(1) >= least
    images = int(answered.sum())
    right = int((probabilities.argmax(1) == labels)[answered].sum())
    return {
        "min_probability": least,
        "refused": 1 - images / len(labels),
        "answered": images,
        "accuracy": right / images if images else None,
        "interval": _interval(right, images),
    }


def calibration(confidence: Reals, right: npt.NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """Of each of 15 equal bins that has images: how many, their mean confidence, and their accuracy."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    members = [bins == number for number in np.unique(bins)]
    return [(int(one.sum()), float(confidence[one].mean()), float(right[one].mean())) for one in members]


def expected_calibration_error(confidence: Reals, right: npt.NDArray[np.bool_]) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, weighted by size (Guo et al. 2017)."""
    gaps = [count * abs(sure - correct) for count, sure, correct in calibration(confidence, right)]
    return float(sum(gaps) / len(right))


def _classes(matrix: Counts) -> list[dict[str, Any]]:
    """Of each class; None where no image could tell."""
    found = []
    for hits, images, answers, f1 in zip(
        map(int, np.diag(matrix)), map(int, matrix.sum(1)), map(int, matrix.sum(0)), _f1(matrix), strict=True
    ):
        found.append(
            {
                "n": images,
                "recall": hits / images if images else None,
                "recall_interval": _interval(hits, images),
                "answers": answers,
                "precision": hits / answers if answers else None,
                "precision_interval": _interval(hits, answers),
                "f1": f1,
            }
        )
    return found


def _interval(hits: int, images: int) -> list[float] | None:
    return [*wilson(hits, images)] if images else None


def _f1(matrix: Counts) -> list[float | None]:
    """2 hits / (images + answers), the harmonic mean of precision and recall."""
    hits, both = np.diag(matrix), matrix.sum(0) + matrix.sum(1)
    return [float(2 * hit / total) if total else None for hit, total in zip(hits, both, strict=True)]

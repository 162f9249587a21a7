"""What a confusion matrix says of a classifier."""

import numpy as np


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) counts: a row is a true class, a column what was said."""
    counted: np.ndarray = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    return counted


def balanced_accuracy(matrix: np.ndarray) -> float:
    """The mean recall of the classes that have images."""
    images = matrix.sum(1)
    some = images > 0
    return float((matrix.diagonal()[some] / images[some]).mean())


def macro_f1(matrix: np.ndarray) -> float:
    """The mean F1 of the classes that have images or were said of one."""
    both = matrix.sum(0) + matrix.sum(1)
    some = both > 0
    return float((2 * matrix.diagonal()[some] / both[some]).mean())

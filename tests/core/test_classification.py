"""What a confusion matrix says."""

import numpy as np
import pytest

from nanonas.core.classification import balanced_accuracy, confusion, macro_f1


def test_balanced_accuracy_and_macro_f1_of_uneven_classes() -> None:
    matrix = confusion(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0]), 3)  # no image of class 2
    assert matrix.tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert balanced_accuracy(matrix) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert macro_f1(matrix) == pytest.approx((6 / 8 + 2 / 4) / 2)

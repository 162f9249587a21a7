"""What is said of each class: scikit-learn's values are the measure."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from nanonas.core.classification import flatters, judged
from nanonas.core.statistics import wilson


def answers(seed: int, classes: int = 4, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, count, p=[0.7, 0.2, 0.07, 0.03][:classes])
    scores = rng.random((count, classes)) + 0.8 * np.eye(classes)[labels]
    return scores / scores.sum(1, keepdims=True), labels


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_scikit_learn(seed: int) -> None:
    probabilities, labels = answers(seed)
    predicted = probabilities.argmax(1)
    told = judged(probabilities, labels, ["a", "b", "c", "d"])
    assert told["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert told["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    precision, recall, f1, n = precision_recall_fscore_support(labels, predicted, zero_division=0)
    for i, entry in enumerate(told["classes"]):
        assert (entry["name"], entry["n"]) == ("abcd"[i], n[i])
        assert entry["recall"] == pytest.approx(recall[i])
        assert entry["precision"] == pytest.approx(precision[i])
        assert entry["f1"] == pytest.approx(f1[i])
        assert entry["recall_interval"] == pytest.approx(wilson(round(recall[i] * n[i]), int(n[i])))
    wrong = sum(pair["images"] for pair in told["confused"])
    assert wrong == (predicted != labels).sum()
    assert told["confused"] == sorted(told["confused"], key=lambda pair: -pair["images"])


def test_refusals_say_what_is_left() -> None:
    probabilities = np.array([[0.95, 0.05], [0.6, 0.4], [0.2, 0.8], [0.55, 0.45]])
    told = {
        entry["min_probability"]: entry for entry in judged(probabilities, np.array([0, 1, 1, 1]), "ab")["refusals"]
    }
    assert (told[0.5]["refused"], told[0.5]["accuracy"]) == (0, 0.5)
    assert (told[0.7]["refused"], told[0.7]["accuracy"]) == (0.5, 1.0)
    assert (told[0.9]["answered"], told[0.9]["refused"]) == (1, 0.75)


def test_accuracy_flatters_where_a_class_is_ten_times_another() -> None:
    assert flatters([100, 10]) and not flatters([99, 10, 0])

"""The `training` evaluator, on digits."""

import random
from typing import Any

import pytest

from nanonas.core.errors import EvaluationError, SpecError
from nanonas.core.genotype import Genotype
from nanonas.core.task import Task
from nanonas.evaluators import Evaluator
from nanonas.evaluators.training import side_in_pixels
from nanonas.spaces import SPACES
from nanonas.spec.load import load_spec

FAST = {"epochs": 1, "image_size": 8, "data_fraction": 1.0}


def make(*overrides: str) -> Evaluator:
    spec = load_spec("digits-evo", ["device=cpu", *overrides])
    return spec.assignment.make_evaluator(print)


SPACE = SPACES["nano"](SPACES["nano"].Config(widths=(8,), cells=(1,)))
GENOTYPE = next(g for g in (SPACE.sample(random.Random(seed)) for seed in range(100)) if SPACE.is_connected(g))


def metrics(evaluator: Evaluator, genotype: Genotype = GENOTYPE, **changes: Any) -> dict[str, float]:
    result = dict(evaluator.evaluate(SPACE, genotype, FAST | changes, 1))
    result.pop("train_seconds")
    return result


def test_metrics_are_those_of_every_trial() -> None:
    result = make().evaluate(SPACE, GENOTYPE, FAST, 1)
    assert set(result) == {"val_accuracy", "val_loss", "params", "macs", "train_seconds"}
    assert 0.1 < result["val_accuracy"] <= 1
    assert result["params"] == SPACE.measure(GENOTYPE, make().task)["params"]


def test_metrics_of_classes_are_there_when_an_objective_names_them() -> None:
    plain = metrics(make())
    asked = metrics(make("objectives={val_balanced_accuracy: maximize, val_macro_f1: maximize}"))
    assert asked.keys() - plain.keys() == {"val_balanced_accuracy", "val_macro_f1"}
    assert {name: asked[name] for name in plain} == plain
    assert 0 < asked["val_macro_f1"] <= 1


def test_bit_for_bit_the_same_in_any_evaluator_and_any_order() -> None:
    first, second = make(), make()
    expected = metrics(first)
    metrics(second, image_size=6)
    assert metrics(second) == expected


def test_fidelity_is_part_of_the_question() -> None:
    evaluator = make("evaluator.epochs=3", "evaluator.data_fraction=0.5")
    assert evaluator.fidelity == {"epochs": 3, "image_size": 8, "data_fraction": 0.5}
    changes: list[dict[str, Any]] = [{}, {"epochs": 2}, {"image_size": 6}, {"data_fraction": 0.3}]
    scores = [metrics(evaluator, **change)["val_loss"] for change in changes]
    assert len(set(scores)) == 4


@pytest.mark.parametrize(
    ("shown", "epochs", "fraction"),
    [(1280, 2, 0.5), (2560, 2, 1.0), (3000, 2, 1.0), (12_800, 10, 1.0), (1, 2, 1 / 2560)],  # batches of 128,
)
def test_shown_costs_the_same_on_any_data_set(shown: int, epochs: int, fraction: float) -> None:
    evaluator: Any = make("evaluator.epochs=2", f"evaluator.shown={shown}", "data.validation_fraction=0.1")
    assert len(evaluator._images(8, 1.0)[0]) == 1293
    assert evaluator.fidelity == {"epochs": epochs, "image_size": 8, "data_fraction": pytest.approx(fraction)}


def test_a_candidate_sees_what_was_asked_for_though_an_epoch_has_whole_batches() -> None:
    config: Any = load_spec("cifar10-evo").evaluator  # batches of 125
    assert config.of(249) == (48, 1.0)  # one batch an epoch


def test_a_candidate_of_cifar10_sees_few_of_the_images_once() -> None:
    config: Any = load_spec("cifar10-evo").evaluator
    assert config.of(45_000) == (1, pytest.approx(6_000 / 45_000))
    assert side_in_pixels(config.image_size, Task(3, 32, 32, 10)) == 20


@pytest.mark.parametrize(("fraction", "warned"), [(0.02, True), (0.1, False)])
def test_few_validation_images_are_told_of(fraction: float, warned: bool) -> None:
    said: list[str] = []
    spec = load_spec("digits-evo", [f"data.validation_fraction={fraction}"])
    spec.assignment.make_evaluator(said.append)
    assert any("hardly more than chance" in text for text in said) is warned


def test_shown_and_a_fraction_contradict() -> None:
    with pytest.raises(SpecError, match="shown sets data_fraction"):
        make("evaluator.shown=1000", "evaluator.data_fraction=0.5")


@pytest.mark.parametrize("size", ["3", "0", "-0.5", "1.5", "2000", "true", "x"])
def test_an_image_size_that_is_neither_is_refused(size: str) -> None:
    with pytest.raises(SpecError, match="must be 4 to 1024 pixels, or above 0 and up to 1"):
        make(f"evaluator.image_size={size}")


@pytest.mark.parametrize(
    ("size", "side", "pixels"),
    [(None, 28, 28), (20, 28, 20), (40, 28, 40), (0.625, 64, 40), (0.5, 20, 16), (0.5, 8, 8), (1.0, 9, 9)],
)
def test_image_size_is_pixels_or_a_share(size: float | None, side: int, pixels: int) -> None:
    assert side_in_pixels(size, Task(3, side, side // 2, 10)) == pixels


def test_training_images_are_not_validation_images() -> None:
    evaluator: Any = make()
    train, validation = evaluator._images(8, 1.0)
    assert not set(train.rows.tolist()) & set(validation.rows.tolist())
    assert len(train) + len(validation) == len(evaluator.data.train_labels)
    part, same = evaluator._images(8, 0.25)
    assert set(part.rows.tolist()) < set(train.rows.tolist())
    assert same.rows.tolist() == validation.rows.tolist()
    assert abs(len(part) / len(train) - 0.25) < 0.02


def test_another_seed_splits_otherwise() -> None:
    splits = [make(f"seed={seed}")._images(8, 1.0)[1].rows.tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_the_test_part_is_never_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from nanonas.data.dataset import Dataset

    def refuse(self: Dataset) -> None:
        raise AssertionError("the search looked at test data")

    monkeypatch.setattr(Dataset, "test", refuse)
    assert metrics(make())["val_accuracy"] > 0


def test_a_candidate_without_enough_memory_is_an_evaluation_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(type(SPACE), "build", refuse)
    with pytest.raises(EvaluationError, match="out of memory"):
        metrics(make())


def test_another_runtime_error_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(type(SPACE), "build", refuse)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        metrics(make())


def test_a_diverging_training_is_an_evaluation_error() -> None:
    with pytest.raises(EvaluationError, match="loss is"):
        metrics(make("evaluator.learning_rate=10", "evaluator.momentum=0.99", "evaluator.weight_decay=1"), epochs=60)

from pathlib import Path

import pytest
import run_folders
from hypothesis import given
from hypothesis import strategies as st
from run_folders import DARTS, EVOLUTION, line

from nanonas.comparison.compare import compare
from nanonas.comparison.curves import Step, area, best_so_far, shared_range
from nanonas.core.trial import Line
from nanonas.runs.record import read_record


def curve_of(folder: Path, lines: list[Line], **spec: object) -> list[Step]:
    return best_so_far(read_record(run_folders.make_run(folder / "run", spec=EVOLUTION | spec, lines=lines)))


def test_a_curve_has_the_improvements_and_the_end(tmp_path: Path) -> None:
    lines = [line(0, 0.5), line(1, None), line(2, 0.4), line(3, 0.7), line(4, 0.7)]
    assert curve_of(tmp_path, lines) == [Step(1, 1.0, 0.5), Step(4, 4.0, 0.7), Step(5, 5.0, 0.7)]


def test_what_is_minimized_falls(tmp_path: Path) -> None:
    lines = [line(trial, 0.5, metrics={"val_loss": loss}) for trial, loss in enumerate((2.0, 3.0, 1.0))]
    assert [step.value for step in curve_of(tmp_path, lines, objectives={"val_loss": "minimize"})] == [2.0, 1.0, 1.0]


def test_only_the_highest_fidelity_counts(tmp_path: Path) -> None:
    lines = [line(0, 0.9, fidelity={"epochs": 1}), line(1, 0.6, fidelity={"epochs": 4})]
    assert curve_of(tmp_path, lines) == [Step(2, 2.0, 0.6), Step(2, 2.0, 0.6)]


def test_a_supernet_has_no_curve(tmp_path: Path) -> None:
    assert curve_of(tmp_path, [line(0, 0.9)], **DARTS) == []


def test_the_area_is_the_mean_of_the_best_so_far() -> None:
    curve = [Step(1, 10.0, 0.5), Step(3, 20.0, 0.9), Step(5, 50.0, 0.9)]
    assert area(curve, "trials", (1, 5)) == pytest.approx((2 * 0.5 + 2 * 0.9) / 4)
    assert area(curve, "seconds", (15.0, 25.0)) == pytest.approx(0.7)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(2, 30))
def test_the_area_lies_between_the_first_and_the_last_value(values: list[float], more: int) -> None:
    best = [max(values[: i + 1]) for i in range(len(values))]
    curve = [Step(i + 1, float(i), value) for i, value in enumerate(best)]
    curve.append(Step(len(values) + more, float(len(values) + more), best[-1]))
    within = shared_range([curve], "trials")
    assert within == (1, len(values) + more)
    assert best[0] - 1e-9 <= area(curve, "trials", within) <= best[-1] + 1e-9


def test_runs_are_measured_where_all_of_them_have_a_value(tmp_path: Path) -> None:
    first = run_folders.make_run(tmp_path / "a", lines=[line(0, None), line(1, 0.5), line(2, 0.7), line(3, 0.7)])
    second = run_folders.make_run(tmp_path / "b", seed=1, lines=[line(trial, 0.6) for trial in range(3)])
    document = compare([first, second])
    assert document["curves"] == {"metric": "val_accuracy", "trials": [2, 3], "seconds": [2.0, 3.0]}
    runs = document["groups"][0]["runs"]
    assert [run["area_trials"] for run in runs] == pytest.approx([0.5, 0.6])
    assert runs[0]["curve"] == [[2, 2.0, 0.5], [3, 3.0, 0.7], [4, 4.0, 0.7]]
    assert document["groups"][0]["area_seconds"]["mean"] == pytest.approx(0.55)


def test_a_single_trial_has_a_curve_and_no_area(tmp_path: Path) -> None:
    document = compare([run_folders.make_run(tmp_path / "a", lines=[line(0, 0.5)])])
    assert document["curves"]["trials"] is None
    assert document["groups"][0]["area_trials"] is None

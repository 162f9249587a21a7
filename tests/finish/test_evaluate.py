"""eval: what it reports, and what it counts."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from nanonas import evaluate
from nanonas.cli.report import eval_table
from nanonas.core.classification import expected_calibration_error
from nanonas.core.errors import DataError, NanonasError, SpecError
from nanonas.devices import timing


def test_the_result_has_the_documented_fields(run: Path) -> None:
    result = evaluate(run)
    assert json.loads((run / "eval.json").read_text()) == result
    assert result["kind"] == "eval"
    assert result["test_accuracy"] == pytest.approx(json.loads((run / "train.json").read_text())["test_accuracy"])
    assert list(result["per_class"]) == [str(digit) for digit in range(10)]
    assert result["test_images"] == 359  # a fifth of each class, rounded
    assert 0 <= result["ece"] <= 1
    for batch in ("batch_1", "batch_64"):
        assert 0 < result["latency_ms"][batch]["median"] <= result["latency_ms"][batch]["p95"]


@pytest.mark.parametrize(("waits", "warned"), [(None, False), (0.0, False), (3.0, True)])
def test_a_latency_that_was_measured_on_a_busy_machine_says_so(
    waits: float | None, warned: bool, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = iter(range(10))
    monkeypatch.setattr(timing, "waited_seconds", lambda: None if waits is None else waits * next(waited))
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    said: list[str] = []
    result = evaluate(run, say=said.append)
    assert any(text.startswith("warning: the machine was busy while latency was measured") for text in said) == warned
    for times in result["latency_ms"].values():
        assert times.keys() - {"waited"} == {"median", "p95", "runs"}
        assert ("waited" in times) == (waits is not None) and (times.get("waited", 0.0) > 1) == warned
    table = Console(width=200, file=StringIO(), record=True)
    table.print(eval_table(result))
    assert ("(the machine was busy)" in table.export_text()) == warned


def test_every_look_at_test_data_is_counted(run: Path) -> None:
    assert evaluate(run)["test_looks"] == 2
    assert evaluate(run)["test_looks"] == 3


def test_other_data_do_not_change_the_runs_own_result(run: Path) -> None:
    before = evaluate(run)
    path = run / "train.json"
    path.write_text(path.read_text().replace(before["data"]["fingerprint"], "another"))
    said: list[str] = []
    evaluate(run, say=said.append)
    assert json.loads((run / "eval.json").read_text()) == before
    assert any("not the data" in text for text in said)


def test_only_data_can_be_set(run: Path) -> None:
    with pytest.raises(SpecError, match=r"only data\.… can be set"):
        evaluate(run, ["seed=3"])


def test_images_of_another_size_are_refused(run: Path) -> None:
    with pytest.raises(DataError, match=r"\(1, 16, 16\) \(C, H, W\), the model takes \(1, 8, 8\)"):
        evaluate(run, ["data.image_size=16"])


def test_images_of_other_classes_are_refused(run: Path, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), i * 20).save(tmp_path / "photos" / name / f"{i}.png")
    with pytest.raises(DataError, match="classes"):
        evaluate(run, ["data.name=folder", f"data.root={tmp_path / 'photos'}"])


def test_a_damaged_export_list_is_one_line(run: Path) -> None:
    (run / "exports").mkdir()
    (run / "exports" / "model.ts").write_text("x")
    for text in ("[", '{"files": 3}', '{"files": [3]}', '{"files": [{"path": {}}]}'):
        (run / "export.json").write_text(text)
        with pytest.raises(NanonasError) as caught:
            evaluate(run / "exports" / "model.ts")
        assert len(str(caught.value).splitlines()) == 1


def test_calibration_error_by_hand() -> None:
    confidence, right = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, False])
    # |0.95 − 0.5| and |0.55 − 0.5|, half of the images each
    assert expected_calibration_error(confidence, right) == pytest.approx(0.25)
    assert expected_calibration_error(np.ones(5), np.ones(5, bool)) == 0
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([False, True])) == 1

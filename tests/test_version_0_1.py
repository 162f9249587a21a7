"""Runs that version 0.1 made (tests/version_0_1) are still evaluated, exported, compared and gone on with."""

import json
import shutil
from pathlib import Path

import pytest
from source import ROOT
from version_0_1.make import photos

from nanonas import compare, evaluate, export, load_model, load_spec, search

RUNS = ROOT / "tests" / "version_0_1"


@pytest.fixture(params=["digits", "folder", "darts"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS / request.param, tmp_path / request.param))


@pytest.fixture
def sets(old: Path, tmp_path: Path) -> list[str]:
    """Where the images are now."""
    if old.name != "folder":
        return []
    photos(tmp_path / "photos")
    return [f"data.root={tmp_path / 'photos'}"]


def test_it_is_evaluated_as_then(old: Path, sets: list[str]) -> None:
    said: list[str] = []
    before = json.loads((old / "eval.json").read_text())
    now = evaluate(old, sets, say=said.append)
    assert now["test_accuracy"] == pytest.approx(before["test_accuracy"], abs=0.01)  # processors round differently
    assert (now["params"], now["macs"], now["data"]) == (before["params"], before["macs"], before["data"])
    assert now["test_looks"] == before["test_looks"] + 1
    assert json.loads((old / "eval.json").read_text()) == now, "these are the data that it was trained on"


def test_it_is_exported_and_the_file_tested(old: Path, sets: list[str]) -> None:
    (file,) = export(old, ["onnx"], overrides=sets)["files"]
    assert file["test_accuracy"] == pytest.approx(load_accuracy(old), abs=0.01)
    assert evaluate(old / "exports" / "model.onnx", sets)["params"] == load_model(old).params


def load_accuracy(run: Path) -> float:
    return float(json.loads((run / "train.json").read_text())["test_accuracy"])


def test_it_is_compared(old: Path) -> None:
    document = compare([old])
    assert document["groups"][0]["test_accuracy"]["mean"] == pytest.approx(load_accuracy(old))


def test_its_search_goes_on(tmp_path: Path) -> None:
    run = Path(shutil.copytree(RUNS / "digits", tmp_path / "digits"))
    before = (run / "trials.jsonl").read_text().splitlines()
    trials = list(search(load_spec(run / "spec.yaml", [f"budget.trials={len(before) + 2}"]), run))
    after = (run / "trials.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    assert [trial.replayed for trial in trials] == [True] * len(before) + [False] * 2
    assert all(trial.ok for trial in trials)

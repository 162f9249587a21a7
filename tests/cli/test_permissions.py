"""Files that may not be read or written: one line with the path, and never that they are damaged or do not exist."""

import builtins
import errno
import io
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nanonas.app import app

ENVIRONMENT = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def forbid(monkeypatch: pytest.MonkeyPatch, *forbidden: Path) -> None:
    """From now on these may not be opened, by root neither, whom the bits of a file do not bind."""
    opened = io.open

    def refusing(file: Any, *rest: Any, **named: Any) -> Any:
        if not isinstance(file, int) and Path(file).absolute() in forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return opened(file, *rest, **named)

    monkeypatch.setattr(io, "open", refusing)
    monkeypatch.setattr(builtins, "open", refusing)


def error(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], env=ENVIRONMENT)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "ermission denied" in line
    assert "damaged" not in result.stderr
    assert "not exist" not in line
    return line


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((name, "compare") for name in ("spec.yaml", "trials.jsonl", "search.json", "train.json", "eval.json")),
        *((name, "compare") for name in ("environment.json", "test_looks.jsonl", "model.json")),
        *((name, "eval") for name in ("model.safetensors", "model.json", "test_looks.jsonl", "log.txt", ".lock")),
        *((name, "train") for name in ("train.json", "trials.jsonl", "spec.yaml")),
        ("checkpoint.safetensors", "train"),
    ],
)
def test_a_file_of_a_run_is_named(name: str, command: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / name).touch()
    if name == "checkpoint.safetensors":
        (run / "train.json").unlink()
    forbid(monkeypatch, run / name)
    assert str(run / name) in error(command, run)


@pytest.mark.parametrize("suffix", ["onnx", "ts", "pt2"])
def test_an_exported_file_is_named(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"model.{suffix}"
    path.touch()
    forbid(monkeypatch, path)
    assert str(path) in error("eval", path, "--trust")


@pytest.mark.parametrize("name", ["meta.json", "train_images.npy", "test_labels.npy"])
def test_an_entry_of_the_cache_is_named_and_not_replaced(
    name: str, run: Path, session_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(shutil.copytree(session_cache, tmp_path / "cache"))
    monkeypatch.setenv("NANONAS_CACHE", str(cache))
    found = [*cache.glob(f"digits-*/{name}")]
    forbid(monkeypatch, *found)
    assert any(str(path) in error("eval", run) for path in found)


def test_a_table_and_a_spec_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cells.csv", "my.yaml"):
        (tmp_path / name).touch()
    forbid(monkeypatch, tmp_path / "cells.csv", tmp_path / "my.yaml")
    table = ("--set", f"evaluator.path={tmp_path / 'cells.csv'}")
    assert "cells.csv cannot be read" in error("search", "--preset", "nasbench201", *table)
    assert "my.yaml cannot be read" in error("search", "--spec", tmp_path / "my.yaml")


def test_a_file_that_is_not_there_is_looked_for_in_its_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, run / ".lock")
    assert error("eval", run).endswith(f"({run / '.lock'}); to see whose it is, type: ls -ld {run}")


def test_a_candidate_does_not_fail_for_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    from nanonas.executors import Job
    from nanonas.executors.worker import Worker
    from nanonas.spec.load import load_spec

    worker = Worker(load_spec("digits-evo", ["evaluator.name=fake"]).assignment, None)

    def refusing(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "supernet.safetensors")

    worker.evaluator.evaluate = refusing  # type: ignore[assignment,method-assign]
    with pytest.raises(PermissionError):
        worker.run(Job(str(worker.space.sample(random.Random(0))), {}, 0))

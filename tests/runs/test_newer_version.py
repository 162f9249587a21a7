"""Files of a newer version: one line that says so and what to type, never that they are damaged or should go."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from nanonas.app import app
from nanonas.core.errors import ExportError
from nanonas.core.version import version
from nanonas.exporters import Metadata
from nanonas.finish.export import metadata_of

ENVIRONMENT = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def change(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def error(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], env=ENVIRONMENT)
    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "was written by a newer version of nanonas" in line
    assert line.endswith(f"; this is {version('nanonas')}; type: pip install -U nanonas")
    assert not {"damaged", "delete"} & set(line.split())
    return line


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((f"{name}.json", "compare") for name in ("search", "train", "model", "environment")),
        *((f"{name}.json", "eval") for name in ("train", "model")),
        *((f"{name}.json", "train") for name in ("train",)),
    ],
)
def test_a_newer_schema_is_named_with_its_file(name: str, command: str, run: Path) -> None:
    change(run / name, schema_version=2)
    assert str(run / name) in error(command, run)


@pytest.mark.parametrize("name", ["search", "environment", "latency"])
def test_a_search_does_not_go_on_where_a_newer_one_was(name: str, run: Path) -> None:
    path = run / f"{name}.json"
    path.write_text(json.dumps({"kind": name, "schema_version": 2, "spec": {}}))
    trials = (run / "trials.jsonl").read_bytes()
    assert str(path) in error("search", "--spec", run / "spec.yaml", "--out", run)
    assert (json.loads(path.read_text())["schema_version"], (run / "trials.jsonl").read_bytes()) == (2, trials)


def test_a_newer_list_of_files_is_named(run: Path) -> None:
    (run / "export.json").write_text(json.dumps({"schema_version": 2, "files": []}))
    (run / "exports").mkdir()
    (run / "exports" / "model.onnx").touch()
    assert "export.json" in error("eval", run / "exports" / "model.onnx")


def test_keys_that_are_unknown_here_are_newer(run: Path) -> None:
    change(run / "model.json", colours="sRGB")
    assert "model.json" in error("eval", run)
    lines = (run / "trials.jsonl").read_text().splitlines()
    (run / "trials.jsonl").write_text("".join(json.dumps(json.loads(line) | {"worker": 1}) + "\n" for line in lines))
    assert "trials.jsonl" in error("compare", run)


@pytest.mark.parametrize(
    "name", ["spec.yaml", "test_looks.jsonl", "train.json", "model.json", "checkpoint.safetensors"]
)
def test_the_version_that_began_a_run_is_named(name: str, run: Path) -> None:
    change(run / "environment.json", nanonas="27.1.3")
    path = run / name
    if name == "spec.yaml":
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"federated": True}))
    elif name == "test_looks.jsonl":
        path.write_text('{"command": "distil"}\n')
    elif name == "model.json":
        change(path, space={"name": "graph"})
    elif name == "train.json":
        change(path, epochs="as many as needed")
    else:
        (run / "train.json").unlink()
        path.write_bytes((run / "model.safetensors").read_bytes())
    command = {"model.json": "eval", "checkpoint.safetensors": "train"}.get(name, "compare")
    assert f"{path} was written by a newer version of nanonas, 27.1.3; this is" in error(command, run)


def test_what_a_file_says_of_its_own_version_goes_first(run: Path) -> None:
    change(run / "train.json", schema_version=2, environment={"nanonas": "31.0"})
    assert "nanonas, 31.0; this is" in error("compare", run)


def test_a_run_of_a_newer_version_that_can_be_read_is_read(run: Path) -> None:
    change(run / "environment.json", nanonas="27.1.3", accelerator="none")
    result = CliRunner().invoke(app, ["compare", str(run)], env=ENVIRONMENT)
    assert (result.exit_code, "error" in result.stderr) == (0, False)


def test_what_is_damaged_is_still_said_to_be(run: Path) -> None:
    (run / "train.json").write_text("{")
    result = CliRunner().invoke(app, ["compare", str(run)], env=ENVIRONMENT)
    assert "train.json is damaged" in result.stderr


def test_an_exported_file_may_say_more_but_for_its_data(run: Path) -> None:
    from nanonas import load_model

    texts = metadata_of(load_model(run)).texts()
    assert Metadata.of(texts | {"colours": '"sRGB"'}, Path("model.onnx")).params > 0
    newer = texts | {"data": json.dumps(json.loads(texts["data"]) | {"colours": "sRGB"})}
    with pytest.raises(ExportError, match="written by a newer version of nanonas; type: pip install -U nanonas"):
        Metadata.of(newer, Path("model.onnx"))

"""docs/files.md names every field that a document has, docs/spec.md every key of a spec."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import run_folders
from run_folders import make_run

from nanonas import compare, evaluate
from nanonas.core.files import SCHEMA_VERSION

DOCUMENTED = Path(__file__).parents[1] / "docs" / "files.md"


def section(title: str) -> set[str]:
    """The names in backticks under a heading, and under the introduction."""
    parts = re.split(r"^## (.*)$", DOCUMENTED.read_text(), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return set(re.findall(r"`(\w+)`", parts[0] + found[title]))


@pytest.mark.parametrize("name", ["search", "train", "export"])
def test_each_field_of_a_file_is_documented(name: str, exported_run: Path) -> None:
    content = json.loads((exported_run / f"{name}.json").read_text())
    assert content.keys() <= section(f"{name}.json")
    for file in content.get("files", []):
        assert file.keys() <= section("export.json")


def test_each_field_of_an_evaluation_is_documented(exported_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(exported_run, tmp_path / "run"))
    for target in (run, run / "exports" / "model.onnx"):
        assert evaluate(target).keys() <= section("eval.json")


def test_each_field_of_a_line_of_the_journal_is_documented(trained_run: Path) -> None:
    for line in (trained_run / "trials.jsonl").read_text().splitlines():
        assert json.loads(line).keys() <= section("trials.jsonl")


def test_each_field_of_a_comparison_is_documented(tmp_path: Path) -> None:
    arms = [("a", run_folders.EVOLUTION), ("b", run_folders.RANDOM)]
    runs = [make_run(tmp_path / f"{arm}{seed}", spec=spec, seed=seed) for arm, spec in arms for seed in (0, 1)]
    document = compare(runs)
    parts = [document, *document["tests"], *document["groups"], document["groups"][0]["test_accuracy"]]
    parts += [run for group in document["groups"] for run in group["runs"]]
    assert set().union(*parts) <= section("compare --json")


def test_each_file_of_a_run_is_documented_and_names_its_kind(exported_run: Path) -> None:
    names = set(re.findall(r"`([\w.]+\.\w+)`", DOCUMENTED.read_text()))
    for path in exported_run.iterdir():
        assert path.name in names or path.is_dir()
        if path.suffix == ".json":
            assert json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION


def test_the_keys_of_a_spec_are_documented_as_they_are() -> None:
    docs = DOCUMENTED.parent
    written = subprocess.run([sys.executable, docs / "spec.py"], capture_output=True, text=True, check=True).stdout
    assert (docs / "spec.md").read_text() == written, "python docs/spec.py > docs/spec.md"
    nameless = [line for line in written.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert not nameless, "give these keys a description"

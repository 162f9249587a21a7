import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import run_folders

from nanonas.cli import completion
from nanonas.data.dataset import DATASETS
from nanonas.exporters import EXPORTERS
from nanonas.spec.load import preset_names
from nanonas.spec.schema import SECTIONS
from nanonas.strategies import STRATEGIES


def settings(incomplete: str, **given: Any) -> list[str]:
    context: Any = SimpleNamespace(params=given)
    return completion.settings(context, incomplete)


def asked(shell: str, *words: str, folder: Path) -> list[str]:
    """What a shell gets when Tab is pressed behind the last word; bash splits at `=`."""
    variables = {
        "bash": {"COMP_WORDS": "\n".join(["nanonas", *words]), "COMP_CWORD": str(len(words))},
        "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(["nanonas", *words])},
    }[shell]
    environment = os.environ | variables | {"_NANONAS_COMPLETE": f"complete_{shell}"}
    command = [sys.executable, "-c", "from nanonas.app import main; main()"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_presets_are_completed() -> None:
    assert completion.presets("") == preset_names()
    assert completion.presets("digits-e") == ["digits-evo"]


def test_formats_are_completed() -> None:
    assert completion.formats("") == list(EXPORTERS)
    assert completion.formats("on") == ["onnx"]


def test_run_directories_are_completed_from_one_folder_further_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/b", "runs/a", "alone", ".hidden/x"):
        run_folders.make_run(tmp_path / name)
    (tmp_path / "other").mkdir()
    (tmp_path / "file").write_text("")
    assert completion.runs("") == ["alone", "runs/a", "runs/b"]
    assert completion.runs("ru") == ["runs/a", "runs/b"]
    assert completion.runs("runs/b") == ["runs/b"]
    assert completion.runs(f"{tmp_path}/al") == [f"{tmp_path}/alone"]
    assert completion.runs("none/x") == completion.runs("file/x") == []


def test_keys_are_those_of_the_components_that_the_preset_names() -> None:
    assert "strategy.population_size=" in settings("strategy.", preset="digits-evo")
    assert "strategy.population_size=" not in settings("strategy.", preset="cifar10-random")
    assert "space.depths=" in settings("", preset="cifar10-evo")
    assert settings("no_such_key") == []


def test_what_is_trained_takes_settings_of_its_data_only(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "run", spec=run_folders.RANDOM)
    context: Any = SimpleNamespace(params={"target": str(run)})
    assert "data.root=" in completion.data_settings(context, "")
    assert all(key.startswith("data.") for key in completion.data_settings(context, ""))
    assert completion.data_settings(context, "seed") == []


def test_an_earlier_setting_changes_the_keys() -> None:
    keys = settings("strategy.", preset="digits-evo", set_=["strategy.name=random"])
    assert keys == ["strategy.name=", "strategy.repeats="]


def test_the_keys_of_a_run_are_those_of_its_spec(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "run", spec=run_folders.RANDOM)
    assert settings("strategy.p", run=str(run)) == []


def test_the_last_key_that_is_left_comes_with_its_value() -> None:
    assert settings("strategy.pop", preset="digits-evo") == ["strategy.population_size=", "strategy.population_size=12"]


@pytest.mark.parametrize("section", [*SECTIONS, "data"])
def test_names_of_components_are_completed(section: str) -> None:
    names = SECTIONS.get(section, DATASETS)
    assert settings(f"{section}.name=") == [f"{section}.name={name}" for name in names]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("strategy.name=ra", ["strategy.name=random"]),
        ("device=c", ["device=cpu", "device=cuda"]),
        ("strategy.repeats=", ["strategy.repeats=true", "strategy.repeats=false"]),
        ("seed=", ["seed=0"]),
        ("objectives.val_accuracy=", ['objectives.val_accuracy="maximize"']),
        ("no_such_key=", []),
    ],
)
def test_values_are_completed_where_they_are_few(typed: str, found: list[str]) -> None:
    assert settings(typed) == found


def test_a_mistake_on_the_line_does_not_end_the_completion() -> None:
    for given in ({"preset": "no-such"}, {"spec": Path("none.yaml")}, {"set_": ["strategy.name=none", "x"]}):
        assert "strategy.name=" in settings("strategy.", **given)


def test_bash_gets_what_stands_behind_the_equals_sign(tmp_path: Path) -> None:
    line = ["search", "--preset", "digits-evo", "--set"]
    assert asked("bash", *line, "strategy.name", "=", "ra", folder=tmp_path) == ["random"]
    assert asked("bash", *line, "strategy.name", "=", folder=tmp_path) == list(STRATEGIES)
    assert "strategy.name=" in asked("bash", *line, "strategy", folder=tmp_path)


def test_bash_gets_a_space_escaped(tmp_path: Path) -> None:
    run_folders.make_run(tmp_path / "my runs" / "the 'best'")
    assert asked("bash", "train", r"my\ r", folder=tmp_path) == [r"my\ runs/the\ \'best\'"]
    assert asked("bash", "compare", "", folder=tmp_path) == [r"my\ runs/the\ \'best\'"]


def test_zsh_gets_whole_words(tmp_path: Path) -> None:
    (said,) = asked("zsh", "search", "--set", "strategy.name=ra", folder=tmp_path)
    assert '"strategy.name=random"' in said

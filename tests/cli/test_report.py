"""What a terminal shows of a search: the best, or with several objectives the front."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from nanonas import search
from nanonas.cli.output import Output
from nanonas.cli.report import FRONT_SHOWN, SearchView, View, search_table
from nanonas.core.files import read_json
from nanonas.spec.schema import Spec


def spec(trials: int, **objectives: str) -> Spec:
    return Spec.model_validate(
        {
            "name": "test",
            "evaluator": {"name": "fake"},
            "strategy": {"name": "nsga2", "population_size": 6},
            "objectives": objectives,
            "budget": {"trials": trials},
            "executor": {"name": "inline", "lookahead": 1},
        }
    )


def shown(content: RenderableType, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(content)
    return capture.get()


def trials_in(text: str) -> list[str]:
    return re.findall(r"^ *(\d+) +[\d.]+ %", text, re.MULTILINE)


def test_several_objectives_show_their_front_as_it_grows_and_in_the_end(tmp_path: Path) -> None:
    wanted = spec(60, val_accuracy="maximize", params="minimize")
    view = SearchView(wanted, tmp_path, Output(quiet=True))
    for trial in search(wanted, tmp_path / "run"):
        view.update(trial)
    document = read_json(tmp_path / "run" / "search.json")
    members = [str(entry["trial"]) for entry in document["front"]]
    assert len(members) >= 3
    for width in (80, 200):
        growing, final = shown(view.render(), width), shown(search_table(document), width)
        assert f"front of {len(members)}" in growing
        assert trials_in(growing) == members[:FRONT_SHOWN]
        assert trials_in(final) == members
        assert max(map(len, growing.splitlines())) <= width
    whole = shown(search_table(document), 1000)
    assert f"--genotype {document['front'][-1]['genotype']}" in whole


def test_cheaper_trials_are_not_among_the_best(tmp_path: Path) -> None:
    wanted = spec(6, val_accuracy="maximize")
    view = SearchView(wanted, tmp_path, Output(quiet=True))
    cheap, *others = search(wanted, tmp_path / "run")
    view.update(replace(cheap, fidelity={"epochs": 1}, metrics={**cheap.metrics, "val_accuracy": 1.0}))
    for trial in others:
        view.update(trial)
    assert set(trials_in(shown(view.render()))) == {str(trial.trial) for trial in others}


def test_a_front_of_one_has_no_other_member(tmp_path: Path) -> None:
    list(search(spec(1, val_accuracy="maximize", params="minimize"), tmp_path / "run"))
    assert "--genotype" not in shown(search_table(read_json(tmp_path / "run" / "search.json")), 1000)


def test_nothing_that_is_shown_commands_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = {"device": "\x1b]52;c;aGk=\x07\x9b2J", "classes": ["\x1b[2J"]}
    Output().result(evil, lambda document: Text(f"{document['device']} {document['classes'][0]}"))
    Output().say(f"warning: {evil['device']}")
    monkeypatch.setattr(Output, "is_live", True)
    with View(Output()) as view:
        view.say(f"live: {evil['device']}")
    Output(as_json=True).result(evil, lambda document: "")
    told = capsys.readouterr()
    assert not set("\x1b\x07\x9b") & set(told.out + told.err)
    assert "\\x1b]52;c;aGk=\\x07\\x9b2J \\x1b[2J" in told.out
    assert "live: \\x1b]52" in told.err


def test_json_is_whole_in_any_encoding(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"per_class": {"猫": 1.0, "犬": 0.5}, "run": "l\udce4ufe"}
    Output(as_json=True).result(document, lambda document: "")
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == document


def test_one_objective_shows_the_best_five(tmp_path: Path) -> None:
    wanted = spec(12, val_accuracy="maximize")
    view = SearchView(wanted, tmp_path, Output(quiet=True))
    trials = list(search(wanted, tmp_path / "run"))
    for trial in trials:
        view.update(trial)
    best = sorted(trials, key=lambda trial: trial.metrics["val_accuracy"], reverse=True)[:5]
    text = shown(view.render())
    assert trials_in(text) == [str(trial.trial) for trial in best]
    assert "front" not in text + shown(search_table(read_json(tmp_path / "run" / "search.json")))

"""What a terminal shows of a search: the best, or with several objectives the front."""

import re
from pathlib import Path

import fakes  # noqa: F401 — registers the evaluator "fake"
from rich.console import Console, RenderableType

from nanonas import search
from nanonas.output import Output
from nanonas.report import FRONT_SHOWN, SearchView, search_table
from nanonas.run_directory import read_json
from nanonas.spec import Spec


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

"""The `ray` executor; skipped where Ray is not installed."""

from pathlib import Path

import pytest
from searches import SETS, lines

from nanonas.core.errors import SpecError
from nanonas.engine.search import search
from nanonas.spec.load import load_spec

pytest.importorskip("ray")


def test_the_trials_on_a_cluster_are_those_here(tmp_path: Path) -> None:
    for name in ("inline", "ray"):
        list(search(load_spec("digits-evo", [*SETS, f"executor.name={name}"]), tmp_path / name))
    assert lines(tmp_path / "ray") == lines(tmp_path / "inline")


def test_what_needs_the_run_directory_is_refused(tmp_path: Path) -> None:
    sets = ["strategy={name: darts}", "evaluator={name: supernet, epochs: 2}", "executor={name: ray, lookahead: 1}"]
    with pytest.raises(SpecError, match=r"use executor\.name=inline"):
        list(search(load_spec("digits-evo", sets), tmp_path / "run"))

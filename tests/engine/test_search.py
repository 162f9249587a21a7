"""The search loop: order, resume, constraints, and what it refuses."""

import errno
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import Fake
from searches import make_spec, outcomes

from nanonas.core.errors import EvaluationError, RunError, SpecError
from nanonas.core.problem import Problem, measures
from nanonas.core.task import Task
from nanonas.core.trial import fidelity_key, training_seed
from nanonas.devices import runtime
from nanonas.devices.latency import Latency
from nanonas.engine import search as engine
from nanonas.engine.failures import Failures
from nanonas.engine.planning import plan
from nanonas.engine.results import best_trial, read_trials
from nanonas.engine.search import search
from nanonas.evaluators import EVALUATORS
from nanonas.runs.directory import locked
from nanonas.spaces import SPACES
from nanonas.spec.load import load_spec, override_spec
from nanonas.spec.schema import Spec

FEW = {"name": "nano", "operations": ["conv_3x3", "skip_connect", "none"], "widths": [16, 24], "cells": [1, 2]}


def run_all(spec: Any, run: Path) -> list[Any]:
    return outcomes(list(search(spec, run)))


def problem_of(spec: Spec) -> Problem:
    return engine.problem_of(spec, spec.assignment.make_evaluator(print), Latency())


def test_a_run_directory_is_complete(tmp_path: Path) -> None:
    trials = list(search(make_spec("evolution"), tmp_path / "run"))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"spec.yaml", "environment.json", "trials.jsonl", "search.json", "log.txt"}
    result = json.loads((tmp_path / "run" / "search.json").read_text())
    assert (result["kind"], result["schema_version"], result["run"]) == ("search", 1, str(tmp_path / "run"))
    assert result["trials"] == result["evaluated"] == len(trials)
    best = max(trials, key=lambda trial: trial.metrics["val_accuracy"])
    assert result["best"] == {"trial": best.trial, "genotype": str(best.genotype), "metrics": dict(best.metrics)}
    assert result["front"] == [result["best"]]
    assert result["cached"] == sum(trial.repeats for trial in trials)
    drawn = [trial.metrics["val_accuracy"] for trial in trials if trial.parent is None]
    assert result["random"]["n"] == len(drawn) == 6
    assert result["random"]["best"] == max(drawn)
    assert not result["random"]["equal_budget"]


def test_a_line_has_the_documented_fields(tmp_path: Path) -> None:
    list(search(make_spec("evolution", budget={"trials": 8}), tmp_path / "run"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    fields = ["trial", "genotype", "fidelity", "parent", "status", "metrics", "error", "seed", "elapsed"]
    assert all(list(line) == fields for line in lines)
    assert [line["trial"] for line in lines] == list(range(8))
    assert lines[-1]["parent"] is not None


def test_a_trial_is_on_disk_before_it_is_yielded(tmp_path: Path) -> None:
    for trial in search(make_spec("random", budget={"trials": 5}), tmp_path / "run"):
        assert len((tmp_path / "run" / "trials.jsonl").read_text().splitlines()) == trial.trial + 1


def test_a_failed_trial_says_why_and_has_no_metrics(tmp_path: Path) -> None:
    spec = make_spec("random", evaluator={"name": "fake", "fail_share": 1.0}, budget={"trials": 2})
    list(search(spec, tmp_path / "run"))
    line = json.loads((tmp_path / "run" / "trials.jsonl").read_text().splitlines()[0])
    assert (line["status"], line["metrics"]) == ("failed", {})
    assert "nan" in line["error"]
    result = json.loads((tmp_path / "run" / "search.json").read_text())
    assert (result["best"], result["failed"], result["evaluated"]) == (None, 2, 0)


def test_a_candidate_may_raise_anything(tmp_path: Path) -> None:
    spec = make_spec("random", evaluator={"name": "fake", "bug_share": 0.3}, budget={"trials": 12})
    failed = [trial for trial in search(spec, tmp_path / "run") if not trial.ok]
    assert 0 < len(failed) < 12
    line = json.loads((tmp_path / "run" / "trials.jsonl").read_text().splitlines()[failed[0].trial])
    reason, *traceback = line["error"].splitlines()
    assert reason == failed[0].reason == "ZeroDivisionError: a bug"
    assert traceback[0] == "Traceback (most recent call last):"
    assert "fakes.py" in line["error"]


@pytest.mark.parametrize("budget", [{"trials": 40}, {"minutes": 60}])
def test_a_search_stops_when_most_candidates_fail(budget: dict[str, int], tmp_path: Path) -> None:
    spec = make_spec("random", evaluator={"name": "fake", "bug_share": 1.0}, budget=budget)
    stopped = r"11 of the last 11 trials failed: all with 'ZeroDivisionError: a bug'"
    with pytest.raises(RunError, match=stopped):
        list(search(spec, tmp_path / "run"))
    lookahead = spec.executor.lookahead
    assert len((tmp_path / "run" / "trials.jsonl").read_text().splitlines()) == 11 + lookahead - 1
    result = json.loads((tmp_path / "run" / "search.json").read_text())
    assert (result["failed"], result["ended"]) == (11 + lookahead - 1, "failures")
    with pytest.raises(RunError, match=stopped):  # another start, another chance
        list(search(spec, tmp_path / "run"))
    assert len((tmp_path / "run" / "trials.jsonl").read_text().splitlines()) == 2 * (11 + lookahead - 1)


def test_what_failed_trials_share_is_named(tmp_path: Path) -> None:
    space = SPACES["nano"](SPACES["nano"].Config())
    failures = Failures(space)
    for trial in search(make_spec("random", budget={"trials": 60}), tmp_path / "run"):
        if failures.verdict:
            break
        bad = "sep_conv_5x5" in trial.genotype.values
        failures.tell(replace(trial, status="failed", error="ValueError: no\nTraceback …") if bad else trial)
    assert "all with 'ValueError: no'; all have sep_conv_5x5" in failures.verdict


def test_what_failed_is_not_proposed_again(tmp_path: Path) -> None:
    evaluator = {"name": "fake", "fail_share": 0.15}
    executor = {"name": "inline", "lookahead": 1}
    spec = make_spec("evolution", evaluator=evaluator, executor=executor, budget={"trials": 200})
    trials = list(search(override_spec(spec, ["strategy.repeats=true"]), tmp_path / "run"))
    counts = Counter((str(trial.genotype), trial.ok) for trial in trials)
    assert max(count for (_, ok), count in counts.items() if ok) > 1
    assert max(count for (_, ok), count in counts.items() if not ok) == 1


@pytest.mark.parametrize("lookahead", [1, 3])
def test_a_proposal_knows_exactly_what_lookahead_allows(lookahead: int, tmp_path: Path) -> None:
    spec = make_spec("evolution", executor={"name": "inline", "lookahead": lookahead})
    trials = list(search(spec, tmp_path / "run"))
    assert all(trial.parent <= trial.trial - lookahead for trial in trials if trial.parent is not None)
    assert any(trial.parent == trial.trial - lookahead for trial in trials)


def test_a_finished_search_evaluates_nothing_again(tmp_path: Path) -> None:
    first = run_all(make_spec("evolution"), tmp_path / "run")
    before, calls = (tmp_path / "run" / "search.json").read_text(), Fake.calls
    assert run_all(make_spec("evolution"), tmp_path / "run") == first
    assert Fake.calls == calls
    assert (tmp_path / "run" / "search.json").read_text() == before


def test_more_trials_continue_a_finished_search(tmp_path: Path) -> None:
    long = run_all(make_spec("evolution", budget={"trials": 30}), tmp_path / "long")
    short = run_all(make_spec("evolution", budget={"trials": 12}), tmp_path / "run")
    assert short == long[:12]
    assert run_all(make_spec("evolution", budget={"trials": 30}), tmp_path / "run") == long


def test_minutes_end_a_search(tmp_path: Path) -> None:
    assert len(run_all(make_spec("random", budget={"minutes": 1e-9}), tmp_path / "run")) == 0
    assert len(run_all(make_spec("random", budget={"minutes": 5, "trials": 3}), tmp_path / "other")) == 3


@pytest.mark.parametrize(
    ("lookahead", "seconds", "last"),
    [
        (1, [], 110),
        (1, [50], 110),  # the first one loads the data
        (1, [10, 50], 110),
        (1, [10, 60], 70),
        (3, [], 110),
    ],
)
def test_no_trial_is_begun_that_would_end_after_the_minutes(
    lookahead: int, seconds: list[float], last: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial takes ten of the 119 seconds, but for the first ones."""
    clock, durations, evaluate = [0.0], iter(seconds), Fake.evaluate

    def takes_its_time(*arguments: Any) -> Any:
        clock[0] += next(durations, 10)
        return evaluate(*arguments)

    monkeypatch.setattr("nanonas.engine.search.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Fake, "evaluate", takes_its_time)
    executor = {"name": "inline", "lookahead": lookahead}
    spec = make_spec("random", executor=executor, budget={"minutes": 119 / 60})
    trials = list(search(spec, tmp_path / "run"))
    assert trials[-1].elapsed == last
    assert json.loads((tmp_path / "run" / "search.json").read_text())["ended"] == "minutes"
    again = list(search(spec, tmp_path / "run"))
    assert outcomes(again) == outcomes(trials)
    longer = override_spec(spec, ["budget.minutes=10"])
    assert outcomes(list(search(longer, tmp_path / "run")))[: len(trials)] == outcomes(trials)
    assert len(list(search(longer, tmp_path / "run"))) > len(trials)


def test_a_search_that_was_stopped_knows_how_long_trials_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of 119 seconds each, and stopped after 100: what is begun anew would end at 110, but another not any more."""
    clock, evaluate = [0.0], Fake.evaluate

    def takes_its_time(*arguments: Any) -> Any:
        clock[0] += 10
        return evaluate(*arguments)

    monkeypatch.setattr("nanonas.engine.search.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Fake, "evaluate", takes_its_time)
    spec = make_spec("random", executor={"name": "inline", "lookahead": 1}, budget={"minutes": 119 / 60})
    begun = list(islice(search(spec, tmp_path / "run"), 10))
    assert begun[-1].elapsed == 100
    assert [trial.elapsed for trial in search(spec, tmp_path / "run")][9:] == [100, 110]


def test_a_search_that_finds_nothing_says_so_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_INFEASIBLE", 100)
    nothing = make_spec("random", constraints={"params": 24_500}, budget={"minutes": 60})
    for _ in range(2):
        with pytest.raises(SpecError, match="no architecture was found"):
            list(search(nothing, tmp_path / "run"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"trials": 5, "spec": []}', '{"trials": 5, "spec": {"budget": 3}}'])
def test_a_damaged_search_json_is_written_anew(text: str, tmp_path: Path) -> None:
    spec = make_spec("random", budget={"minutes": 60, "trials": 5})
    trials = run_all(spec, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "search.json").read_text())["ended"] == "trials"
    whole = (tmp_path / "run" / "search.json").read_text()
    (tmp_path / "run" / "search.json").write_text(text)
    assert run_all(spec, tmp_path / "run") == trials
    assert (tmp_path / "run" / "search.json").read_text() == whole


def test_constraints_hold_for_every_trial(tmp_path: Path) -> None:
    spec = make_spec("evolution", constraints={"params": 100_000, "macs": 20_000_000})
    for trial in search(spec, tmp_path / "run"):
        assert trial.metrics["params"] <= 100_000
        assert trial.metrics["macs"] <= 20_000_000


def test_an_impossible_constraint_names_the_smallest(tmp_path: Path) -> None:
    spec = make_spec("random", constraints={"params": 5000})
    calls = Fake.calls
    with pytest.raises(SpecError, match=r"at most 5,000 params; the smallest has [0-9,]+ \(w16"):
        list(search(spec, tmp_path / "run"))
    assert Fake.calls == calls
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("space", list(SPACES))
def test_every_measure_can_be_bounded_and_minimized(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "kernels_ms", lambda program: [0.01 for _ in program.nodes])
    monkeypatch.setattr(runtime, "measured_ms", lambda program: 1.0)
    names = measures(SPACES[space])
    free = make_spec("random", space={"name": space})
    drawn = list(search(free, tmp_path / "free"))
    assert "peak_memory" not in drawn[0].metrics  # nobody asked
    measured = [problem_of(free).measure(trial.genotype, names) for trial in drawn]
    bounds = {name: sorted(found[name] for found in measured)[len(drawn) * 3 // 4] for name in names}
    objectives = {"val_accuracy": "maximize", **dict.fromkeys(names, "minimize")}
    spec = make_spec("random", space={"name": space}, constraints=bounds, objectives=objectives)
    for trial in search(spec, tmp_path / "bounded"):
        assert all(trial.metrics[name] <= bound for name, bound in bounds.items())


def test_what_is_cheap_to_check_is_checked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(make_spec("random", constraints={"peak_memory": 10**9, "params": 5000}))
    monkeypatch.setattr(type(problem.space), "program", None)  # not reached
    assert not problem.is_feasible(problem.space.sample(random.Random(0)))


def test_an_impossible_memory_names_the_smallest(tmp_path: Path) -> None:
    spec = make_spec("random", space=FEW, constraints={"peak_memory": 5000})
    with pytest.raises(SpecError, match=r"at most 5,000 peak_memory; the smallest found has 98,304 \(w16"):
        list(search(spec, tmp_path / "run"))


def test_a_barely_possible_constraint_is_accepted() -> None:
    space = SPACES["nano"](SPACES["nano"].Config.model_validate(FEW))
    task = EVALUATORS["fake"].task
    least = space.measure(space.smallest(lambda g: space.measure(g, task)["params"]), task)["params"]
    spec = make_spec("random", space=FEW, constraints={"params": least})
    problem_of(spec).check("nano")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": 1}, "seed"),
        ({"constraints": {"params": 247_000}}, "constraints"),
        ({"executor": {"name": "inline", "lookahead": 2}}, "executor.lookahead"),
        ({"space": {"name": "nano", "widths": [16]}}, "space.widths"),
    ],
)
def test_another_spec_is_refused_with_the_field(change: dict[str, Any], field: str, tmp_path: Path) -> None:
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    with pytest.raises(RunError, match=field):
        run_all(make_spec("random", **{"budget": {"trials": 3}, **change}), tmp_path / "run")


def test_another_executor_is_accepted(tmp_path: Path) -> None:
    first = run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    spec = make_spec("random", budget={"trials": 3}, executor={"name": "processes", "workers": 2, "lookahead": 4})
    assert run_all(spec, tmp_path / "run") == first


def test_a_journal_of_other_proposals_is_refused(tmp_path: Path) -> None:
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "a")
    run_all(make_spec("random", budget={"trials": 3}, seed=1), tmp_path / "b")
    (tmp_path / "b" / "trials.jsonl").replace(tmp_path / "a" / "trials.jsonl")
    with pytest.raises(RunError, match=r"trials.jsonl:1: holds w.* where this version of nanonas proposes w"):
        run_all(make_spec("random", budget={"trials": 3}), tmp_path / "a")


def test_other_data_behind_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "source", {"data": {"name": "folder", "fingerprint": "one"}})
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    monkeypatch.setattr(Fake, "source", {"data": {"name": "folder", "fingerprint": "another"}})
    with pytest.raises(RunError, match="other data"):
        run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")


def test_the_order_of_objectives_counts(tmp_path: Path) -> None:
    both = {"val_accuracy": "maximize", "params": "minimize"}
    run_all(make_spec("random", budget={"trials": 3}, objectives=both), tmp_path / "run")
    swapped = dict(reversed(both.items()))
    with pytest.raises(RunError, match="objectives"):
        run_all(make_spec("random", budget={"trials": 3}, objectives=swapped), tmp_path / "run")


def test_several_objectives_give_a_front(tmp_path: Path) -> None:
    both = {"val_accuracy": "maximize", "params": "minimize"}
    trials = list(search(make_spec("random", objectives=both), tmp_path / "run"))
    front = json.loads((tmp_path / "run" / "search.json").read_text())["front"]
    points = [(t.metrics["val_accuracy"], -t.metrics["params"]) for t in trials]
    best = {p for p in points if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)}
    assert {(e["metrics"]["val_accuracy"], -e["metrics"]["params"]) for e in front} == best
    assert len(front) > 1


def test_a_search_killed_in_its_first_moment_can_begin_again(tmp_path: Path) -> None:
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "whole")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("1")
    (tmp_path / "run" / "environment.json").write_bytes((tmp_path / "whole" / "environment.json").read_bytes())
    assert len(run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")) == 3


def test_what_a_smaller_budget_found_is_not_told_of_a_search_that_went_on(tmp_path: Path) -> None:
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    trials = search(make_spec("random", budget={"trials": 9}), tmp_path / "run")
    for _ in range(3):
        next(trials)
    assert (tmp_path / "run" / "search.json").exists()  # which may yet be all there is
    next(trials)
    trials.close()
    assert not (tmp_path / "run" / "search.json").exists()
    run_all(make_spec("random", budget={"trials": 9}), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "search.json").read_text())["trials"] == 9


def test_a_budget_that_is_already_spent_claims_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_all(make_spec("random", budget={"trials": 9}), run)
    before = {path.name: path.read_text() for path in run.iterdir() if path.name != "log.txt"}
    for budget, said in (({"trials": 8}, "trials=9,"), ({"trials": 9, "minutes": 1e-9}, "minutes=null,")):
        with pytest.raises(RunError, match=f"has spent .*to see its result.*{said}"):
            run_all(make_spec("random", budget=budget), run)
    assert {path.name: path.read_text() for path in run.iterdir() if path.name != "log.txt"} == before
    trials = search(make_spec("random", budget={"trials": 60}), run)
    for _ in range(12):
        next(trials)
    trials.close()
    fewer = make_spec("random", budget={"trials": 15})  # than was wanted, but not than was spent
    assert len(run_all(fewer, run)) == 15


def test_an_error_of_the_strategy_leaves_nothing(tmp_path: Path) -> None:
    spec = override_spec(make_spec("successive_halving"), ["strategy.fidelity=epoch"])
    with pytest.raises(SpecError, match="unknown fidelity"):
        list(search(spec, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(SpecError, match="unknown fidelity"):
        plan(spec)


def test_a_failure_without_a_word_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*arguments: Any) -> Any:
        raise EvaluationError

    monkeypatch.setattr(Fake, "evaluate", silent)
    (trial,) = search(make_spec("random", budget={"trials": 1}), tmp_path / "run")
    assert (trial.status, trial.reason) == ("failed", "EvaluationError")


def test_what_a_kill_left_half_written_is_deleted(tmp_path: Path) -> None:
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    old, young, mine = (tmp_path / "run" / name for name in (".latency.json.a1b2c3d_", ".a.json.abcdefgh", ".git.mine"))
    for path in (old, young, mine):
        path.write_text("{")
    for path in (old, mine):
        os.utime(path, (0, 0))
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    assert [path.exists() for path in (old, young, mine)] == [False, True, True]


def test_what_is_said_goes_to_the_log_too(tmp_path: Path) -> None:
    said: list[str] = []
    executor = {"name": "processes", "workers": 8, "lookahead": 2}
    list(search(make_spec("random", executor=executor, budget={"minutes": 1e-9}), tmp_path / "run", said.append))
    assert any("warning: executor.lookahead is 2" in text for text in said)
    assert "warning: executor.lookahead is 2" in (tmp_path / "run" / "log.txt").read_text()


def test_a_device_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    import torch

    from nanonas.spec.load import load_spec

    if torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(SpecError, match="mps is not available"):
        list(search(load_spec("digits-evo", ["device=mps"]), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_constraint_that_next_to_nothing_meets_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanonas.engine.search.MAX_INFEASIBLE", 50)
    space = SPACES["nano"](SPACES["nano"].Config())
    task = EVALUATORS["fake"].task
    least = space.measure(space.smallest(lambda g: space.measure(g, task)["params"]), task)["params"]
    with pytest.raises(SpecError, match="loosen the constraints"):
        run_all(make_spec("random", constraints={"params": least}), tmp_path / "run")


def test_another_torch_is_a_warning(tmp_path: Path) -> None:
    run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    path = tmp_path / "run" / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"torch": "1.0"}))
    said: list[str] = []
    list(search(make_spec("random", budget={"trials": 3}), tmp_path / "run", said.append))
    assert any("torch 1.0" in text for text in said)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_path_that_is_no_run_is_refused(kind: str, tmp_path: Path) -> None:
    run = tmp_path / "mine"
    if kind == "file":
        run.write_text("precious")
    else:
        run.mkdir()
        (run / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="not a run directory"):
        run_all(make_spec("random"), run)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_second_search_on_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"), pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
        run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")
    assert len(run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")) == 3


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_disk_without_locks_is_one_warning(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", failing(number))
    said: list[str] = []
    assert len(list(search(make_spec("random", budget={"trials": 3}), tmp_path / "run", said.append))) == 3
    (warning,) = said
    assert warning.startswith(f"warning: the disk of {tmp_path / 'run'} has no locks ({os.strerror(number)})")
    assert not (tmp_path / "run" / ".lock").exists()


def test_another_failure_of_a_lock_goes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        run_all(make_spec("random", budget={"trials": 3}), tmp_path / "run")


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_seed_belongs_to_the_architecture_not_its_spelling() -> None:
    assert fidelity_key({"epochs": 1, "image_size": 8}) == fidelity_key({"image_size": 8, "epochs": 1})
    seeds = {training_seed(s, k, fidelity_key({"epochs": e})) for s in (0, 1) for k in ("a", "b") for e in (1, 2)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**56 for seed in seeds)


def test_the_best_comes_from_the_highest_fidelity(tmp_path: Path) -> None:
    spec = make_spec("random", budget={"trials": 4})
    trials = list(search(spec, tmp_path / "run"))
    worst = min(trials, key=lambda trial: trial.metrics["val_accuracy"])
    raised = [replace(t, fidelity={"epochs": 243}) if t is worst else t for t in trials]
    assert best_trial(trials, spec) != worst
    found = best_trial(raised, spec)
    assert found is not None
    assert found.trial == worst.trial


def test_read_trials_gives_what_was_searched(tmp_path: Path) -> None:
    spec = make_spec("evolution", budget={"trials": 9})
    trials = list(search(spec, tmp_path / "run"))
    assert outcomes(read_trials(tmp_path / "run", SPACES["nano"](spec.space))) == outcomes(trials)


def test_a_run_directory_cannot_lead_out_of_itself(tmp_path: Path) -> None:
    spec = make_spec("random", budget={"trials": 3})
    run_all(spec, tmp_path / "run")
    outside = tmp_path / "precious"
    outside.write_text("mine")
    for name in (".lock", "log.txt", "trials.jsonl", "search.json", "exports"):
        link = tmp_path / "run" / name
        kept = link.read_bytes() if link.exists() else None
        link.unlink(missing_ok=True)
        link.symlink_to(outside)
        with pytest.raises(RunError, match=f"{name} is a symbolic link"):
            run_all(spec, tmp_path / "run")
        link.unlink()
        if kept is not None:
            link.write_bytes(kept)
    os.mkfifo(tmp_path / "run" / "train.json")
    with pytest.raises(RunError, match="is neither a file nor a folder"):
        run_all(spec, tmp_path / "run")
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("number", [0, 299])
def test_a_scored_trial_without_its_score_is_refused_with_its_line(number: int, tmp_path: Path) -> None:
    spec = make_spec("evolution", budget={"trials": 300})
    run_all(spec, tmp_path / "run")
    journal = tmp_path / "run" / "trials.jsonl"
    lines = journal.read_text().splitlines()
    lines[number] = json.dumps(json.loads(lines[number]) | {"metrics": {"params": 3}})
    journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=rf"trials\.jsonl:{number + 1}: its metrics lack val_accuracy"):
        run_all(spec, tmp_path / "run")


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e200])
def test_a_score_that_is_no_number_is_a_failed_trial(
    score: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EVALUATORS["fake"], "evaluate", lambda *_: {"val_accuracy": score})
    (trial,) = search(make_spec("random", budget={"trials": 1}), tmp_path / "run")
    assert trial.error == f"val_accuracy is {score}"


def test_files_of_absurd_size_are_refused_unread(tmp_path: Path) -> None:
    spec = make_spec("random", budget={"trials": 3})
    run_all(spec, tmp_path / "run")
    with (tmp_path / "run" / "trials.jsonl").open("ab") as file:
        file.truncate(10**12)  # sparse
    with pytest.raises(RunError, match="1,000,000,000,000 bytes, and no such file is larger"):
        run_all(spec, tmp_path / "run")


@pytest.mark.parametrize("preset", ["cifar10-evo", "cifar10-random", "cifar10-pareto", "folder-evo"])
@pytest.mark.parametrize("side", [8, 28, 32, 48, 64, 96, 224])
def test_a_preset_for_images_finds_architectures_for_any_size(preset: str, side: int) -> None:
    """The same for any size: with 32×32 pixels, at most 30 M MACs and 130,000 activations."""
    spec = load_spec(preset)
    space: Any = SPACES[spec.space.name](spec.space)
    problem = Problem(space, Task(3, side, side, 10), spec.objectives, spec.constraints, {})
    problem.check(spec.space.name)
    rng = random.Random(0)
    drawn = [space.sample(rng) for _ in range(300)]
    feasible = [genotype for genotype in drawn if problem.is_feasible(genotype)]
    assert len(feasible) > 10
    if len(spec.constraints) == 1:
        return
    assert len(feasible) < sum(space.measure(one, problem.task)["params"] <= 247_000 for one in drawn)
    measured = [space.measure(one, Task(3, 32, 32, 10)) for one in feasible]
    assert all(small["macs"] <= 30_000_000 and small["activations"] <= 130_000 for small in measured)

import json
import os

import pytest
import run_folders
from rich.console import Console
from run_folders import DARTS, EVOLUTION, GENOTYPES, RANDOM

from nanonas.comparison.compare import compare
from nanonas.comparison.verdict import renderable
from nanonas.core.errors import RunError
from nanonas.runs.directory import run_spec


@pytest.fixture
def make_run(tmp_path):
    """Makes a run directory in a folder of this name."""
    return lambda folder, *values, **settings: run_folders.make_run(tmp_path / folder, *values, **settings)


def arm(make_run, folder, accuracies, **settings):
    return [make_run(f"{folder}{seed}", value, seed=seed, **settings) for seed, value in enumerate(accuracies)]


def text_of(document, width=80):
    console = Console(width=width, record=True, file=open(os.devnull, "w"), color_system=None)  # noqa: SIM115, PTH123
    console.print(renderable(document))
    return console.export_text()


@pytest.mark.parametrize("changed", [{"evaluator": {"name": "table", "path": "x.csv"}}, DARTS])
def test_a_score_that_no_network_reached_is_no_validation_accuracy(make_run, changed):
    document = compare([make_run("a", spec=EVOLUTION | changed)])
    assert document["groups"][0]["val_accuracy"] is None


def test_runs_that_differ_in_their_seed_form_a_group(make_run):
    document = compare(arm(make_run, "a", [0.90, 0.92, 0.94]))
    (group,) = document["groups"]
    assert (document["kind"], document["schema_version"]) == ("compare", 1)
    assert (group["name"], group["n"]) == ("evo", 3)
    assert group["test_accuracy"]["mean"] == pytest.approx(0.92)
    assert group["test_accuracy"]["std"] == pytest.approx(0.02)
    assert len(group["test_accuracy"]["interval"]) == 2
    assert [run["seed"] for run in group["runs"]] == [0, 1, 2]
    assert [run["test_accuracy"] for run in group["runs"]] == [0.90, 0.92, 0.94]
    means = {"val_accuracy": 0.88, "params": 5000, "latency_ms": 0.52, "trials": 3, "search_seconds": 60.5}
    assert {name: group[name]["mean"] for name in means} == means
    assert document["verdict"].startswith("evo: test accuracy 92.00 ± 2.00 % (n=3, 95 % interval ")


def test_the_document_is_json_as_it_stands(make_run):
    document = compare([*arm(make_run, "a", [0.90, 0.92]), *arm(make_run, "b", [0.8, 0.85], spec=RANDOM)])
    assert json.loads(json.dumps(document, allow_nan=False)) == document


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"device": "cpu"},
        {"executor": {"name": "inline"}},
    ],
)
def test_name_device_and_executor_do_not_split_a_group(make_run, change):
    document = compare([make_run("a"), make_run("b", seed=1, spec=EVOLUTION | change)])
    assert len(document["groups"]) == 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"strategy": {"name": "random"}}, "evo (strategy.name=random)"),
        ({"budget": {"trials": 4}}, "evo (budget.trials=4)"),
        ({"executor": {"name": "processes", "lookahead": 2}}, "evo (executor.lookahead=2)"),
    ],
)
def test_groups_of_one_name_are_told_apart_by_what_differs(make_run, change, name):
    document = compare([make_run("a"), make_run("b", spec=EVOLUTION | change)], allow_mismatch=True)
    assert document["groups"][1]["name"] == name


@pytest.mark.parametrize(("key", "before", "after"), [("train.epochs", 30, 7), ("space.dropout", 0.1, 0.5)])
def test_settings_of_the_training_split_a_group(make_run, key, before, after):
    document = compare([make_run("a"), make_run("b", seed=1, train=[f"{key}={after}"])], allow_mismatch=True)
    assert [group["name"] for group in document["groups"]] == [f"evo ({key}={before})", f"evo ({key}={after})"]
    assert f"--set {key}={after}" in document["groups"][1]["runs"][0]["commands"][1]


def test_a_winner_is_named_when_the_test_supports_it(make_run):
    good = arm(make_run, "a", [0.92, 0.921, 0.919, 0.92])
    bad = arm(make_run, "b", [0.901, 0.90, 0.903, 0.902, 0.901], spec=RANDOM)
    document = compare([*bad, *good])
    (test,) = document["tests"]
    assert (test["a"], test["b"], test["n"], test["method"]) == ("random", "evo", [5, 4], "exact permutation test")
    assert test["p_adjusted"] == test["p"] == pytest.approx(2 / 126)
    assert document["verdict"].startswith("evo is better than random: +1.86 points (95 % interval ")


def test_no_winner_is_named_when_the_groups_overlap(make_run):
    document = compare([*arm(make_run, "a", [0.9, 0.93, 0.91]), *arm(make_run, "b", [0.92, 0.9, 0.91], spec=RANDOM)])
    assert document["tests"][0]["paired"]
    assert document["verdict"].startswith("no difference shown between evo and random (n=3 and 3, 95 % interval −")


def test_a_training_elsewhere_belongs_to_the_search_of_its_network(make_run):
    run, other = make_run("a"), make_run("b", seed=7, spec=RANDOM)  # as `train runs/a --set seed=7 … --out` leaves it
    spec = run_spec(run).model_dump(mode="json")
    train = json.loads((other / "train.json").read_text())
    found = {"run": str(run), "spec": spec, "place": "best", "trials": 3, "failed": 0, "seconds": 60.5}
    (other / "train.json").write_text(json.dumps(train | {"search": found}))
    (group,) = compare([run, other])["groups"]
    assert [(entry["seed"], entry["train_seed"], entry["strategy"]) for entry in group["runs"]] == [
        (0, 0, "evolution"),
        (0, 7, "evolution"),
    ]
    assert group["n"] == 1  # one search, trained twice


def test_three_groups_need_more_seeds(make_run):
    runs = [
        make_run("a"),
        make_run("b", spec=RANDOM),
        make_run("c", spec=EVOLUTION | {"name": "c", "budget": {"trials": 4}}),
    ]
    assert compare(runs, allow_mismatch=True)["verdict"].startswith("no winner named: it takes 7 seeds, the same in")


def test_one_seed_names_no_winner_and_says_how_to_repeat(make_run):
    document = compare([make_run("a", 0.95), make_run("b", 0.5, spec=RANDOM)])
    assert document["tests"] == []
    assert document["verdict"] == (
        "no winner named: it takes 6 seeds, the same in each group, to show any difference (n=1 and 1); "
        "repeat with --set seed=1"
    )


def test_three_groups_are_adjusted_and_the_best_must_beat_both(make_run):
    runs = [
        *arm(make_run, "a", [0.92, 0.921, 0.919]),
        *arm(make_run, "b", [0.901, 0.90, 0.903], spec=RANDOM),
        *arm(make_run, "c", [0.922, 0.9185, 0.9205], spec=EVOLUTION | {"name": "more", "budget": {"trials": 9}}),
        make_run("d", 0.99, spec=RANDOM | {"name": "single", "budget": {"trials": 7}}),
    ]
    document = compare(runs, allow_mismatch=True)
    assert len(document["tests"]) == 3
    assert all(test["p_adjusted"] >= test["p"] for test in document["tests"])
    assert document["verdict"].startswith("no winner named: ")
    assert document["verdict"].endswith("not tested, having fewer than 2 seeds: single")


def test_other_data_are_not_comparable(make_run):
    spec = RANDOM | {"data": {"name": "digits", "validation_fraction": 0.2}}
    runs = [*arm(make_run, "a", [0.9, 0.91]), *arm(make_run, "b", [0.5, 0.51], spec=spec)]
    document = compare(runs, allow_mismatch=True)
    assert document["tests"] == []
    assert document["verdict"].startswith("no winner named: the groups' data differ")
    assert "data.validation_fraction" in document["warnings"][0]


def test_data_are_known_by_their_fingerprint(make_run, tmp_path):
    def folder(name):
        return EVOLUTION | {"data": {"name": "folder", "root": str(tmp_path / name)}}

    here = make_run("a", spec=folder("here"), fingerprint="f" * 64)
    moved = make_run("b", seed=1, spec=folder("there"), fingerprint="f" * 64)
    unknown = make_run("c", seed=2, spec=folder("there"))  # lies where the second's data lie
    changed = make_run("d", seed=3, spec=folder("here"), fingerprint="0" * 64)
    assert len(compare([here, moved, unknown])["groups"]) == 1
    assert len(compare([here, changed], allow_mismatch=True)["groups"]) == 2
    with pytest.raises(RunError, match=r"the runs differ in data\."):
        compare([here, changed])


def test_data_that_were_moved_before_the_training_are_known_by_their_fingerprint(make_run, tmp_path):
    folder = EVOLUTION | {"data": {"name": "folder", "root": str(tmp_path / "here")}}
    here = make_run("a", spec=folder, fingerprint="f" * 64)
    moved = make_run("b", seed=1, spec=folder, fingerprint="f" * 64, train=[f"data.root={tmp_path / 'there'}"])
    trained = json.loads((moved / "train.json").read_text())
    (moved / "train.json").write_text(json.dumps(trained | {"data": {"name": "folder", "fingerprint": "f" * 64}}))
    assert len(compare([here, moved])["groups"]) == 1
    (moved / "train.json").write_text(json.dumps(trained | {"data": {"name": "folder", "fingerprint": "0" * 64}}))
    assert len(compare([here, moved], allow_mismatch=True)["groups"]) == 2


def test_a_seed_that_stands_twice_counts_once(make_run):
    document = compare([make_run("a", 0.90), make_run("b", 0.92), make_run("c", 0.95, seed=1)])
    (group,) = document["groups"]
    assert group["n"] == group["test_accuracy"]["n"] == 2
    assert group["test_accuracy"]["mean"] == pytest.approx(0.93)
    assert document["warnings"] == ["evo: a seed stands twice; its runs are not independent, their mean counts as one"]


def test_an_unfinished_search_is_shown_without_its_result(make_run):
    run = make_run("a", None)
    (run / "search.json").unlink()
    document = compare([run])
    assert document["groups"][0]["test_accuracy"] is None
    assert [warning.split(": ")[1].split(";")[0] for warning in document["warnings"]] == [
        "the search is not finished", "has no test accuracy",
    ]  # fmt: skip
    assert "no run has a test accuracy" in document["verdict"]
    assert "–" in text_of(document)


def test_a_training_without_a_search_says_so(make_run):
    run = make_run("a")
    (run / "search.json").unlink()
    (run / "trials.jsonl").unlink()
    assert "training without a search" in compare([run])["warnings"][0]


def test_another_genotype_than_the_best_is_said_and_repeated(make_run):
    document = compare([make_run("a", genotype=GENOTYPES[4])])
    assert "another genotype" in document["warnings"][0]
    assert document["groups"][0]["runs"][0]["commands"][1].endswith(f"a-again --genotype {GENOTYPES[4]}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"budget": {"trials": 9}}, "budget.trials (3 and 9)"),
        ({"budget": {"trials": 3, "minutes": 5}}, "budget.minutes (none and 5.0)"),
        ({"data": {"name": "digits", "validation_fraction": 0.2}}, "data.validation_fraction (0.1 and 0.2)"),
        ({"data": {"name": "cifar10"}}, 'data.name ("digits" and "cifar10")'),
        ({"space": {"name": "mobile"}}, 'space.name ("nano" and "mobile")'),
        ({"space": {"name": "nano", "cells": [1]}}, "space.cells ([1, 2, 3] and [1])"),
        ({"constraints": {"params": 9000}}, "constraints.params (none and 9000.0)"),
        ({"evaluator": {"name": "training", "epochs": 9}}, "evaluator.epochs (5 and 9)"),
        ({"train": {"epochs": 9}}, "train.epochs (30 and 9)"),
    ],
)
def test_runs_that_differ_in_more_than_the_strategy_are_refused(make_run, change, told):
    runs = [make_run("a"), make_run("b", spec=RANDOM | change)]
    with pytest.raises(RunError) as caught:
        compare(runs)
    assert str(caught.value) == (
        f"the runs differ in {told}: what they reached is not comparable; add --allow-mismatch to see it side by side"
    )
    assert compare(runs, allow_mismatch=True)["mismatch"]


def test_what_a_trial_costs_is_free_where_minutes_are_the_budget(make_run):
    def short(**evaluator):
        return EVOLUTION | {"budget": {"minutes": 5}, "evaluator": {"name": "training", **evaluator}}

    assert compare([make_run("a", spec=short()), make_run("b", spec=short(epochs=9))])["mismatch"] == []


def test_unequal_budgets_and_processors_are_said(make_run):
    runs = [make_run("a"), make_run("b", spec=RANDOM | {"budget": {"trials": 9}}, cpu="d")]
    assert compare(runs, allow_mismatch=True)["warnings"] == [
        "the groups differ in budget.trials: a difference is not the strategy's alone",
        "the runs are from different processors: their seconds and latencies are not comparable",
    ]


def test_a_run_named_twice_is_refused(make_run):
    run = make_run("a")
    with pytest.raises(RunError, match="named twice"):
        compare([run, run / ".." / "a"])


def test_no_run_is_refused():
    with pytest.raises(RunError, match="no run to compare"):
        compare([])


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("search.json", "{", "search.json is damaged"),
        ("search.json", '{"trials": 3}', "search.json is damaged: best"),
        ("train.json", "[]", "train.json is damaged: not a JSON object"),
        ("train.json", '{"test_accuracy": NaN}', "train.json is damaged: test_accuracy: .*finite"),
        ("eval.json", '{"test_accuracy": 93.4, "params": 1, "macs": 1}', "eval.json is damaged: test_accuracy"),
        ("environment.json", '{"data": 3}', "environment.json is damaged: data"),
        ("search.json", f'{{"best": null, "seconds": 1, "trials": 1{"0" * 400}}}', "search.json is damaged: trials"),
        ("search.json", '{"best": null, "trials": 1, "seconds": 1e308}', "search.json is damaged: seconds"),
    ],
)
def test_a_damaged_file_is_one_line(make_run, file, content, reason):
    run = make_run("a")
    (run / file).write_text(content)
    with pytest.raises(RunError, match=reason) as caught:
        compare([run])
    assert "\n" not in str(caught.value)


def test_the_table_fits_80_columns(make_run):
    spec = RANDOM | {"name": "a-name-of-some-length"}
    document = compare([*arm(make_run, "a", [0.9, 0.92, 0.94]), *arm(make_run, "b", [0.9, 0.8], spec=spec)])
    text = text_of(document)
    assert max(map(len, text.splitlines())) <= 80
    for shown in ("test 92.00 ± 2.00 % (n=3)", "5.00 K params", "90.0 K MACs", "0.52 ms latency", "60.5 s search"):
        assert shown in text
    assert text.count("no difference shown") == 1
    assert "NAS best practices: 12 pass, 0 fail, 2 not applicable" in text

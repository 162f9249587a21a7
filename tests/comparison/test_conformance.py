import json
from pathlib import Path

import pytest
import run_folders
from run_folders import DARTS, EVOLUTION, GENOTYPES, RANDOM, line

from nanonas.comparison.compare import compare


def checks(*runs: Path) -> dict[str, dict[str, str]]:
    document = compare(runs, allow_mismatch=True)
    return {check["item"]: check for check in document["conformance"]}


@pytest.fixture
def two_arms(tmp_path: Path) -> list[Path]:
    lines = [line(0, 0.8, repeats=3), line(1, None), line(2, 0.9)]
    arms = [("a", EVOLUTION), ("b", RANDOM)]
    return [
        run_folders.make_run(tmp_path / f"{name}{seed}", spec=spec, seed=seed, lines=lines)
        for name, spec in arms
        for seed in (0, 1)
    ]


def test_two_arms_of_equal_budget_conform(two_arms: list[Path]) -> None:
    found = checks(*two_arms)
    assert [item for item, check in found.items() if check["status"] != "pass"] == [
        "how hyperparameters were tuned", "ablations",
    ]  # fmt: skip
    time = found["end-to-end time, failed and repeated trials included"]["reason"]
    assert time == (
        "search 4.03 min with 4 failed trials and 12 repeated proposals in it, last training 48.0 s, over 4 runs"
    )
    assert found["seeds reported"]["reason"].startswith("evo: 0, 1; random: 0, 1")
    assert found["several runs"]["reason"].startswith("evo: n=2; random: n=2; a difference can be shown from 6 seeds")
    assert found["equal budget"]["reason"] == "3 trials"


def test_one_run_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "a b")
    found = checks(run)
    assert {item for item, check in found.items() if check["reason"] == "one method"} == {
        "same data, split and space", "same evaluation protocol", "equal budget",
    }  # fmt: skip
    assert found["several runs"]["status"] == "fail"
    assert found["random baseline"]["reason"].endswith(
        f"--spec '{run / 'spec.yaml'}' --set strategy.name=random --out '{tmp_path / 'a b-random'}'"
    )


@pytest.mark.parametrize(
    ("item", "change", "told"),
    [
        ("equal budget", {"budget": {"trials": 9}}, "the groups differ in budget.trials"),
        ("equal budget", {"train": {"epochs": 7}}, "the groups differ in train.epochs"),
        ("same evaluation protocol", {"train": {"batch_size": 7}}, "the last trainings differ in train.batch_size"),
        ("same data, split and space", {"space": {"cells": [1]}}, "the groups differ in space.cells"),
        ("no choice made on test data", {"evaluator": {"name": "table", "metric": "test_200"}}, "steered by test"),
        ("no choice made on test data", {"evaluator": {"name": "table", "metric": "TestAcc"}}, "steered by test"),
        ("performance over time", DARTS, "no curve"),
    ],
)
def test_what_another_spec_breaks(tmp_path: Path, item: str, change: dict[str, object], told: str) -> None:
    found = checks(run_folders.make_run(tmp_path / "a"), run_folders.make_run(tmp_path / "b", spec=RANDOM | change))
    assert found[item]["status"] == "fail"
    assert told in found[item]["reason"]


@pytest.mark.parametrize(
    ("item", "file", "content", "told"),
    [
        ("code available", "environment.json", '{"nanonas": "0.1.0", "commit": "abc+"}', "changes that no commit"),
        ("code available", "environment.json", "{}", "no version of nanonas is recorded"),
        ("hardware and versions", "environment.json", "{}", "are not recorded"),
        ("no choice made on test data", "test_looks.jsonl", "", "no count of the looks"),
        ("no choice made on test data", "test_looks.jsonl", '{"command": "train"}\n' * 2, "more than one training"),
        ("end-to-end time, failed and repeated trials included", "search.json", None, "is not finished"),
    ],
)
def test_what_another_file_breaks(tmp_path: Path, item: str, file: str, content: str | None, told: str) -> None:
    run = run_folders.make_run(tmp_path / "a")
    (run / file).write_text(content) if content is not None else (run / file).unlink()
    found = checks(run)[item]
    assert (found["status"], told in found["reason"]) == ("fail", True), found


def test_a_genotype_that_the_search_did_not_choose_may_have_been_chosen_by_its_test(tmp_path: Path) -> None:
    found = checks(run_folders.make_run(tmp_path / "a", genotype=GENOTYPES[4]))
    assert "another genotype" in found["no choice made on test data"]["reason"]


def test_any_member_of_the_front_was_chosen_by_the_search(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "a", genotype=GENOTYPES[4])
    found = json.loads((run / "search.json").read_text())
    front = [{"genotype": text, "metrics": {"val_accuracy": 0.5}} for text in (GENOTYPES[1], GENOTYPES[4])]
    (run / "search.json").write_text(json.dumps(found | {"front": front}))
    assert checks(run)["no choice made on test data"]["status"] == "pass"


def test_a_training_without_a_search_does_not_tell_how_its_network_was_chosen(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "a")
    (run / "search.json").unlink()
    found = checks(run)["no choice made on test data"]
    assert (found["status"], "no search of its own" in found["reason"]) == ("not applicable", True)


@pytest.mark.parametrize(
    ("item", "change"), [("hardware and versions", {"cpu": "d"}), ("code available", {"commit": "abc+"})]
)
def test_where_it_was_trained_counts_too(item: str, change: dict[str, str], tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path / "a")
    trained = json.loads((run / "train.json").read_text())
    searched = json.loads((run / "environment.json").read_text())
    (run / "train.json").write_text(json.dumps(trained | {"environment": searched}))
    assert checks(run)[item]["status"] == "pass"
    (run / "train.json").write_text(json.dumps(trained | {"environment": searched | change}))
    assert checks(run)[item]["status"] == "fail"


def test_minutes_of_more_workers_are_another_budget(tmp_path: Path) -> None:
    specs = [EVOLUTION, RANDOM | {"executor": {"name": "processes", "workers": 1}}]
    for budget, status in (({"minutes": 1}, "fail"), ({"trials": 3}, "pass")):
        runs = [
            run_folders.make_run(tmp_path / f"{status}{number}", spec=spec | {"budget": budget})
            for number, spec in enumerate(specs)
        ]
        assert checks(*runs)["equal budget"]["status"] == status


def test_other_processors_confound(tmp_path: Path) -> None:
    runs = run_folders.make_run(tmp_path / "a"), run_folders.make_run(tmp_path / "b", seed=1, cpu="d")
    assert checks(*runs)["hardware and versions"]["reason"].endswith("2 × c + torch 2.9, 2 × d + torch 2.9")


def test_an_untested_run_has_made_no_choice_on_test_data(tmp_path: Path) -> None:
    found = checks(run_folders.make_run(tmp_path / "a", None))
    assert found["no choice made on test data"]["status"] == "not applicable"


def test_a_damaged_count_of_looks_is_one_line(tmp_path: Path) -> None:
    from nanonas.core.errors import RunError

    run = run_folders.make_run(tmp_path / "a")
    (run / "test_looks.jsonl").write_text('{"command": "look"}\n')
    with pytest.raises(RunError, match=r"test_looks.jsonl is damaged: command: "):
        compare([run])

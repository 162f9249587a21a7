"""The `table` evaluator, and what a search on a table says and refuses."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from nanonas.core.errors import DataError, NanonasError, RunError, SpecError
from nanonas.engine.planning import plan
from nanonas.engine.search import search
from nanonas.spaces.nasbench201 import PUBLISHED, NASBench201
from nanonas.spec.load import load_spec
from nanonas.spec.schema import Spec

SPACE = NASBench201(NASBench201.Config())


def score(cell: str) -> float:
    return round(50 + 3 * cell.count("nor_conv_3x3") + cell.count("skip_connect") + len(cell) / 100, 3)


def write(path: Path, rows: int = 15_625, columns: str = "cell,val_accuracy_12,test_accuracy_200") -> Path:
    cells = [str(SPACE.genotype(values)) for values in itertools.product(PUBLISHED, repeat=6)][-rows:]
    path.write_text("\n".join([columns, *(f"{cell},{score(cell)},{score(cell) + 1}" for cell in cells)]) + "\n")
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("table") / "cells.csv")


def make_spec(path: Path, *overrides: str) -> Spec:
    return load_spec("nasbench201", ["strategy.name=random", f"evaluator.path={path}", *overrides])


def test_the_column_arrives_unscaled_under_the_name_of_the_objective(table: Path, tmp_path: Path) -> None:
    for trial in search(make_spec(table), tmp_path / "run"):
        assert trial.metrics["val_accuracy"] == score(str(trial.genotype))
        assert "test_accuracy_200" not in trial.metrics
    assert "test_accuracy" not in (tmp_path / "run" / "trials.jsonl").read_text()


def test_measures_are_those_of_the_data_that_are_named(table: Path, tmp_path: Path) -> None:
    params = []
    for name in ("cifar10", "cifar100"):
        trial = next(iter(search(make_spec(table, f"data.name={name}"), tmp_path / name)))
        params.append(trial.metrics["params"])
    assert params[1] - params[0] == (64 + 1) * 90  # the last layer, of the same cell


def test_a_relative_path_is_made_absolute(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(table.parent)
    list(search(load_spec("nasbench201", ["evaluator.path=cells.csv", "budget.trials=3"]), tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    assert len(list(search(load_spec(tmp_path / "run" / "spec.yaml", ["budget.trials=5"]), tmp_path / "run"))) == 5


def test_report_columns_stand_in_the_best_only(table: Path, tmp_path: Path) -> None:
    list(search(make_spec(table), tmp_path / "run"))
    result = json.loads((tmp_path / "run" / "search.json").read_text())
    assert result["best"]["report"] == {"test_accuracy_200": score(result["best"]["genotype"]) + 1}
    assert all("report" not in entry for entry in result["front"])


def test_only_the_named_columns_need_to_be_there(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("cell,acc\n" + "".join(f'"{g}",{score(str(g))}\n' for g in some_cells(15_625)))
    spec = make_spec(path, "evaluator.metric=acc", "evaluator.report=[]", "budget.trials=20")
    trials = list(search(spec, tmp_path / "run"))
    assert len(trials) == 20


def test_a_column_may_be_a_latency_that_others_measured(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.csv", columns="cell,latency_ms,val_accuracy_12")
    spec = make_spec(path, "evaluator.metric=latency_ms", "evaluator.report=[]", "objectives={speed: maximize}")
    for trial in search(spec, tmp_path / "run"):
        assert trial.metrics["speed"] == score(str(trial.genotype))
        assert "latency_ms" not in trial.metrics


def some_cells(count: int) -> list[Any]:
    return [SPACE.genotype(values) for values in itertools.islice(itertools.product(PUBLISHED, repeat=6), count)]


@pytest.mark.parametrize("strategy", ["random", "evolution", "local_search", "predictor"])
def test_a_cell_without_a_row_is_not_proposed(strategy: str, tmp_path: Path) -> None:
    path = write(tmp_path / "some.csv", rows=3000)
    spec = make_spec(path, "budget.trials=30", f"strategy.name={strategy}")
    said: list[str] = []
    trials = list(search(spec, tmp_path / "run", said.append))
    assert len(trials) == 30
    assert all(trial.ok for trial in trials)
    assert said == [f"{path} has 3,000 rows, the space 15,625 cells: those with a row are proposed"]
    assert 0 < plan(spec)["feasible_share"] < 0.3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_a_table_may_be_in_any_utf_with_any_line_ends(encoding: str, end: str, tmp_path: Path) -> None:
    path = write(tmp_path / "cells.csv", rows=3000)
    path.write_bytes(path.read_text().replace("\n", end).encode(encoding))
    assert len(list(search(make_spec(path, "budget.trials=3"), tmp_path / "run"))) == 3


def test_a_table_in_another_encoding_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    for data, said in (
        ("cell,ä".encode("latin-1"), "byte 0xe4 in line 1"),
        ("cell,a".encode("utf-16-le"), "NUL bytes"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"{said}.*; save it as UTF-8 in an editor"):
            list(search(make_spec(path), tmp_path / "run"))


def test_a_table_may_hold_more_than_the_space(tmp_path: Path) -> None:
    path = write(tmp_path / "more.csv")
    path.write_text(path.read_text().replace("\n", "\nof another space,1,2\n", 1))
    assert len(list(search(make_spec(path, "budget.trials=3"), tmp_path / "run"))) == 3


def test_a_table_of_another_space_is_one_line(table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no cell of the space nano, but '\|none~0\|"):
        list(search(make_spec(table, "space={name: nano}"), tmp_path / "run"))


def test_a_disconnected_cell_has_its_row_too(table: Path, tmp_path: Path) -> None:
    spec = make_spec(table, "strategy.repeats=true", "budget.trials=400")
    assert any(not SPACE.is_connected(trial.genotype) for trial in search(spec, tmp_path / "run"))


def test_repeats_are_evaluated_and_count(tmp_path: Path) -> None:
    tiny = write(tmp_path / "cells.csv")
    spec = make_spec(tiny, "strategy.repeats=true", "budget.trials=2000")
    trials = list(search(spec, tmp_path / "run"))
    assert len(trials) == 2000
    assert len({SPACE.canonical(trial.genotype) for trial in trials}) < 1900


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("evaluator.path=null", "evaluator.path is not set; name the table: --set evaluator.path=cells.csv"),
        ("evaluator.path=missing.csv", "cannot be read (No such file or directory)"),
        ("evaluator.metric=val_acuracy_12", "has no column 'val_acuracy_12'; did you mean 'val_accuracy_12'?"),
        ("evaluator.report=[test_acuracy_200]", "did you mean 'test_accuracy_200'?"),
        ("objectives={params: minimize}", "a table gives one metric"),
        ("objectives={a: maximize, b: maximize}", "a table gives one metric"),
    ],
)
def test_a_mistake_is_one_line(override: str, said: str, table: Path, tmp_path: Path) -> None:
    with pytest.raises(NanonasError) as caught:
        list(search(make_spec(table, override), tmp_path / "run"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has no column 'cell'"),
        ("cell,val_accuracy_12,test_accuracy_200\n", "has no rows"),
        ("cell,val_accuracy_12,test_accuracy_200\na,1\n", ":2: 2 fields, where the header has 3"),
        ("cell,val_accuracy_12,test_accuracy_200\na,83,5,93,7\n", ":2: 5 fields, where the header has 3"),
        ("cell,val_accuracy_12,test_accuracy_200,cell\na,1,2,a\n", "has 2 columns 'cell'"),
        ("cell,val_accuracy_12,test_accuracy_200\na,1,2\n\nb,x,2\n", ":4: not a row of a cell and numbers"),
        ("cell,val_accuracy_12,test_accuracy_200\na,nan,2\n", ":2: a number is not finite"),
        ("cell,val_accuracy_12,test_accuracy_200\na,1,2\na,1,2\n", ":3: 'a' stands twice"),
        ("\x00\x01", "it holds NUL bytes"),
    ],
)
def test_a_bad_table_is_one_line(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        list(search(make_spec(path), tmp_path / "run"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_table_behind_the_same_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.csv")
    list(search(make_spec(path, "budget.trials=3"), tmp_path / "run"))
    path.write_text(path.read_text() + "another,1,2\n")
    with pytest.raises(RunError, match="another table"):
        list(search(make_spec(path, "budget.trials=3"), tmp_path / "run"))


def test_two_objectives_give_a_front(table: Path, tmp_path: Path) -> None:
    spec = make_spec(table, "objectives={val_accuracy_12: maximize, params: minimize}")
    list(search(spec, tmp_path / "run"))
    front = json.loads((tmp_path / "run" / "search.json").read_text())["front"]
    assert len(front) > 3
    params = [entry["metrics"]["params"] for entry in front]
    assert params == sorted(params, reverse=True)


def test_params_need_no_column(table: Path, tmp_path: Path) -> None:
    spec = make_spec(table, "constraints.params=400000")
    assert all(trial.metrics["params"] <= 400_000 for trial in search(spec, tmp_path / "run"))


def test_the_preset_needs_a_path() -> None:
    with pytest.raises(SpecError, match=r"evaluator\.path is not set"):
        list(search(load_spec("nasbench201"), "unused"))


def test_what_is_no_file_of_a_tables_size_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(10**12)
    for path, why in [("pipe", "not a file"), ("hole", "larger than"), (".", "not a file"), ("a\0b", "null byte")]:
        with pytest.raises(DataError, match=f"cannot be read .*{why}"):
            list(
                search(
                    make_spec(tmp_path / "x", f"evaluator.path={json.dumps(str(tmp_path / path))}"), tmp_path / "run"
                )
            )

"""trials.jsonl: nothing written is lost, nothing damaged is believed."""

import errno
import json
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonas.core.errors import RunError
from nanonas.core.files import read_json, write_json
from nanonas.core.genotype import Genotype
from nanonas.core.trial import Trial
from nanonas.runs.journal import Journal


def trial(number: int) -> Trial:
    return Trial(
        number, Genotype(f"g{number}", ()), {"epochs": 2}, None, "ok", {"val_accuracy": 0.1 + number}, None, 1, 0.5
    )


def filled(path: Path, count: int = 3) -> Path:
    journal = Journal(path)
    for number in range(count):
        journal.append(trial(number))
    return path


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    lines = Journal(filled(tmp_path / "trials.jsonl")).lines
    assert [line.genotype for line in lines] == ["g0", "g1", "g2"]
    assert [line.metrics["val_accuracy"] for line in lines] == [0.1, 1.1, 2.1]


@given(cut=st.integers(1, 100))
def test_a_torn_last_line_is_cut_off(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = filled(tmp_path_factory.mktemp("torn") / "trials.jsonl")
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    journal = Journal(path)
    assert len(journal.lines) == 2
    journal.append(trial(2))
    assert path.read_bytes() == data


def test_garbage_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    path = filled(tmp_path / "trials.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    for garbage in (b"garbage\n", b"{}\n", b"\xff\xfe\n", lines[0], b"[" * 10_000 + b"\n", b"\n"):
        path.write_bytes(lines[0] + garbage + lines[2])
        with pytest.raises(RunError, match=r"trials.jsonl:2: ") as caught:
            Journal(path)
        assert len(str(caught.value).splitlines()) == 1


def test_not_a_number_never_enters_a_journal(tmp_path: Path) -> None:
    path = filled(tmp_path / "trials.jsonl", 1)
    text = path.read_text()
    path.write_text(text.replace("0.1", "NaN"))
    with pytest.raises(RunError, match=r"trials\.jsonl:1"):
        Journal(path)


@pytest.mark.parametrize("field", ["fidelity", "metrics", "parent", "seed", "repeats", "elapsed"])
@pytest.mark.parametrize("number", [10**400, 10**4_000, 1e300])
def test_a_number_that_no_sum_can_hold_is_refused(field: str, number: float, tmp_path: Path) -> None:
    path = filled(tmp_path / "trials.jsonl", 1)
    line = json.loads(path.read_text())
    line[field] = {"epochs": number} if field in ("fidelity", "metrics") else number
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(RunError, match=r"trials\.jsonl:1: not a trial"):
        Journal(path)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = filled(tmp_path / "trials.jsonl", 2)
    before = path.read_bytes()
    journal = Journal(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        with pytest.raises(OSError) as caught:
            journal.append(trial(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert path.read_bytes() == before
    journal.append(trial(2))
    assert len(Journal(path).lines) == 3


def test_json_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"kind": "first"})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"kind": float("nan")})
    assert read_json(path) == {"kind": "first"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '"text"'])
def test_a_damaged_result_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RunError, match="damaged"):
        read_json(tmp_path / "a.json")


def test_a_line_is_json_that_others_can_read(tmp_path: Path) -> None:
    text = filled(tmp_path / "trials.jsonl", 1).read_text()
    assert json.loads(text)["fidelity"] == {"epochs": 2}

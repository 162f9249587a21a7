"""nanonas predict: its table, its CSV, its JSON, and what goes wrong in one line."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from nanonas.app import app
from nanonas.cli.rows import COLUMNS, RowFile
from nanonas.models.inference import Model
from nanonas.models.prediction import BATCH, Guess, Prediction

ENVIRONMENT = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
DOCUMENTED = Path(__file__).parents[2] / "docs" / "files.md"


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["predict", *(str(a) for a in arguments)], env=ENVIRONMENT)


def error(*arguments: object) -> str:
    """What a mistake prints: nothing on stdout, one line on stderr."""
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.stderr
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("warning")]
    assert line.startswith("error: ")
    return str(line)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def model(exported_run: Path) -> Path:
    return exported_run / "exports" / "model.onnx"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.new("L", (20, 30), 100 * number).save(folder / f"{number}.png")
    return folder


def test_a_table_has_a_row_for_each_image(model: Path, photos: Path) -> None:
    result = call(model, photos)
    assert (result.exit_code, result.stderr) == (0, "")
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["path", "class", "probability", "next"]
    assert [line.split()[0] for line in lines] == [str(photos / f"{number}.png") for number in range(3)]
    assert all(line.count(" %") == 3 for line in lines)


def test_json_is_one_document_of_documented_fields(model: Path, photos: Path, exported_run: Path) -> None:
    (photos / "bad.png").write_bytes(b"x")
    result = call(model, photos, "--json", "--csv", photos / "o.csv")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["kind"], document["schema_version"]) == (1, "predict", 1)
    assert (document["run"], document["file"], document["format"]) == (str(exported_run), "exports/model.onnx", "onnx")
    assert (document["unreadable"], len(document["images"])) == (1, 4)
    assert document["classes"] == [str(digit) for digit in range(10)]
    (section,) = re.findall(r"^## predict --json$(.*?)^## ", DOCUMENTED.read_text(), re.DOTALL | re.MULTILINE)
    known = set(re.findall(r"`(\w+)`", section)) | {"kind", "schema_version", "run"}
    assert document.keys() | {key for image in document["images"] for key in image} <= known
    assert set(COLUMNS) <= known
    of_run = json.loads(call(exported_run, photos, "--json", "--heatmap", photos / "heat").stdout)
    assert of_run.keys() <= known and "file" not in of_run
    assert [image["class"] for image in of_run["images"]] == [image["class"] for image in document["images"]]


def test_rows_are_those_of_the_document(model: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"x")
    document = json.loads(call(model, photos, "--json").stdout)
    result = call(model, photos, "--csv", tmp_path / "o.csv")
    assert result.exit_code == 1
    assert result.stderr == "error: 1 of 4 images cannot be read; their rows say why\n"
    assert f"rows: {tmp_path / 'o.csv'}" in result.stdout
    rows = rows_of(tmp_path / "o.csv")
    assert list(rows[0]) == list(COLUMNS)
    for row, image in zip(rows, document["images"], strict=True):
        assert row["path"] == image["path"]
        assert (row["class"] or None, row["error"] or None) == (image["class"], image["error"])
        if not image["error"]:
            told = [float(row[name]) for name in ("probability", "second_probability", "third_probability")]
            assert told == pytest.approx([one["probability"] for one in image["top"]], abs=1e-6)
            assert [row["second"], row["third"]] == [one["class"] for one in image["top"][1:]]
    assert "not a readable image" in rows[3]["error"]


def test_below_the_least_probability_the_class_is_unknown(model: Path, photos: Path, tmp_path: Path) -> None:
    best = [image["class"] for image in json.loads(call(model, photos, "--json").stdout)["images"]]
    result = call(model, photos, "--min-probability", 1, "--csv", tmp_path / "o.csv", "--json")
    images = json.loads(result.stdout)["images"]
    assert [(image["class"], image["most_probable"]) for image in images] == [("unknown", name) for name in best]
    assert [(row["class"], row["most_probable"]) for row in rows_of(tmp_path / "o.csv")] == [
        ("unknown", name) for name in best
    ]
    assert f"unknown ({best[0]}?)" in call(model, photos, "--min-probability", "1").stdout
    assert call(model, photos, "--min-probability", "1.5").exit_code == 2


# ---- the CSV


NAMES = ['a "b".png', "a,b.png", "a\nb.png", "a\rb.png", "a\r\nb.png", "ä 猫.png", "'.png", ";\t.png", " .png"]


def test_a_path_may_be_anything(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NAMES:
        Image.new("L", (8, 8)).save(folder / name)
    assert call(model, folder, "--csv", tmp_path / "o.csv").exit_code == 0
    assert sorted(row["path"] for row in rows_of(tmp_path / "o.csv")) == sorted(str(folder / name) for name in NAMES)


def test_what_is_no_utf_8_is_an_escape(model: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"l\xe4.png")
    Image.new("L", (8, 8)).save(tmp_path / name, format="PNG")
    assert call(model, tmp_path / name, "--csv", tmp_path / "o.csv").exit_code == 0
    (row,) = rows_of(tmp_path / "o.csv")
    assert row["path"] == str(tmp_path / r"l\udce4.png")
    (image,) = json.loads(call(model, tmp_path / name, "--json").stdout)["images"]
    assert image["path"] == str(tmp_path / name)


@pytest.mark.parametrize("first", "=+-@")
def test_no_cell_is_a_formula(first: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{first}1+1.png").write_bytes(b"x")
    assert call(model, "--csv", "o.csv", "--", f"{first}1+1.png").exit_code == 1
    (row,) = rows_of(tmp_path / "o.csv")
    assert row["path"] == f"./{first}1+1.png"
    assert row["error"].startswith("./")
    with RowFile(tmp_path / "o.csv") as table:
        table.add([Prediction("x", f"{first}cmd", (Guess(f"{first}cmd", 0.7), Guess("-1", 0.2), Guess("b", 0.1)))])
    (row,) = rows_of(tmp_path / "o.csv")
    assert (row["class"], row["most_probable"], row["second"], row["third"]) == (f"'{first}cmd",) * 2 + ("-1", "b")


def test_two_classes_leave_the_third_empty(tmp_path: Path) -> None:
    with RowFile(tmp_path / "o.csv") as table:
        table.add([Prediction("x", "a", (Guess("a", 0.75), Guess("b", 0.25)))])
    (row,) = rows_of(tmp_path / "o.csv")
    assert [*row.values()] == ["x", "a", "0.750000", "a", "b", "0.250000", "", "", ""]


@pytest.mark.parametrize("content", [b"my,own\n1,2\n", b"path,class\n", b"\x89PNG\r\n", b"\n"])
def test_a_file_that_is_no_such_table_is_kept(content: bytes, model: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_bytes(content)
    said = error(model, photos, "--csv", tmp_path / "o.csv")
    assert said == f"error: {tmp_path / 'o.csv'} exists and is no table of nanonas predict; choose another name"
    assert (tmp_path / "o.csv").read_bytes() == content


def test_an_image_is_not_overwritten(model: Path, photos: Path) -> None:
    before = (photos / "0.png").read_bytes()
    assert "is no table" in error(model, photos, "--csv", photos / "0.png")
    assert (photos / "0.png").read_bytes() == before


def test_the_same_command_starts_over(model: Path, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "o.csv"
    table.touch()
    assert call(model, photos, "--csv", table).exit_code == 0
    first = table.read_bytes()
    for kept in (first + b"more,rows", b"\xef\xbb\xbf" + first.replace(b"\r\n", b"\n"), first[:-30]):
        table.write_bytes(kept)
        assert call(model, photos, "--csv", table).exit_code == 0
        assert table.read_bytes() == first


def test_a_mistake_leaves_the_table_of_before(model: Path, photos: Path, tmp_path: Path) -> None:
    call(model, photos, "--csv", tmp_path / "o.csv")
    before = (tmp_path / "o.csv").read_bytes()
    error(tmp_path / "none.onnx", photos, "--csv", tmp_path / "o.csv")
    error(model, tmp_path / "none", "--csv", tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == before


# ---- interruptions


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    Image.new("L", (8, 8)).save(folder / "000.png")
    for number in range(1, 3 * BATCH):
        shutil.copy(folder / "000.png", folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)])
def test_rows_so_far_are_kept(
    stop: BaseException, code: int, model: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, calls = RowFile.add, [0]

    def add(table: RowFile, predictions: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise stop
        outputs(table, predictions)

    monkeypatch.setattr(RowFile, "add", add)
    result = call(model, many, "--csv", tmp_path / "o.csv")
    assert (result.exit_code, result.stdout) == (code, "")
    kept = f"{tmp_path / 'o.csv'} has {2 * BATCH} of {3 * BATCH} images"
    assert f"warning: stopped; {kept}; the same command starts over" in result.stderr
    assert [row["path"] for row in rows_of(tmp_path / "o.csv")] == [
        str(many / f"{number:03}.png") for number in range(2 * BATCH)
    ]
    assert "Traceback" not in result.stderr


def test_without_a_table_an_interruption_says_what_would_keep_rows(
    model: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(model: Model, pixels: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "outputs", interrupted)
    result = call(model, many)
    assert (result.exit_code, result.stdout) == (130, "")
    assert "--csv FILE keeps what is done" in result.stderr


def test_a_full_disk_leaves_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Prediction(f"{number:05}", "a", (Guess("a", 1.0),)) for number in range(100)]
    with pytest.raises(OSError, match="No space left"), RowFile(tmp_path / "o.csv") as table:
        table.add(rows)
        file = table._file

        class Full:
            def write(self, data: Any) -> int:
                if len(data) < 1000:
                    raise OSError(28, "No space left on device")
                return file.write(data[: len(data) - 500])

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

        table._file = Full()  # type: ignore[assignment]
        table.add(rows)
    assert [row["path"] for row in rows_of(tmp_path / "o.csv")] == [row.path for row in rows]
    assert table.count == 100


def run_in_bash(command: str) -> "subprocess.CompletedProcess[str]":
    line = command.replace("nanonas", f"{sys.executable} -m nanonas", 1)
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})


@pytest.mark.parametrize("words", ["> /dev/full", "--json > /dev/full", "--csv /dev/full"])
def test_a_full_disk_is_one_line(words: str, model: Path, photos: Path) -> None:
    done = run_in_bash(f"nanonas predict {model} {photos} {words}")
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("warning")]
    assert (done.returncode, line.startswith("error: no space left on the disk")) == (1, True)


@pytest.mark.parametrize("words", ["", "--json", "--csv /dev/stdout"])
def test_a_closed_pipe_is_no_error(words: str, model: Path, many: Path) -> None:
    done = run_in_bash(f"nanonas predict {model} {many} {words} | head -c 10")
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr


def test_a_table_may_go_into_a_pipe(model: Path, photos: Path) -> None:
    done = run_in_bash(f"nanonas predict {model} {photos} --quiet --csv /dev/stderr")
    assert done.stderr.splitlines()[0] == ",".join(COLUMNS)
    assert len(done.stderr.splitlines()) == 4


# ---- mistakes


def test_mistakes_are_one_line(model: Path, photos: Path, exported_run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no images" in error(model, tmp_path / "empty")
    assert "does not exist; name image files" in error(model, tmp_path / "none.png")
    assert "names no file" in error(model, tmp_path / "*.jxr")
    assert "nanonas search" in error(tmp_path / "missing", photos)
    assert "nanonas export" in error(tmp_path / "model.onnx", photos)
    assert "of no known format" in error(photos / "0.png", photos)
    assert "no gradients" in error(model, photos, "--heatmap", tmp_path / "heat")
    assert "no heatmap" in error(exported_run, photos, "--heatmap", photos)
    assert "is a folder" in error(model, photos, "--csv", tmp_path)
    assert "No such file or directory" in error(model, photos, "--csv", tmp_path / "none" / "o.csv")
    assert "there is no home folder for ~no-such-user/x" in error(model, "~no-such-user/x")
    assert call(model).exit_code == 2
    stray = Path(shutil.copy(exported_run / "exports" / "model.ts", tmp_path / "model.ts"))
    assert "add --trust" in error(stray, photos)
    assert call(stray, photos, "--trust").exit_code == 0


def test_a_run_without_a_model_says_what_to_type(exported_run: Path, photos: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(exported_run, tmp_path / "run"))
    (run / "model.safetensors").unlink()
    assert f"nanonas train {run}" in error(run, photos)


def test_a_damaged_file_is_one_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x" * 100)
    assert "can be loaded" in error(tmp_path / "model.onnx", photos)


def test_a_name_that_commands_the_terminal_is_printed_as_text(model: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "\x1b[31mred.png")
    assert "\x1b" not in call(model, tmp_path / "\x1b[31mred.png").output


def test_progress_is_told_and_quiet_is_quiet(model: Path, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10_000))
    monkeypatch.setattr("nanonas.core.say.time.monotonic", lambda: 2.0 * next(now))
    assert f"{BATCH} of {3 * BATCH} images are classified" in call(model, many).stderr
    assert call(model, many, "--quiet").stderr == ""

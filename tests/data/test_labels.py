"""A table of images: data.labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from nanonas.core.errors import DataError
from nanonas.data.dataset import DataConfig, Dataset, load_dataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANONAS_CACHE", str(tmp_path_factory.mktemp("cache")))


def images(folder: Path, count: int = 24) -> list[str]:
    """Of noise, named 0.png, 1.png …"""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{n}.png")
    return [f"{n}.png" for n in range(count)]


def table(path: Path, rows: list[list[str]], head: str = "path,label", separator: str = ",") -> Path:
    lines = [head.replace(",", separator), *(separator.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def loaded(labels: Path, root: Path | None = None, say: Callable[[str], None] = print, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="folder", labels=str(labels), root=root and str(root), **options), say)


def error_of(labels: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        loaded(labels, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows_of(names: list[str], prefix: str = "") -> list[list[str]]:
    return [[prefix + name, "cat" if n % 2 else "dog"] for n, name in enumerate(names)]


def test_a_table_names_files_beside_it_or_in_the_root(tmp_path: Path) -> None:
    rows = rows_of(images(tmp_path / "photos"), "photos/")
    beside = loaded(table(tmp_path / "labels.csv", rows))
    assert beside.classes == ("cat", "dog")
    assert len(beside.train_labels) == 20 and len(beside.test()[1]) == 4  # a fifth of every class
    assert {*(beside.train_names() or ()), *(beside.test_names() or ())} == {row[0] for row in rows}
    (tmp_path / "else").mkdir()
    elsewhere = table(tmp_path / "else" / "labels.csv", [[row[0].removeprefix("photos/"), row[1]] for row in rows])
    assert loaded(elsewhere, tmp_path / "photos").fingerprint == beside.fingerprint
    assert "line 2: '0.png': " in error_of(elsewhere) and "data.root says where paths begin" in error_of(elsewhere)


def test_labels_are_those_of_the_table(tmp_path: Path) -> None:
    rows = rows_of(images(tmp_path))
    dataset = loaded(table(tmp_path / "labels.csv", rows))
    expected = dict(rows)
    for name, label in zip(dataset.train_names() or (), dataset.train_labels, strict=True):
        assert expected[name] == dataset.classes[label]
        assert (
            np.asarray(Image.open(tmp_path / name))
            == dataset.train_images[[*(dataset.train_names() or ())].index(name)]
        ).all()
    rows[0][1], rows[1][1] = rows[1][1], rows[0][1]
    assert loaded(table(tmp_path / "labels.csv", rows)).fingerprint != dataset.fingerprint


def test_splits_and_groups_are_used_as_they_are(tmp_path: Path) -> None:
    names = images(tmp_path, 36)
    rows = [
        [name, "cat" if n % 2 else "dog", ("train", "Train", "val", "TEST")[min(3, n // 10)], f"g{n // 4}"]
        for n, name in enumerate(names)
    ]
    dataset = loaded(table(tmp_path / "labels.csv", rows, "path,label,split,group"))
    train, validation = dataset.split(0.5, 7)
    told = dataset.train_names() or ()
    assert {told[i] for i in train} == {*names[:20]} and {told[i] for i in validation} == {*names[20:30]}
    assert {*(dataset.test_names() or ())} == {*names[30:]}
    for row in rows:
        row[2] = "train"
    dataset = loaded(table(tmp_path / "labels.csv", rows, "path,label,split,group"))
    here, there = (
        {int(name[:-4]) // 4 for name in part or ()} for part in (dataset.train_names(), dataset.test_names())
    )
    assert here and there and not here & there


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_may_come_from_a_spreadsheet(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = rows_of(images(tmp_path))
    Image.new("RGB", (8, 8)).save(tmp_path / 'a "b", ü\n.png')
    rows.append(['"a ""b"", ü\n.png"', " cat "])
    path = table(tmp_path / "labels.csv", rows, " Path ,LABEL", separator)
    path.write_bytes(path.read_text(encoding="utf-8").replace("\n", "\r\n").replace("ü\r\n", "ü\n").encode(encoding))
    dataset = loaded(path)
    assert 'a "b", ü\n.png' in {*(dataset.train_names() or ()), *(dataset.test_names() or ())}
    assert dataset.classes == ("cat", "dog")


WRONG: dict[str, tuple[str, str]] = {
    "no label": ("a.png,cat\nb.png,", "line 3: its label is ''"),
    "no path": (",cat", "line 2 has no path"),
    "a column too many": ("a.png,cat,x", "line 2 has 3 columns, and the first line 2"),
    "a column too few": ("a.png", "line 2 has 1 columns, and the first line 2"),
    "no such file": ("nowhere.png,cat\na.png,dog", "line 2: 'nowhere.png': "),
    "twice": ("a.png,cat\nb.png,dog\na.png,dog", "line 4: 'a.png' stands in line 2, too"),
    "one class": ("a.png,cat\nb.png,cat", "has a single class, 'cat'"),
    "nothing": ("", "lists no image; its first line names"),
    "a label that breaks a line": ('a.png,"c\nat"', "its label is 'c\\nat'; it must be printable text"),
    "an open quote": ('a.png,"cat', "line 2: unexpected end of data"),
    "a folder": (".,cat\nb.png,dog", "line 2: '.': "),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, kind: str) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    text, words = WRONG[kind]
    (tmp_path / "labels.csv").write_text(f"path,label\n{text}\n")
    assert words in error_of(tmp_path / "labels.csv")


def test_a_split_that_does_not_exist_lists_those_that_do(tmp_path: Path) -> None:
    rows = [[*row, "holdout"] for row in rows_of(images(tmp_path))]
    said = error_of(table(tmp_path / "labels.csv", rows, "path,label,split"))
    assert said.endswith("line 2: its split is 'holdout'; allowed: train, validation, test")


@pytest.mark.parametrize("head", ["file,label", "path,class", "path,label,label", ""])
def test_columns_are_named(tmp_path: Path, head: str) -> None:
    said = error_of(table(tmp_path / "labels.csv", [], head))
    assert "or two of them; its first line names the columns path and label" in said


def test_a_table_that_is_none(tmp_path: Path) -> None:
    assert "No such file" in error_of(tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_bytes(b"\xff\xd8\xff\xe0")
    assert "save it as UTF-8" in error_of(tmp_path / "labels.csv")
    with pytest.raises(ValidationError, match=r"labels is for images of your own: data\.name=folder"):
        DataConfig(name="cifar10", labels="x.csv")

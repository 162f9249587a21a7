"""Which image files a user's words stand for."""

import os
from pathlib import Path

import pytest

from nanonas.core.errors import DataError
from nanonas.data.chosen import chosen_images


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.JPG", "b/10.png", "b/inside/x.gif", "b/.hidden/y.png", "b/@eaDir/z.png", "b/.w.png", "b/t.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_is_walked_as_one_of_training_images_is() -> None:
    assert chosen_images(["b"]) == chosen_images(["b/"]) == ["b/10.png", "b/2.JPG", "b/inside/x.gif"]


def test_what_is_named_comes_first_and_once() -> None:
    assert chosen_images(["b/2.JPG", "b", "b/2.JPG"]) == ["b/2.JPG", "b/10.png", "b/inside/x.gif"]


def test_a_file_that_is_named_needs_no_extension() -> None:
    assert chosen_images(["b/t.txt"]) == ["b/t.txt"]


def test_a_pattern_is_that_of_a_shell() -> None:
    assert chosen_images(["b/*.*"]) == ["b/10.png", "b/2.JPG", "b/t.txt"]
    assert chosen_images(["**/*.gif"]) == ["b/inside/x.gif"]
    assert chosen_images(["b/.w*"]) == ["b/.w.png"]
    assert chosen_images(["b/in*"]) == ["b/inside/x.gif"]


def test_a_file_named_like_a_pattern_is_that_file(here: Path) -> None:
    (here / "[1].png").touch()
    (here / "1.png").touch()
    assert chosen_images(["[1].png"]) == ["[1].png"]


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_no_path_is_a_formula(first: str, here: Path) -> None:
    (here / f"{first}x.png").touch()
    (path,) = chosen_images([f"{first}x.png"])
    assert path == f"./{first}x.png"
    assert Path(path).exists()


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(here: Path) -> None:
    (here / "gone.png").symlink_to("nowhere")
    assert chosen_images(["gone.png"]) == ["gone.png"]


def test_a_link_to_a_folder_above_is_no_endless_walk(here: Path) -> None:
    (here / "b" / "loop").symlink_to(here / "b")
    assert len(chosen_images(["b"])) == 3


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("none.png", "none.png does not exist; name image files"),
        ("none/*.png", r"none/\*.png names no file; name image files"),
        ("b/.hidden/none", "does not exist"),
        ("empty", "empty has no images: no .avif"),
        ("a\0b", "does not exist"),
        ("x" * 5000, "does not exist|too long"),
    ],
)
def test_what_stands_for_nothing_is_one_line(named: str, said: str, here: Path) -> None:
    (here / "empty").mkdir()
    with pytest.raises(DataError, match=said) as caught:
        chosen_images([named])
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_one_line(here: Path) -> None:
    (here / "b" / "inside").chmod(0)
    try:
        with pytest.raises(DataError, match=r"cannot read b/inside: Permission denied"):
            chosen_images(["b"])
    finally:
        (here / "b" / "inside").chmod(0o755)

"""Copies: found by pixels, kept on one side of a split, named where a user's own split parts them."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from nanonas.core.errors import DataError
from nanonas.data.copies import Fingerprints, joined
from nanonas.data.dataset import DataConfig, Dataset, load_dataset


def scene(seed: int, side: int = 64) -> Image.Image:
    """Something like a photograph: a few soft shapes in colour, and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    image = np.zeros((side, side, 3))
    for _ in range(8):
        cx, cy, sx, sy = *rng.random(2), *rng.uniform(0.05, 0.4, 2)
        image += np.exp(-(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))[..., None] * rng.uniform(-90, 120, 3)
    return Image.fromarray(np.clip(image + 90 + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8))


def saved_again(image: Image.Image) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(BytesIO(buffer.getvalue()))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again": saved_again,
    "smaller and larger": lambda image: image.resize((40, 40)).resize(image.size),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "a quarter": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "a quarter back": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "transposed": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    "transversed": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
}


def groups_of(images: list[Image.Image]) -> np.ndarray:
    prints = Fingerprints()
    for start in range(0, len(images), 7):  # in chunks, as they are decoded
        prints.add(np.stack([np.asarray(image) for image in images[start : start + 7]]))
    return prints.groups()


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_a_copy_and_others_are_not(change: str) -> None:
    originals = [scene(seed) for seed in range(40)]
    groups = groups_of(originals + [CHANGES[change](image) for image in originals])
    assert groups[:40].tolist() == list(range(40))
    assert (groups[40:] == groups[:40]).mean() >= 0.9


def test_equal_pictures_are_copies_however_small_or_flat() -> None:
    small = [np.full((4, 4, 1), value, np.uint8) for value in (0, 7, 0, 7, 9)]
    prints = Fingerprints()
    prints.add(np.stack(small))
    assert prints.groups().tolist() == [0, 1, 0, 1, 4]
    flat = [Image.new("RGB", (64, 64), (value, value, value)) for value in (10, 11, 10, 200)]
    assert groups_of(flat).tolist() == [0, 1, 0, 3]


def test_groups_are_joined_by_whatever_holds_them_together() -> None:
    assert joined(np.array([0, 0, 2, 3, 4]), np.array([7, 5, 5, 1, 2])).tolist() == [0, 0, 0, 3, 4]


# ---- in a folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANONAS_CACHE", str(tmp_path_factory.mktemp("cache")))


def loaded(root: Path, **options: object) -> tuple[Dataset, list[str]]:
    said: list[str] = []
    return load_dataset(DataConfig(name="folder", root=str(root), **options), said.append), said  # type: ignore[arg-type]


def augmented(root: Path, parts: tuple[str, ...] = ("",)) -> Path:
    """12 pictures of each class, each with four copies as augmentation makes them; over the parts in turn."""
    kinds = ("mirrored", "less contrast", "smaller and larger", "a quarter")
    for label, name in enumerate(("cat", "dog")):
        for n in range(12):
            original = scene(100 * label + n)
            for k, image in enumerate([original, *(CHANGES[kind](original) for kind in kinds)]):
                folder = root / parts[k % len(parts)] / name
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / f"{n}-{k}.png")
    return root


def stems(names: tuple[str, ...] | None) -> set[str]:
    """Class and original of each file, without its part."""
    return {"/".join(name.rpartition("-")[0].split("/")[-2:]) for name in names or ()}


def test_augmented_copies_stay_on_one_side_of_our_splits(tmp_path: Path) -> None:
    dataset, said = loaded(augmented(tmp_path))
    names = dataset.train_names() or ()
    assert len(names) + len(dataset.test_names() or ()) == 120
    assert not stems(names) & stems(dataset.test_names())
    for seed in range(5):
        train, validation = dataset.split(0.25, seed)
        assert not stems(tuple(names[i] for i in train)) & stems(tuple(names[i] for i in validation))
        assert {names[i].split("/")[0] for i in validation} == {"cat", "dog"}
    assert any(text.startswith("warning: 96 images are copies of others") for text in said)


def test_a_split_of_the_user_that_parts_copies_is_counted_and_named(tmp_path: Path) -> None:
    root = augmented(tmp_path, ("train", "train", "train", "train", "test"))
    dataset, said = loaded(root)
    assert len(dataset.train_labels) == 96 and len(dataset.test()[1]) == 24  # as the user wants it
    (text,) = [text for text in said if "also lie in train" in text]
    assert text.startswith("warning: 24 test images also lie in train, equal or nearly: test/")
    assert " = train/" in text and "and 93 more" in text and "data.copies=drop" in text


def test_copies_are_dropped_from_train_and_never_from_test(tmp_path: Path) -> None:
    root = augmented(tmp_path, ("train", "train", "train", "train", "test"))
    for label, name in enumerate(("cat", "dog")):
        for n in range(6):
            scene(1000 * (label + 1) + n).save(root / "train" / name / f"new-{n}.png")
    dataset, said = loaded(root, copies="drop")
    assert len(dataset.test()[1]) == 24
    assert sorted(stems(dataset.train_names())) == ["cat/new", "dog/new"]
    assert any("these train images are left out" in text for text in said)


def test_a_picture_in_two_classes_is_named(tmp_path: Path) -> None:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for n in range(6):
            scene(10 * label + n).save(tmp_path / name / f"{n}.png")
    scene(3).save(tmp_path / "dog" / "x.png")
    _, said = loaded(tmp_path)
    assert "warning: 1 images also lie in another class, equal or nearly: cat/3.png = dog/x.png" in said


def test_a_class_of_equal_pictures_is_split_all_the_same(tmp_path: Path) -> None:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for n in range(10):
            scene(n if label else 0).save(tmp_path / name / f"{n}.png")
    dataset, _ = loaded(tmp_path)
    assert np.bincount(dataset.test()[1]).tolist() == [2, 2]


def test_the_accuracy_that_copies_buy_is_seen(tmp_path: Path) -> None:
    """Who knows only what was seen is right by copies alone, and by chance where they stay together."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(["cat", "dog"], 20))
    for n, name in enumerate(labels):  # pictures that have nothing to do with their class
        for k, change in enumerate((lambda image: image, CHANGES["saved again"], CHANGES["less contrast"])):
            for root, part in (("split", ""), ("leaky", "test" if k == 2 else "train")):
                folder = tmp_path / root / part / str(name)
                folder.mkdir(parents=True, exist_ok=True)
                change(scene(n)).save(folder / f"{n}-{k}.png")

    def accuracy(root: str) -> float:
        dataset, _ = loaded(tmp_path / root)
        images, truth = dataset.test()
        train = dataset.train_images.reshape(len(dataset.train_labels), -1).astype(float)
        found = [dataset.train_labels[np.abs(train - image.ravel()).sum(1).argmin()] for image in images]
        return float((np.array(found) == truth).mean())

    assert accuracy("leaky") > 0.9
    assert accuracy("split") < 0.75


# ---- groups


def patients(root: Path) -> Path:
    for label, name in enumerate(("well", "ill")):
        (root / name).mkdir(parents=True)
        for n in range(30):
            scene(100 * label + n).save(root / name / f"p{n // 3}_{n}.png")
    return root


def test_a_group_in_the_names_is_never_on_both_sides(tmp_path: Path) -> None:
    dataset, said = loaded(patients(tmp_path), groups=r"(p\d+)_")
    assert said == []

    def who(names: list[str]) -> set[str]:
        return {name.split("/")[1].split("_")[0] for name in names}

    names = list(dataset.train_names() or ())
    assert not who(names) & who(list(dataset.test_names() or ()))
    train, validation = dataset.split(0.2, 0)
    assert not who([names[i] for i in train]) & who([names[i] for i in validation])
    assert len(validation) == pytest.approx(0.2 * len(names), abs=6)


def test_names_without_a_group_are_counted(tmp_path: Path) -> None:
    patients(tmp_path)
    scene(999).save(tmp_path / "ill" / "other.png")
    _, said = loaded(tmp_path, groups=r"(p\d+)_")
    assert said[0].startswith("warning: data.groups finds nothing in 1 of 61 file names, such as ill/other.png")
    with pytest.raises(DataError, match=r"data\.groups '\(q\)' finds no group in any file name, such as ill/"):
        loaded(tmp_path, groups="(q)")


def test_a_class_in_one_group_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all images of class 0 are in one group"):
        loaded(patients(tmp_path), groups=r"(ill|well/p\d)")


@pytest.mark.parametrize("pattern", ["p", "(", "(?P<x>"])
def test_an_expression_without_a_group_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"needs a group in parentheses|is no regular expression"):
        DataConfig(name="folder", root="x", groups=pattern)


def test_groups_are_for_files() -> None:
    with pytest.raises(ValueError, match="groups is for images of your own"):
        DataConfig(name="digits", groups="(x)")


def test_meta_json_says_what_was_noticed(tmp_path: Path) -> None:
    dataset, said = loaded(augmented(tmp_path))
    notes = json.loads((dataset.cache / "meta.json").read_text())["notes"]
    assert [f"warning: {note}" for note in notes] == [text for text in said if "copies" in text]
    assert loaded(tmp_path)[1] == said  # again, from the cache

import errno
import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from nanonas.core.errors import DataError
from nanonas.data import cache, dataset, folder, published
from nanonas.data.dataset import DATASETS, DataConfig, Dataset, known_task, load_dataset, open_dataset
from nanonas.data.split import split
from nanonas.data.picture import Form, pixels_of

# ---- tiny data sets on disk


def noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(path: Path, image: Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def classes_of_images(
    root: Path, counts: dict[str, int] | None = None, mode: str = "RGB", size: tuple[int, int] = (8, 8), seed: int = 0
) -> Path:
    """ROOT/<class>/<n>.png."""
    for label, (name, count) in enumerate((counts or {"cat": 6, "dog": 6}).items()):
        for n in range(count):
            image = Image.fromarray(noise(10_000 * seed + 1000 * label + n, (size[1], size[0], 3))).convert(mode)
            picture(root / name / f"{n}.png", image)
    return root


def train_and_test(root: Path, **options: Any) -> Path:
    classes_of_images(root / "train", **options)
    classes_of_images(root / "test", {"cat": 2, "dog": 3}, seed=1, **options)
    return root


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.tobytes()


def idx_files(per_class: int = 6) -> dict[str, bytes]:
    labels = np.repeat(np.arange(10, dtype=np.uint8), per_class)
    return {
        f"{part}-{what}": idx(array)
        for part in ("train", "t10k")
        for what, array in (
            ("images-idx3-ubyte", noise(len(part), (len(labels), 28, 28))),
            ("labels-idx1-ubyte", labels),
        )
    }


def mnist_family(kind: str) -> Callable[[Path, pytest.MonkeyPatch], Path]:
    def make(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (root / kind / "raw").mkdir(parents=True)
        for name, content in idx_files().items():
            (root / kind / "raw" / name).write_bytes(content)
        return root

    return make


def svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    root.mkdir()
    files = {}
    for part in ("train", "test"):
        path = root / f"{part}_32x32.mat"
        labels = np.repeat(np.arange(1, 11, dtype=np.uint8), 5)  # 10 stands for the digit 0
        savemat(path, {"X": noise(5, (32, 32, 3, len(labels))), "y": labels[:, None]})
        files[part] = ["https://nowhere.invalid/" + path.name, path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", files)
    return root


def cifar(kind: str, classes: int, key: str) -> Callable[[Path, pytest.MonkeyPatch], Path]:
    def make(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        from torchvision import datasets

        cls = getattr(datasets, kind)
        home = root / cls.base_folder
        home.mkdir(parents=True)

        def written(name: str, content: object) -> list[str]:
            (home / name).write_bytes(pickle.dumps(content))
            return [name, hashlib.md5((home / name).read_bytes()).hexdigest()]

        labels = np.repeat(np.arange(classes), 5).tolist()
        for part in ("train", "test"):
            batch = {"data": noise(classes, (len(labels), 3072)), key: labels}
            monkeypatch.setattr(cls, f"{part}_list", [written(part, batch)])
        names = cls.meta["key"]
        meta = written("meta", {names: [f"class-{n}" for n in range(classes)]})
        monkeypatch.setattr(cls, "meta", {"filename": meta[0], "md5": meta[1], "key": names})
        return root

    return make


ROOTS: dict[str, Callable[[Path, pytest.MonkeyPatch], Path]] = {
    "folder": lambda root, monkeypatch: train_and_test(root),
    "mnist": mnist_family("MNIST"),
    "fashion_mnist": mnist_family("FashionMNIST"),
    "svhn": svhn,
    "cifar10": cifar("CIFAR10", 10, "labels"),
    "cifar100": cifar("CIFAR100", 100, "fine_labels"),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NANONAS_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def load_folder(root: Path, say: Callable[[str], None] = lambda message: None, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="folder", root=str(root), **options), say)


def error_of(root: Path, **options: Any) -> str:
    """The message with which the folder is refused, which has to be one line."""
    with pytest.raises(DataError) as caught:
        load_folder(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def one_color_each(root: Path, odd: Callable[[Path], None]) -> Path:
    """Two classes of black 4×4 images, and one more in b that `odd` makes, given its path without suffix."""
    for name in "ab":
        for n in range(5):
            picture(root / "train" / name / f"{n}.png", Image.new("L", (4, 4)))
        picture(root / "test" / name / "0.png", Image.new("L", (4, 4)))
    odd(root / "train" / "b" / "zz")
    return root


def last_image(root: Path, odd: Callable[[Path], None], **options: Any) -> np.ndarray:
    return np.array(load_folder(one_color_each(root, odd), **options).train_images[-1])


def said_of(root: Path, **options: Any) -> list[str]:
    said: list[str] = []
    load_folder(root, said.append, **options)
    return said


# ---- the contract


@pytest.mark.parametrize("image_size", [None, 12])
@pytest.mark.parametrize("name", list(DATASETS))
def test_every_data_set_keeps_the_contract(
    name: str, image_size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ROOTS[name](tmp_path / "root", monkeypatch) if name in ROOTS else None
    before = sorted(tmp_path.rglob("*"))
    try:
        dataset = load_dataset(DataConfig(name=name, root=root and str(root), image_size=image_size))
    except DataError as error:
        if "cannot download" in str(error):
            pytest.skip("cannot be loaded offline; give it a root in ROOTS")
        raise
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written in a root that holds the data"
    assert dataset.name == name
    assert dataset.flip == DATASETS[name].flip
    assert len(set(dataset.classes)) == len(dataset.classes) >= 2
    assert len(dataset.fingerprint) == 64
    assert len(dataset.mean) == len(dataset.std) == dataset.channels
    assert all(0 <= value <= 1 for value in dataset.mean) and all(0 < value <= 0.5 for value in dataset.std)
    shape = (dataset.height, dataset.width, dataset.channels)
    assert dataset.channels in (1, 3)
    assert image_size is None or shape[:2] == (image_size, image_size)
    for images, labels in ((dataset.train_images, dataset.train_labels), dataset.test()):
        assert images.dtype == np.uint8 and images.shape == (len(labels), *shape)
        assert labels.dtype == np.int64 and labels.shape == (len(images),)
        assert set(labels.tolist()) == set(range(len(dataset.classes)))
        assert isinstance(images, np.memmap)
        assert not images.flags.writeable and not labels.flags.writeable
    train, validation = split(dataset.train_labels, 0.1, seed=0)
    assert sorted([*train, *validation]) == list(range(len(dataset.train_labels)))


def test_a_mirrored_digit_is_no_digit() -> None:
    assert {name for name in DATASETS if not DATASETS[name].flip} == {"digits", "mnist", "svhn"}


def test_importing_data_imports_nothing_heavy() -> None:
    code = (
        "import sys, nanonas.data; print([m for m in ('torch', 'torchvision', 'sklearn', 'PIL') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# ---- the config


def test_an_unknown_data_set_suggests_the_nearest() -> None:
    with pytest.raises(ValidationError, match="unknown data set 'cifar-10'; did you mean 'cifar10'"):
        DataConfig(name="cifar-10")


@pytest.mark.parametrize(
    "options",
    [{"validation_fraction": 0}, {"validation_fraction": 0.6}, {"image_size": 3}, {"image_size": 1025}, {"root": ""}],
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataConfig(**options)


# ---- digits


def test_digits_are_scaled_to_255_and_a_fifth_is_test() -> None:
    from sklearn.datasets import load_digits

    dataset = load_dataset(DataConfig())
    images, _ = dataset.test()
    assert len(dataset.train_images) + len(images) == 1797
    assert len(images) == pytest.approx(1797 / 5, abs=5)
    both = np.concatenate([dataset.train_images, images])
    assert np.unique(both).tolist() == [round(x * 255 / 16) for x in range(17)]
    assert both.sum() == np.rint(load_digits().images * 255 / 16).sum()


def test_mean_and_std_are_those_of_the_train_pixels() -> None:
    dataset = load_dataset(DataConfig())
    pixels = dataset.train_images / 255
    assert dataset.mean == pytest.approx([pixels.mean()])
    assert dataset.std == pytest.approx([pixels.std()])


def test_std_of_a_constant_channel_is_not_zero(tmp_path: Path) -> None:
    dataset = load_folder(one_color_each(tmp_path, lambda path: None))
    assert dataset.mean == (0.0,) and dataset.std == (1e-3,)


def test_a_root_that_digits_do_not_use_is_a_warning(tmp_path: Path) -> None:
    said: list[str] = []
    load_dataset(DataConfig(root=str(tmp_path)), said.append)
    assert len(said) == 1 and said[0].startswith("warning: data.root") and "data.name=folder" in said[0]


# ---- the split


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=6),
    st.floats(0.01, 0.5),
    st.integers(0, 2**32 - 1),
)
def test_a_split_is_a_stratified_partition(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    train, validation = split(labels, fraction, seed)
    assert train.dtype == validation.dtype == np.int64
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    assert sorted([*train, *validation]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        held = int((labels[validation] == label).sum())
        assert 1 <= held < count
        assert abs(held - count * fraction) <= 1
    again = split(labels, fraction, seed)
    assert (again[0] == train).all() and (again[1] == validation).all()


def test_another_seed_gives_another_split() -> None:
    labels = np.repeat(np.arange(10), 50)
    assert split(labels, 0.1, seed=0)[1].tolist() != split(labels, 0.1, seed=1)[1].tolist()


def test_a_class_with_one_image_cannot_be_split() -> None:
    with pytest.raises(DataError, match="class 1 has a single image"):
        split(np.array([0, 0, 0, 1]), 0.5, seed=0)


# ---- the folder's layouts


def test_train_and_test_folders_are_read_as_they_are(tmp_path: Path) -> None:
    dataset = load_folder(train_and_test(tmp_path))
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_labels.tolist() == [0] * 6 + [1] * 6
    images, labels = dataset.test()
    assert labels.tolist() == [0, 0, 1, 1, 1]
    assert (images[0] == np.asarray(Image.open(tmp_path / "test" / "cat" / "0.png"))).all()


@pytest.mark.parametrize("inside", ["", "train"])
def test_one_folder_of_classes_gives_a_fifth_of_each_to_test(tmp_path: Path, inside: str) -> None:
    classes_of_images(tmp_path / inside, {"cat": 10, "dog": 5})
    dataset = load_folder(tmp_path)
    assert np.bincount(dataset.train_labels).tolist() == [8, 4]
    assert np.bincount(dataset.test()[1]).tolist() == [2, 1]
    seen = {image.tobytes() for images in (dataset.train_images, dataset.test()[0]) for image in images}
    assert len(seen) == 15


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    classes_of_images(tmp_path, {"bus": 5, "train": 5})
    assert load_folder(tmp_path).classes == ("bus", "train")


def test_nested_folders_hidden_files_and_other_files(tmp_path: Path) -> None:
    classes_of_images(tmp_path)
    picture(tmp_path / "cat" / "more" / "deep.PNG", Image.new("RGB", (8, 8)))
    picture(tmp_path / ".thumbnails" / "x.png", Image.new("RGB", (3, 3)))
    (tmp_path / "cat" / "._0.png").write_bytes(b"")
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path / "cat")
    said: list[str] = []
    dataset = load_folder(tmp_path, said.append)
    assert len(dataset.train_labels) + len(dataset.test()[1]) == 13
    assert len(said) == 1 and said[0].startswith("warning: 1 files")


def test_a_validation_part_is_used_as_it_is(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    classes_of_images(tmp_path / "val", {"cat": 4, "dog": 3}, seed=7)
    dataset = load_folder(tmp_path)
    train, validation = dataset.split(0.1, seed=3)
    assert len(train) == 12 and dataset.train_labels[validation].tolist() == [0] * 4 + [1] * 3
    assert [name.split("/")[0] for name in dataset.train_names() or ()] == ["train"] * 12 + ["val"] * 7
    assert sorted([*train, *validation]) == list(range(19))


def test_a_folder_that_is_no_part_is_not_silently_ignored(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    classes_of_images(tmp_path / "new")
    assert said_of(tmp_path)[0] == f"warning: in {tmp_path} new is not used"


def test_a_known_task_is_that_of_the_data() -> None:
    for size in (None, 12):
        config = DataConfig(name="digits", image_size=size)
        assert known_task(config) == load_dataset(config).task
    assert known_task(DataConfig(name="folder", root="photos")) is None


def test_parts_may_be_named_as_people_name_them(tmp_path: Path) -> None:
    for seed, name in enumerate(("Training", "Testing", "dev")):
        classes_of_images(tmp_path / name, seed=seed)
    dataset = load_folder(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.split(0.1, 0)[0]) == len(dataset.split(0.1, 0)[1]) == len(dataset.test()[1]) == 12
    assert said_of(tmp_path) == []


def test_parts_under_other_names_are_no_classes(tmp_path: Path) -> None:
    classes_of_images(tmp_path / "seg_train" / "seg_train")
    classes_of_images(tmp_path / "seg_test" / "seg_test")
    classes_of_images(tmp_path / "seg_pred")
    assert "seg_train and seg_test in " in error_of(tmp_path)


def test_classes_may_have_train_and_test_in_their_names(tmp_path: Path) -> None:
    dataset = load_folder(classes_of_images(tmp_path, {"strain": 5, "train_station": 5, "crash_test": 5}))
    assert len(dataset.classes) == 3


def test_a_part_that_stands_twice_is_one_line(tmp_path: Path) -> None:
    classes_of_images(tmp_path / "train")
    classes_of_images(tmp_path / "training")
    assert "has both train and training" in error_of(tmp_path)


def test_images_with_a_side_of_more_than_1024_pixels_want_a_size(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("L", (1100, 8)).save(tmp_path / name / f"{number}.png")
    assert "are 1100×8, and a side may have 1,024 pixels; set data.image_size" in error_of(tmp_path)


@pytest.mark.parametrize("keep", [0, 60])  # bytes: no header at all, and a header without its pixels
def test_all_unreadable_images_are_named_at_once(keep: int, tmp_path: Path) -> None:
    classes_of_images(tmp_path / "train", {"cat": 9, "dog": 9})
    classes_of_images(tmp_path / "test")
    bad = sorted((tmp_path / "train" / "cat").iterdir())[:7]
    for path in bad:
        path.write_bytes(path.read_bytes()[:keep])
    said = error_of(tmp_path)
    assert said.startswith("7 files cannot be read: ") and all(str(path) in said for path in bad)
    for number in range(26):
        (tmp_path / "train" / "cat" / f"bad{number}.png").write_bytes(b"")
    assert "; and 13 more; replace or remove them" in error_of(tmp_path)


def test_a_linked_root_and_a_home_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes_of_images(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("HOME", str(tmp_path))
    dataset = load_dataset(DataConfig(name="folder", root="~/link"))
    assert dataset.cache == load_folder(tmp_path / "real").cache


def test_classes_of_very_different_size_are_a_warning(tmp_path: Path) -> None:
    said: list[str] = []
    load_folder(classes_of_images(tmp_path, {"cat": 70, "dog": 5}, size=(2, 2)), said.append)
    assert said == [
        "warning: classes of very different size: 'cat' has 56 train images, 'dog' 4; "
        "accuracy will mostly be that of the large classes"
    ]


# ---- a folder that is refused


def test_a_folder_without_a_root() -> None:
    with pytest.raises(DataError, match=r"needs data.root.*ROOT/train/<class>"):
        load_dataset(DataConfig(name="folder"))


def test_a_root_that_does_not_exist(tmp_path: Path) -> None:
    assert "does not exist" in error_of(tmp_path / "nowhere")


def test_a_root_that_is_no_path() -> None:
    with pytest.raises(DataError, match=r"data\.root"):
        load_dataset(DataConfig(name="folder", root="a\0b"))


def test_a_home_of_nobody() -> None:
    with pytest.raises(ValueError, match="no-such-user-here"):
        DataConfig(name="folder", root="~no-such-user-here/x")


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in error_of(tmp_path / "file")


def test_an_empty_root(tmp_path: Path) -> None:
    assert "has no folder of images" in error_of(tmp_path)


def test_a_single_class(tmp_path: Path) -> None:
    assert "a single class, 'cat'" in error_of(classes_of_images(tmp_path, {"cat": 9}))


def test_images_without_class_folders_are_not_two_classes(tmp_path: Path) -> None:
    assert "has no class folders" in error_of(classes_of_images(tmp_path, {"train": 5, "test": 5}))


@pytest.mark.parametrize("part", ["", "train", "test"])
def test_a_class_without_images_is_named(tmp_path: Path, part: str) -> None:
    if part:
        train_and_test(tmp_path)
    else:
        classes_of_images(tmp_path)
    for file in (tmp_path / part / "dog").iterdir():
        file.unlink()
    assert "class 'dog' has no images" in error_of(tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_that_only_one_part_has_is_named(tmp_path: Path, part: str) -> None:
    train_and_test(tmp_path)
    classes_of_images(tmp_path / part, {"emu": 5})
    assert f"'emu' is not in {'test' if part == 'train' else 'train'}" in error_of(tmp_path)


def test_a_class_of_four_images_is_too_small(tmp_path: Path) -> None:
    message = error_of(classes_of_images(tmp_path, {"cat": 9, "dog": 4}))
    assert "'dog' has 4 train images; at least 5" in message


def test_a_class_name_that_breaks_a_line(tmp_path: Path) -> None:
    assert r"'a\nb'" in error_of(classes_of_images(tmp_path, {"a\nb": 5, "dog": 5}))


def test_images_of_several_sizes_say_what_to_set(tmp_path: Path) -> None:
    classes_of_images(tmp_path)
    picture(tmp_path / "cat" / "big.png", Image.new("RGB", (30, 20)))
    message = error_of(tmp_path)
    assert "2 sizes, from 8×8 to 30×20" in message and "--set data.image_size=8" in message
    assert load_folder(tmp_path, image_size=10).train_images.shape[1:] == (10, 10, 3)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", None])
def test_an_image_that_cannot_be_read_is_named_and_left_out(tmp_path: Path, content: bytes | None) -> None:
    classes_of_images(tmp_path, {"cat": 12, "dog": 12})
    bad = tmp_path / "dog" / "3.png"
    if content is None:  # cut off in the middle of the pixels: the header is fine
        Image.fromarray(noise(0, (8, 8, 3))).save(bad)
        content = bad.read_bytes()[:120]
    bad.write_bytes(content)
    (said,) = said_of(tmp_path)
    assert said.startswith(f"warning: 1 files are left out: {bad} is not a readable image")
    dataset = load_folder(tmp_path)
    assert len(dataset.train_labels) + len(dataset.test()[1]) == 23
    assert "dog/3.png" not in {*(dataset.train_names() or ()), *(dataset.test_names() or ())}
    bad.unlink()
    assert load_folder(tmp_path).fingerprint == dataset.fingerprint


def test_a_file_that_may_not_be_read_today_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    classes_of_images(tmp_path)
    monkeypatch.setattr(Image, "open", refuse)
    assert error_of(tmp_path) == f"cannot read {tmp_path / 'cat' / '0.png'}: Input/output error"


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    classes_of_images(tmp_path)
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "dog" / "loop.png").symlink_to(tmp_path / "dog" / "loop.png")
    classes_of_images(tmp_path / "more", {"dog": 12})  # inside no class
    (tmp_path / "more" / "dog").rename(tmp_path / "dog" / "more")
    (tmp_path / "more").rmdir()
    (said,) = said_of(tmp_path, groups="(x)|(.+)")[:1]
    assert "2 files are left out" in said and "gone.png" in said and "loop.png" in said


@pytest.mark.parametrize("pixels", [40, 20])  # Pillow raises above twice its limit, and warns above it
def test_a_decompression_bomb_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    classes_of_images(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    picture(tmp_path / "cat" / "0.png", Image.new("RGB", (8, 8)))
    message = error_of(tmp_path)  # of all images
    assert str(tmp_path / "cat" / "0.png") in message and f"more than {pixels} pixels" in message


def test_a_disk_without_room_is_refused_with_the_size_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(count: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 0, count))

    train_and_test(tmp_path)  # 17 images
    free(2 * 17 * 3 * 50)
    message = error_of(tmp_path)
    assert message.startswith("17 images of 8×8 pixels need 0.0 GB of disk") and "data.image_size to at most 7" in message
    assert load_folder(tmp_path, image_size=7).height == 7
    free(100)
    assert error_of(tmp_path).endswith("move the cache with NANONAS_CACHE")


# ---- modes, orientation, resizing


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grayscale_images_have_one_channel(tmp_path: Path, mode: str) -> None:
    value = {"1": 1, "L": 255, "LA": (255, 255), "I;16": 65535}[mode]
    white = Image.new(mode, (4, 4), value)
    image = last_image(tmp_path, lambda path: white.save(path.with_suffix(".png")), range=(0, 65535))
    assert image.shape == (4, 4, 1) and (image == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "CMYK"])
def test_one_image_in_color_makes_three_channels(tmp_path: Path, mode: str) -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode)
    image = last_image(tmp_path, lambda path: red.save(path.with_suffix(".tif" if mode == "CMYK" else ".png")))
    assert image.shape == (4, 4, 3) and (image == [255, 0, 0]).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_lies_over_white(tmp_path: Path, mode: str) -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 51)).convert(mode)
    assert (last_image(tmp_path, lambda path: clear.save(path.with_suffix(".png"))) == 204).all()


def test_a_transparent_palette_color_becomes_white(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    image = last_image(tmp_path, lambda path: palette.save(path.with_suffix(".gif"), transparency=0))
    assert image.shape == (4, 4, 3) and (image == 255).all()


DEEP = {  # what a microscope or a camera for industry writes: 12 bits in 16, negative values, shares of one
    "I;16": np.arange(16, dtype=np.uint16).reshape(4, 4) * 273,
    "I": np.arange(16, dtype=np.int32).reshape(4, 4) * 7000 - 70_000,
    "F": np.arange(16, dtype=np.float32).reshape(4, 4) / 15,
}


@pytest.mark.parametrize("mode", DEEP)
def test_more_than_eight_bits_are_scaled_by_the_range_of_the_training_images(tmp_path: Path, mode: str) -> None:
    values = DEEP[mode]
    image = last_image(tmp_path, lambda path: Image.fromarray(values).save(path.with_suffix(".tif")))
    assert image.ravel().tolist() == [17 * n for n in range(16)]
    dataset = load_folder(tmp_path)
    assert dataset.range == (values.min(), values.max())
    assert f"{values.min():g} is black and {values.max():g} is white" in said_of(tmp_path)[-1]
    Image.fromarray(values * 3).save(tmp_path / "test" / "a" / "1.tif")  # says nothing of the range
    assert load_folder(tmp_path).range == dataset.range


def test_a_range_may_be_given(tmp_path: Path) -> None:
    values = DEEP["I;16"]
    image = last_image(
        tmp_path, lambda path: Image.fromarray(values).save(path.with_suffix(".png")), range=(273, 3 * 273)
    )
    assert image.ravel().tolist() == [0, 0, 128, *[255] * 13]
    with pytest.raises(ValidationError, match="lowest below the highest"):
        DataConfig(name="folder", range=(3, 3))


def test_our_own_test_part_says_nothing_of_the_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in range(2):
        for n in range(10):
            (tmp_path / "ab"[label]).mkdir(exist_ok=True)
            values = rng.integers(0, 1000 + 100 * n + 10 * label, (8, 8)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / "ab"[label] / f"{n}.png")
    dataset = load_folder(tmp_path)
    opened = [np.asarray(Image.open(tmp_path / name)) for name in dataset.train_names() or ()]
    assert dataset.range == (min(image.min() for image in opened), max(image.max() for image in opened))
    assert dataset.train_images.max() == 255 and dataset.train_images.min() == 0


def test_a_value_that_is_no_number_is_black(tmp_path: Path) -> None:
    values = DEEP["F"].copy()
    values[0, :2] = np.nan, np.inf
    image = last_image(tmp_path, lambda path: Image.fromarray(values).save(path.with_suffix(".tif")))
    assert image.ravel().tolist()[:3] == [0, 0, 0] and image.ravel()[-1] == 255


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm"])
def test_every_listed_format_is_read(tmp_path: Path, suffix: str) -> None:
    white = Image.new("L", (4, 4), 255)
    assert (last_image(tmp_path, lambda path: white.save(path.with_suffix(f".{suffix}"))) == 255).all()
    assert f".{suffix.lower()}" in folder.EXTENSIONS


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_photograph_is_turned_upright(tmp_path: Path, suffix: str) -> None:
    sideways = Image.new("L", (16, 8))
    sideways.paste(255, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    for name in "ab":
        for n in range(5):
            picture(tmp_path / name / f"{n}{suffix}", sideways, exif=exif)
    upright = load_folder(tmp_path).train_images[0]
    assert upright.shape == (16, 8, 1)
    assert (upright[:7] > 200).all() and (upright[9:] < 50).all()


@pytest.mark.parametrize("kind", [b"\x03", b"\x01"])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path, kind: bytes) -> None:
    plain = Image.Exif()
    plain[0x0112] = 9
    exif = plain.tobytes().replace(b"\x01\x12\x00\x03", b"\x01\x12\x00" + kind)  # a short number, or a byte
    assert b"\x01\x12\x00" + kind in exif
    for name in "ab":
        for n in range(5):
            picture(tmp_path / name / f"{n}.jpg", Image.new("L", (16, 8)), exif=exif)
    assert load_folder(tmp_path).train_images.shape[1:] == (8, 16, 1)


def test_a_picture_that_was_handed_over_stays_as_it_is(tmp_path: Path) -> None:
    Image.new("L", (640, 480), 200).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert pixels_of(image, Form(32, 32, 1)).shape == (32, 32, 1)
        assert image.size == (640, 480)


def test_resizing_averages_what_it_drops(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    for name in "ab":
        for n in range(5):
            picture(tmp_path / name / f"{n}.png", Image.fromarray(stripes))
            picture(tmp_path / name / f"{n}.jpg", Image.fromarray(stripes), quality=95)
    images = load_folder(tmp_path, image_size=4).train_images
    assert (np.abs(images.astype(int) - 127) < 8).all()


def test_large_images_are_decoded_in_threads_to_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = classes_of_images(tmp_path, size=(150, 150))
    several = load_folder(root)
    monkeypatch.setenv("NANONAS_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(folder, "THREADS_FROM_PIXELS", 10**9)
    assert load_folder(root).fingerprint == several.fingerprint


# ---- the cache


def test_a_second_load_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_folder(classes_of_images(tmp_path))
    monkeypatch.setattr(folder.Listing, "open", lambda *args: pytest.fail("decoded again"))
    second = load_folder(tmp_path)
    assert second.fingerprint == first.fingerprint
    assert (second.train_images == first.train_images).all()


def test_a_changed_folder_is_decoded_anew(tmp_path: Path) -> None:
    first = load_folder(train_and_test(tmp_path))
    picture(tmp_path / "test" / "cat" / "new.png", Image.new("RGB", (8, 8)))
    second = load_folder(tmp_path)
    assert second.fingerprint != first.fingerprint and len(second.test()[1]) == 6


def test_the_fingerprint_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    first = load_folder(train_and_test(tmp_path / "a"))
    moved = load_folder(train_and_test(tmp_path / "b"))
    assert moved.cache != first.cache and moved.fingerprint == first.fingerprint
    (tmp_path / "b/train/cat").rename(tmp_path / "b/train/cow")
    (tmp_path / "b/test/cat").rename(tmp_path / "b/test/cow")
    assert load_folder(tmp_path / "b").fingerprint != first.fingerprint


def test_another_image_size_is_another_entry() -> None:
    assert load_dataset(DataConfig(image_size=6)).cache != load_dataset(DataConfig()).cache


def test_files_of_mnist_that_changed_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(name="mnist", root=str(ROOTS["mnist"](tmp_path / "root", monkeypatch)))
    before = load_dataset(config).source
    for name, content in idx_files(7).items():
        (tmp_path / "root" / "MNIST" / "raw" / name).write_bytes(content)
    assert load_dataset(config).source != before


def test_nanonas_cache_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANONAS_CACHE", str(tmp_path / "new" / "place"))
    assert load_dataset(DataConfig()).cache.parent == tmp_path / "new" / "place"


def test_the_cache_follows_xdg_and_then_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NANONAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert dataset.cache_dir() == tmp_path / "xdg" / "nanonas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dataset.cache_dir() == tmp_path / ".cache" / "nanonas"


def test_a_worker_opens_the_entry_without_the_source(tmp_path: Path) -> None:
    dataset = load_folder(classes_of_images(tmp_path / "images"))
    (tmp_path / "images").rename(tmp_path / "gone")
    again = open_dataset(dataset.cache)
    assert (again.fingerprint, again.mean, again.classes) == (dataset.fingerprint, dataset.mean, dataset.classes)


@pytest.mark.parametrize("file", ["meta.json", "train_images.npy", "test_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("damage", ["cut off", "garbage", "missing"])
def test_a_damaged_entry_is_decoded_again(file: str, damage: str) -> None:
    first = load_dataset(DataConfig())
    victim = first.cache / file
    content = victim.read_bytes()
    victim.unlink()
    if damage != "missing":
        victim.write_bytes(content[: len(content) // 2] if damage == "cut off" else b"{}")
    said: list[str] = []
    second = load_dataset(DataConfig(), said.append)
    assert len(said) == 1 and "was damaged; decoding again" in said[0]
    assert second.fingerprint == first.fingerprint and len(second.test()[1]) == len(first.test()[1])
    assert [path.name for path in first.cache.parent.iterdir()] == [first.cache.name]


def test_an_entry_with_a_pickle_is_not_loaded() -> None:
    dataset = load_dataset(DataConfig())
    np.save(dataset.cache / "test_images.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataError, match="damaged"):
        dataset.test()


def test_the_search_never_opens_the_test_file() -> None:
    cache = load_dataset(DataConfig()).cache
    file = cache / "test_images.npy"
    file.write_bytes(b"\0" * file.stat().st_size)
    dataset = load_dataset(DataConfig())
    with pytest.raises(DataError, match="damaged"):
        dataset.test()


def test_of_two_processes_that_decode_the_slower_takes_the_others_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    write = cache._publish

    def beaten(temporary: Path, path: Path) -> None:
        monkeypatch.setattr(cache, "_publish", write)
        load_dataset(DataConfig())
        (path / "winner").write_text("")
        write(temporary, path)

    monkeypatch.setattr(cache, "_publish", beaten)
    dataset = load_dataset(DataConfig())
    assert (dataset.cache / "winner").exists()
    assert list(dataset.cache.parent.iterdir()) == [dataset.cache]


def test_what_a_killed_process_left_is_removed_after_a_day(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".nanonas-decoding-1", ".other"):
        (own_cache / name).mkdir()
    load_dataset(DataConfig())
    assert (own_cache / ".nanonas-decoding-1").exists()
    monkeypatch.setattr(cache, "ABANDONED_SECONDS", -1000)
    load_dataset(DataConfig(image_size=5))
    assert not (own_cache / ".nanonas-decoding-1").exists() and (own_cache / ".other").exists()


def test_a_full_disk_leaves_nothing_behind(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = cache.write_array

    def full(path: Path, *rest: Any) -> None:
        if path.name == "test_images.npy":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *rest)

    monkeypatch.setattr(cache, "write_array", full)
    with pytest.raises(DataError, match=r"no space left on .*; NANONAS_CACHE moves the cache"):
        load_dataset(DataConfig())
    assert list(own_cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NANONAS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot write the cache .*; set NANONAS_CACHE"):
        load_dataset(DataConfig())


def test_a_cache_in_the_home_of_nobody_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANONAS_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(DataError, match=r"no such home folder.*; set NANONAS_CACHE"):
        load_dataset(DataConfig())


def test_a_root_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"l\xe4ufe")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(ValidationError, match=r"l\\udce4ufe/photos' is no UTF-8; rename the folder"):
        DataConfig(name="folder", root="photos")


def test_a_long_job_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(dataset.time, "monotonic", lambda: now[0])
    said: list[str] = []
    progress = dataset._progress(said.append, "decoding {:,} of {:,} images")
    for done in range(0, 20_001, 1000):
        progress(done, 20_000)
        now[0] += 0.5
    assert said == ["decoding 4,000 of 20,000 images", "decoding 14,000 of 20,000 images"]


# ---- torchvision's data sets


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "svhn", "cifar10", "cifar100"])
def test_without_a_network_the_message_says_what_to_do(name: str, tmp_path: Path) -> None:
    said: list[str] = []
    for root in (None, str(tmp_path / "empty")):
        with pytest.raises(
            DataError, match=r"cannot download.*Name or service.*set data.root.*folder.*digits"
        ) as caught:
            load_dataset(DataConfig(name=name, root=root), said.append)
        assert "\n" not in str(caught.value)
    assert len(said) == 2 and said[0].startswith("downloading")
    assert ("has been slow" in said[0]) == name.startswith("cifar")


class Response(io.BytesIO):
    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.headers = {"Content-Length": str(len(content))}


@pytest.fixture
def mnist_server(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files by name, served by the second of two mirrors."""
    from torchvision.datasets import MNIST

    served = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in idx_files().items()}
    monkeypatch.setattr(MNIST, "mirrors", ["https://down.invalid/", "https://up.invalid/"])
    monkeypatch.setattr(MNIST, "resources", [(n, hashlib.md5(c).hexdigest()) for n, c in served.items()])

    def urlopen(url: str, timeout: float) -> Response:
        if "down" in url:
            raise TimeoutError("timed out")
        return Response(served[url.rpartition("/")[2]])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return served


@pytest.mark.parametrize("with_root", [True, False])
def test_what_is_missing_is_downloaded(
    mnist_server: dict[str, bytes], own_cache: Path, tmp_path: Path, with_root: bool
) -> None:
    config = DataConfig(name="mnist", root=str(tmp_path / "new") if with_root else None)
    dataset = load_dataset(config)
    assert dataset.train_images.shape == (60, 28, 28, 1) and dataset.classes == tuple("0123456789")
    home = tmp_path / "new" if with_root else own_cache / "downloads"
    assert (home / "MNIST" / "raw" / "train-images-idx3-ubyte").exists()
    assert not list(home.rglob("*.part"))


def test_two_processes_download_one_after_the_other(
    mnist_server: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, waiting = threading.Event(), threading.Event()
    serve, asked = urllib.request.urlopen, []

    def slowly(url: str, timeout: float) -> Any:
        asked.append(url)
        begun.set()
        assert waiting.wait(30)
        return serve(url, timeout=timeout)

    def read(say: Callable[[str], None]) -> int:
        _, train, _ = published.read("MNIST", tmp_path, is_ours=True, say=say, progress=lambda *_: None)
        return len(train.pixels)

    monkeypatch.setattr(urllib.request, "urlopen", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read, lambda text: None)
        assert begun.wait(30)
        second = pool.submit(read, lambda text: waiting.set() if "waiting for it" in text else None)
        assert (first.result(), second.result()) == (60, 60)
    assert len(set(asked)) == len(asked) == 8  # each file once from each mirror
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MNIST"]


def test_a_disk_without_locks_takes_a_download_too(
    mnist_server: dict[str, bytes], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert load_dataset(DataConfig(name="mnist")).train_images.shape == (60, 28, 28, 1)


def test_a_download_with_another_checksum_is_not_kept(mnist_server: dict[str, bytes], own_cache: Path) -> None:
    mnist_server["train-images-idx3-ubyte.gz"] += b"x"
    with pytest.raises(DataError, match="another checksum"):
        load_dataset(DataConfig(name="mnist"))
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


def test_a_download_that_breaks_off_is_the_networks_fault(
    mnist_server: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: Response, size: int) -> bytes:
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr(Response, "read", breaks)
    with pytest.raises(DataError, match=r"cannot download MNIST.*reset by peer"):
        load_dataset(DataConfig(name="mnist"))


def test_a_root_that_cannot_be_downloaded_to_says_so(mnist_server: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*leave data.root null"):
        load_dataset(DataConfig(name="mnist", root=str(tmp_path / "file")))


def test_a_corrupt_file_of_torchvision_names_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ROOTS["mnist"](tmp_path, monkeypatch)
    file = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    for content in (file.read_bytes()[:1000], b"", b"\0" * 100, idx(noise(0, (5, 28, 28)))):
        file.write_bytes(content)
        with pytest.raises(DataError, match="MNIST/raw is an incomplete or damaged MNIST; remove it"):
            load_dataset(DataConfig(name="mnist", root=str(root)))


@pytest.mark.parametrize(("name", "file"), [("svhn", "train_32x32.mat"), ("cifar10", "cifar-10-batches-py/train")])
def test_a_file_with_another_checksum_is_not_unpickled(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ROOTS[name](tmp_path / "root", monkeypatch)
    (root / file).write_bytes(b"x")
    with pytest.raises(DataError, match="incomplete or damaged"):
        load_dataset(DataConfig(name=name, root=str(root)))


def test_the_ten_of_svhn_is_a_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(DataConfig(name="svhn", root=str(svhn(tmp_path / "root", monkeypatch))))
    assert dataset.train_labels.tolist() == [*np.repeat(np.arange(1, 10), 5), *[0] * 5]
    assert (dataset.train_images[7] == noise(5, (32, 32, 3, 50))[..., 7]).all()

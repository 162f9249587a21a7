"""A folder of mixed files, as people have them, from search to prediction: is every file used or named, once?

    python benchmarks/mixed.py [--files 3000] [--fits squash crop pad]
    python benchmarks/mixed.py --make FOLDER --files 300       only makes the folder

Makes files of 20 to 6,000 pixels a side in all modes and formats, with orientations, transparency, several frames, 16
bits, and others that are damaged, hidden, linked, or no images at all; names with quotes, umlauts and line breaks. For
each `data.fit`: a small search, train and export, then each file through `nanonas predict RUN` and, decoded by Pillow,
through model-pixels.onnx. Says whether every file was used or named, and on how many of them the two agree.
Appends a row a fit to benchmarks/results/mixed.json.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import Record
from PIL import Image, ImageOps

from nanonas import load_spec
from nanonas.data.dataset import load_dataset

RECORD = Record("mixed")
NAMES = [
    "{n}",
    "a b {n}",
    "it's {n}",
    'the "best" {n}',
    "größe {n}",
    "日本 {n}",
    "two\nlines {n}",
    "-{n}",
    "{n} #1",
    "{n};$(x)",
]
CLASSES = ["cat", 'it\'s a "dog"', "größe"]
SETS = [
    *(
        "space.widths=[8]",
        "space.cells=[1]",
        "evaluator.epochs=2",
        "strategy.population_size=2",
        "strategy.sample_size=2",
    ),
    *(
        "budget.trials=3",
        "budget.minutes=null",
        "executor.name=inline",
        "train.epochs=6",
        "train.minutes=null",
        "device=cpu",
    ),
]


def picture(rng: np.random.Generator, label: int, side: int) -> Image.Image:
    """Stripes whose direction and colour tell the class, more or less."""
    width, height = side, max(20, int(side * rng.uniform(0.4, 1)))
    if rng.random() < 0.5:
        width, height = height, width
    y, x = np.mgrid[:48, :48]
    angle = label * np.pi / len(CLASSES) + rng.normal(0, 0.15)
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(1.5, 4))[..., None]
    pixels = 128 + 90 * stripes * rng.uniform(0.3, 1, 3) + rng.normal(0, 20, (48, 48, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path, rng: np.random.Generator) -> Path:
    """In one of the formats and modes, drawn at random."""
    kinds = [
        "jpg",
        "jpg",
        "jpg",
        "gray.jpg",
        "cmyk.jpg",
        "turned.jpg",
        "png",
        "rgba.png",
        "palette.png",
        "1.png",
        "la.png",
    ]
    kinds += ["16.png", "16.tif", "tif", "bmp", "gif", "frames.gif", "webp", "frames.webp", "ppm", "pgm", "turned.png"]
    kind = str(rng.choice(kinds))
    mode, _, suffix = kind.rpartition(".")
    path = path.with_name(f"{path.name}.{suffix.upper() if rng.random() < 0.1 else suffix}")
    options: dict[str, Any] = {}
    if (mode in ("gray", "") and suffix == "pgm") or mode == "gray":
        image = image.convert("L")
    elif mode == "cmyk":
        image = image.convert("CMYK")
    elif mode == "rgba":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    elif mode == "palette":
        image = image.quantize(64)
    elif mode == "1":
        image = image.convert("1")
    elif mode == "la":
        image = image.convert("LA")
    elif mode == "16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 16)
    elif mode == "frames":
        options = {"save_all": True, "append_images": [ImageOps.invert(image)], "duration": 100}
    elif mode == "turned":
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(2, 9))
        options = {"exif": exif}
    image.save(path, **options)
    return path


def make(root: Path, count: int) -> dict[str, list[str]]:
    """What has to become of the files: `used`, `damaged`, `ignored`; paths relative to the root."""
    rng, chosen = np.random.default_rng(0), random.Random(0)
    told: dict[str, list[str]] = {"used": [], "damaged": [], "ignored": []}
    sound: list[Path] = []
    for number in range(count):
        label = number % len(CLASSES)
        folder = root / CLASSES[label] / ("" if number % 5 else f"deeper {number % 3}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / chosen.choice(NAMES).format(n=number)
        kind = "used" if number < 60 or number % 30 else chosen.choice(["damaged", "ignored", "link"])
        # most are small, since 6,000 pixels a side take a second each; a few are not
        side = int(20 * (300 ** (rng.random() ** 3 if number % 100 else 1)))
        if kind == "ignored":
            path = path.with_name(chosen.choice([f".hidden{number}.png", f"notes{number}.txt", f"._{number}.jpg"]))
            path.write_bytes(b"not an image")
        elif kind == "link":
            path = path.with_name(f"link{number}.png")
            if chosen.random() < 0.5 and sound:
                path.symlink_to(os.path.relpath(chosen.choice(sound), path.parent))
                kind = "used"
            else:
                path.symlink_to("nowhere.png")
                kind = "damaged"
        else:
            path = save(picture(rng, label, side if kind == "used" else 64), path, rng)
            if kind == "damaged":
                data = path.read_bytes()
                path.write_bytes(chosen.choice([b"", data[:40], b"%PDF-1.4", data[: len(data) // 3]]))
                try:  # a format may do without its end
                    with Image.open(path) as image:
                        image.load()
                    kind = "used"
                except Exception:  # what Pillow raises
                    pass
            else:
                sound.append(path)
        told[kind].append(path.relative_to(root).as_posix())
    return told


def nanonas(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nanonas", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, errors="surrogateescape")


def through_onnx(path: Path, files: list[Path], channels: int) -> list[str]:
    """The classes that an exported file gives, of images decoded by Pillow as the model card says."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    meta = session.get_modelmeta().custom_metadata_map
    classes, low_high = json.loads(meta["classes"]), json.loads(meta["range"])
    found = []
    for file in files:
        image = ImageOps.exif_transpose(Image.open(file))
        if image.mode[0] in "IF":
            low, high = low_high
            values = (np.asarray(image).astype(float).clip(low, high) - low) * (255 / (high - low))
            image = Image.fromarray(np.floor(values + 0.5).astype(np.uint8))
        elif "A" in image.mode or "transparency" in image.info:
            white = Image.new("RGBA", image.size, "white")
            white.alpha_composite(image.convert("RGBA"))
            image = white
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        pixels = pixels.reshape(1, image.height, image.width, channels)
        found.append(classes[session.run(None, {"pixels": pixels})[0][0].argmax()])
    return found


def measure(fit: str, root: Path, told: dict[str, list[str]], folder: Path) -> dict[str, Any]:
    run = folder / fit
    data = [f"data.root={json.dumps(str(root))}", "data.name=folder", "data.image_size=32", f"data.fit={fit}"]
    words = [word for item in [*data, *SETS] for word in ("--set", item)]
    searched = nanonas("search", "--preset", "digits-evo", *words, "--out", run)
    assert searched.returncode == 0, searched.stderr[-2000:]
    for command in (("train", run, "-q"), ("export", run, "--format", "onnx", "--with-preprocessing", "-q")):
        done = nanonas(*command)
        assert done.returncode == 0, done.stderr[-2000:]
    spec = load_spec(str(run / "spec.yaml"))
    dataset = load_dataset(spec.data)
    used = [*(dataset.train_names() or ()), *(dataset.test_names() or ())]
    with (dataset.cache / "left_out.csv").open(newline="", encoding="utf-8") as file:
        left_out = [path for path, _ in csv.reader(file)][1:]
    hidden = [name for name in told["ignored"] if Path(name).name[0] == "."]
    predicted = json.loads(nanonas("predict", run, root, "--json", "-q").stdout)
    by_path = {entry["path"]: entry for entry in predicted["images"]}
    entries = [by_path[str(root / name)] for name in told["used"]]
    files = [root / name for name in told["used"]]
    network = through_onnx(run / "exports" / "model-pixels.onnx", files, dataset.channels)
    same = sum(entry["class"] == name for entry, name in zip(entries, network, strict=True))
    return {
        "fit": fit,
        "files": sum(map(len, told.values())),
        "used": len(used),
        "used_as_expected": sorted(used) == sorted(told["used"]),
        "left_out_as_expected": sorted(left_out) == sorted({*told["damaged"], *told["ignored"]} - {*hidden}),
        "unreadable": predicted["unreadable"],
        "damaged": len(told["damaged"]),
        "same_class": same,
        "others": [name for name, a, b in zip(told["used"], entries, network, strict=True) if a["class"] != b][:10],
        "classes_found": len({*network}),
        "test_accuracy": json.loads((run / "train.json").read_text())["test_accuracy"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--fits", nargs="+", default=["squash", "crop", "pad"])
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="only make the folder")
    parser.add_argument("--no-record", action="store_true", help="print, and keep nothing")
    arguments = parser.parse_args()
    if arguments.make:
        print({kind: len(names) for kind, names in make(arguments.make, arguments.files).items()})
        return
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NANONAS_CACHE"] = f"{scratch}/cache"
        root = Path(scratch) / "photos"
        told = make(root, arguments.files)
        for fit in arguments.fits:
            row = measure(fit, root, told, Path(scratch))
            print(json.dumps(row, ensure_ascii=False), flush=True)
            if not arguments.no_record:
                RECORD.append(row)


if __name__ == "__main__":
    main()

"""How fast `nanonas predict` is beside a bare loop that decodes, resizes and runs the same file.

    python benchmarks/predict.py [--root FOLDER] [--images 1000] [--rounds 5] [--side 96] [--pixels] [--cores N]
    python benchmarks/predict.py --table

The loop is what one would write by hand, for each image: `Image.open`, `convert`, `resize`, the normalization in numpy
and onnxruntime on one thread, whose session is that of the file. `predict` is the function that the command calls, with
its CSV; both begin with the file open and the paths listed, and the answers have to be the same. They take turns, in
one process, after a round that does not count, so that the images are in memory. --cores bounds both: on one core the
ratio says what the function costs, on more what its threads gain.

Images are JPEGs of 640×480 pixels that are made for it, smooth noise at quality 85, or those of --root. The network is
untrained, one of `folder-evo`'s space, for images of SIDE × SIDE. --pixels takes the file with preprocessing, which
resizes by itself. Appends a row to benchmarks/results/predict.json: the median of the ratios, one a round.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Record
from PIL import Image

from nanonas.cli.rows import RowFile
from nanonas.core.task import Task
from nanonas.data.chosen import chosen_images
from nanonas.data.dataset import DataConfig
from nanonas.devices.environment import environment
from nanonas.devices.machine import cores
from nanonas.exporters import EXPORTERS
from nanonas.finish.export import metadata_of
from nanonas.models.classifier import Card, Classifier, WithPreprocessing
from nanonas.models.prediction import Predictor
from nanonas.spaces import SPACES

RECORD = Record("predict")
GENOTYPE = "w24/pool48:conv3e3x1s/stride64:fused3e3x1/keep64:fused3e3x1s"
WIDTH, HEIGHT, QUALITY = 640, 480, 85


def make_images(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        noise = rng.normal(0, 4, (HEIGHT, WIDTH, 3))
        pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05}.jpg", quality=QUALITY)


def make_file(folder: Path, side: int, with_preprocessing: bool) -> Path:
    """An ONNX file of an untrained network for six classes."""
    torch.manual_seed(0)
    names = tuple("abcdef")
    space = SPACES["mobile"].Config.model_validate({"name": "mobile", "blocks": ["conv", "residual", "fused"]})
    card = Card(
        genotype=GENOTYPE,
        space=space.model_dump(mode="json"),
        classes=names,
        input_size=(3, side, side),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        data=DataConfig(name="digits", image_size=side),
    )
    classifier = Classifier(card).eval()
    assert card.task == Task(3, side, side, len(names))
    path, texts = folder / "model.onnx", metadata_of(classifier, with_preprocessing).texts()
    if with_preprocessing:
        network = WithPreprocessing(classifier.network, card).eval()
        EXPORTERS["onnx"].write(network, torch.zeros(2, side, side, 3, dtype=torch.uint8), path, texts)
    else:
        EXPORTERS["onnx"].write(classifier.network, torch.zeros(2, 3, side, side), path, texts)
    return path


def bare_loop(predictor: Predictor, paths: Sequence[str]) -> list[str]:
    model, side = predictor.model, predictor.form.width
    mean, std = (np.array(values, np.float32) for values in (model.mean, model.std))
    answers = []
    for path in paths:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        if model.with_preprocessing:
            images = np.array(image)[None]
        else:
            pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32) / 255
            images = ((pixels - mean) / std).transpose(2, 0, 1)[None]
        answers.append(model.classes[int(model.run(np.ascontiguousarray(images)).argmax())])
    return answers


def ours(predictor: Predictor, paths: Sequence[str], table: Path) -> list[str]:
    answers = []
    with RowFile(table) as rows:
        for batch in predictor.batches(paths):
            rows.add(batch)
            answers += [prediction.answer or "" for prediction in batch]
    return answers


def measure(predictor: Predictor, paths: Sequence[str], rounds: int, table: Path) -> dict[str, Any]:
    """Images a second of both, and the ratio of the seconds of each round."""
    seconds: dict[str, list[float]] = {"bare": [], "predict": []}
    for turn in range(-1, rounds):
        start = time.perf_counter()
        bare = bare_loop(predictor, paths)
        middle = time.perf_counter()
        found = ours(predictor, paths, table)
        end = time.perf_counter()
        same = sum(a == b for a, b in zip(bare, found, strict=True))
        assert same >= 0.999 * len(paths), f"{len(paths) - same} answers differ"
        if turn >= 0:
            seconds["bare"].append(middle - start)
            seconds["predict"].append(end - middle)
    ratios = [a / b for a, b in zip(seconds["bare"], seconds["predict"], strict=True)]
    each = {f"{name}_per_second": round(len(paths) / statistics.median(taken), 1) for name, taken in seconds.items()}
    return each | {"ratio": round(statistics.median(ratios), 3), "ratios": [round(ratio, 3) for ratio in ratios]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder of images; default: they are made")
    parser.add_argument("--images", type=int, default=1000, help="at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--pixels", action="store_true", help="the file with preprocessing")
    parser.add_argument("--cores", type=int, help="default: all that this process may use")
    parser.add_argument("--no-record", action="store_true", help="print, and keep nothing")
    parser.add_argument("--table", action="store_true", help="print the rows there are")
    arguments = parser.parse_args()
    if arguments.table:
        for row in RECORD.rows():
            print(*(f"{key} {value}" for key, value in row.items() if key not in ("environment", "ratios")), sep=", ")
        return
    if arguments.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.root is None:
            (folder / "images").mkdir()
            make_images(folder / "images", arguments.images)
        paths = chosen_images([str(arguments.root or folder / "images")])[: arguments.images]
        predictor = Predictor.open(make_file(folder, arguments.side, arguments.pixels))
        measured = measure(predictor, paths, arguments.rounds, folder / "out.csv")
    asked = {"images": len(paths), "rounds": arguments.rounds, "side": arguments.side, "pixels": arguments.pixels}
    source = arguments.root.name if arguments.root else f"{WIDTH}×{HEIGHT}"
    load = round(os.getloadavg()[0], 1)  # of all that ran beside it and of itself
    row = {"source": source, **asked, "cores": cores(), "load": load, **measured, "environment": environment(threads=1)}
    print({key: value for key, value in row.items() if key != "environment"})
    if not arguments.no_record:
        RECORD.append(row)


if __name__ == "__main__":
    main()

"""The model card beside exported files (Mitchell et al. 2019, arXiv:1810.03993): what they are, how good, how found.

Names of classes, data and files may be anything: in Markdown they stand in code spans, which nothing breaks out of.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.files import document, read, write_json, write_text
from ..core.numbers import count, duration
from ..core.statistics import wilson
from ..data.dataset import Dataset
from ..data.picture import PAD, Fit, Form, Range
from ..devices.environment import environment
from ..exporters import by_suffix
from ..models.classifier import Classifier
from ..runs.directory import run_spec
from ..runs.exported import ExportedFile
from ..runs.record import SearchResult, TrainResult

WORDS = {"squash": "", "crop": "crops, then ", "pad": "pads, then "}
PLACES = {"best": "the winner of", "front": "from the front of", "other": "chosen by hand, not the winner of"}


def write_card(run: Path, description: dict[str, Any], files: Sequence[ExportedFile]) -> None:
    """exports/model.md, and exports/model.json with the same content."""
    images = description["test_accuracy"]["n"]
    card = document("model_card", run, **description, files=[_file(file, images) for file in files])
    write_json(run / "exports" / "model.json", card)
    write_text(run / "exports" / "model.md", markdown(card))


def describe(run: Path, classifier: Classifier, dataset: Dataset, accuracy: float, images: int) -> dict[str, Any]:
    """What a card says of a network, whatever its files; RunError when a result of the run is damaged.

    Args:
        accuracy: of the network itself, on so many test images.
    """
    card, spec = classifier.card, run_spec(run)
    advice = "delete it to export without it"
    search = read(run / "search.json", SearchResult, advice)
    training = read(run / "train.json", TrainResult, advice)
    found = training and training.search  # by another run, perhaps
    if search and not found:
        found = search.found(run, spec, card.genotype)
    searched = found.spec if found else spec
    return {
        "name": spec.name,
        "task": "image classification",
        "classes": card.classes,
        "input_size": card.input_size,
        "mean": card.mean,
        "std": card.std,
        "fit": card.data.fit,
        "range": card.range,
        "data": {**dataset.source["data"], "train_images": len(dataset.train_labels), "test_images": images},
        "test_accuracy": _accuracy(accuracy, images),
        "params": classifier.params,
        "macs": classifier.macs,
        "genotype": card.genotype,
        "search": found
        and {
            "space": searched.space.name,
            "strategy": searched.strategy.model_dump(mode="json"),
            "budget": searched.budget.model_dump(mode="json"),
            "seed": searched.seed,
            **found.model_dump(exclude={"run", "spec"}),
            "is_winner": found.place == "best",
        },
        "training": training and training.model_dump(include={"epochs", "train_seconds", "device"}),
        "environment": environment(threads=1),
    }


def _accuracy(value: float, images: int) -> dict[str, Any]:
    return {"value": value, "n": images, "interval": wilson(round(value * images), images)}


def _file(file: ExportedFile, images: int) -> dict[str, Any]:
    """Of one file, how to run it included; its format is known by its suffix."""
    name = Path(file.path).name
    _, exporter = by_suffix().get(Path(name).suffix, (None, None))
    described = file.model_dump(include={"format", "path", "bytes", "with_preprocessing", "latency_ms"})
    described["test_accuracy"] = _accuracy(file.test_accuracy, images)
    if exporter is None:
        return described
    python, javascript = exporter.python, exporter.javascript
    if file.with_preprocessing:
        python, javascript = exporter.python_pixels, exporter.javascript_pixels
    usage = {"python": python.replace("FILE", repr(name)), "javascript": javascript.replace("FILE", json.dumps(name))}
    return described | {"needs": exporter.needs} | usage


# ---- in words


def markdown(card: dict[str, Any]) -> str:
    channels, height, width = card["input_size"]
    data, files = card["data"], card["files"]
    facts = {
        "Task": f"{card['task']}, {len(card['classes'])} classes; every image gets one of them",
        "Classes": ", ".join(map(code, card["classes"])),
        "Input": f"{height}×{width} pixels, {'gray' if channels == 1 else 'RGB'}{_fitting(card['fit'], card['range'])}",
        "Data": f"{code(data['name'])}, {data['train_images']:,} training images, {data['test_images']:,} test images",
        "Test accuracy": f"{_percent(card['test_accuracy'])} (95 % interval, Wilson, n={data['test_images']:,})",
        "Size": f"{card['params']:,} parameters, {count(card['macs'])} multiply-accumulates an image",
        "Architecture": code(card["genotype"]),
        "How it was found": _found(card["search"]),
        "How it was trained": _trained(card["training"]),
    }
    rows = [f"| {_row(file)} |" for file in files]
    examples = [_example(file) for file in files if file.get("python")]
    return "\n".join(
        [
            f"# Model card: {code(card['name'])}",
            "",
            *(f"- **{name}:** {text}" for name, text in facts.items()),
            "",
            "## Files",
            "",
            "| file | size | test accuracy | one image | 64 images |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Time on one thread of {code(card['environment']['cpu'])}.",
            "",
            "## How to run them",
            "",
            f"`pixels` is a uint8 array of upright images, (N, {height}, {width}, {channels}). For a file with "
            f"preprocessing inside, height and width are free: it {WORDS[card['fit']]}resizes with an antialiased "
            f"bilinear filter. In other languages, a file without it takes float32 (N, {channels}, {height}, {width}), "
            "(pixel / 255 − mean) / std with the mean and std of model.json, and gives logits, (N, classes).",
            "",
            "From a photograph, after `pip install pillow numpy`; a file with preprocessing inside takes all of "
            "`np.asarray(image)[None]`, before the lines that fit and resize it:",
            "",
            f"```python\n{opening(Form(height, width, channels, card['fit'], card['range']))}```",
            "",
            *examples,
        ]
    )


def opening(form: Form) -> str:
    """Lines of Python that make `pixels` of the file PHOTO, as `data.picture` does but for what is transparent."""
    mode, gray = ("L", PAD) if form.channels == 1 else ("RGB", (PAD,) * 3)
    height, width, channels = form.shape
    lines = ["import numpy as np", "from PIL import Image, ImageOps"]
    lines += ["image = ImageOps.exif_transpose(Image.open(PHOTO))"]
    if form.range:
        low, high = form.range
        lines += [
            "if image.mode[0] in 'IF':  # more than 8 bits",
            f"    values = np.asarray(image).astype(float).clip({low!r}, {high!r}) - {low!r}",
            f"    image = Image.fromarray(np.floor(values * {255 / ((high - low) or 1.0)!r} + .5).astype('uint8'))",
        ]
    lines += [f"image = image.convert({mode!r})"]
    if form.fit == "crop":
        lines += [
            "w, h = image.size",
            f"wide, high = min(w, max(1, h * {width} // {height})), min(h, max(1, w * {height} // {width}))",
            "left, top = (w - wide) // 2, (h - high) // 2",
            "image = image.crop((left, top, left + wide, top + high))",
        ]
    if form.fit == "pad":
        lines += [
            "w, h = image.size",
            f"wide, high = max(w, -(-h * {width} // {height})), max(h, -(-w * {height} // {width}))",
            f"image, inside = Image.new({mode!r}, (wide, high), {gray!r}), image",
            "image.paste(inside, ((wide - w) // 2, (high - h) // 2))",
        ]
    lines += [
        f"image = image.resize(({width}, {height}), Image.Resampling.BILINEAR)",
        f"pixels = np.asarray(image).reshape(1, {height}, {width}, {channels})",
    ]
    return "".join(f"{line}\n" for line in lines)


def _fitting(fit: Fit, span: Range | None) -> str:
    fitted = {"squash": "", "crop": ", the middle of the image", "pad": ", the whole image with gray beside it"}[fit]
    return fitted + (f"; of more than 8 bits, {span[0]:g} is black and {span[1]:g} is white" if span else "")


def code(text: str) -> str:
    """A code span that shows a text as it is, whatever it is (CommonMark 0.31, 6.1)."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _percent(accuracy: dict[str, Any]) -> str:
    low, high = accuracy["interval"]
    return f"{100 * accuracy['value']:.2f} % ({100 * low:.2f} to {100 * high:.2f} %)"


def _row(file: dict[str, Any]) -> str:
    name = code(Path(file["path"]).name).replace("|", "\\|")  # what a table needs, also in a code span
    latency = [f"{file['latency_ms'][batch]['median']:.2f} ms" for batch in ("batch_1", "batch_64")]
    return " | ".join([name, f"{count(file['bytes'])}B", _percent(file["test_accuracy"]), *latency])


def _found(search: dict[str, Any] | None) -> str:
    if search is None:
        return "not by a finished search of this run"
    limits = [f"{search['budget'][unit]:g} {unit}" for unit in ("trials", "minutes") if search["budget"][unit]]
    return (
        f"{PLACES[search['place']]} a search with strategy {code(search['strategy']['name'])} "
        f"in space {code(search['space'])}: "
        f"{search['trials']:,} trials ({search['failed']:,} failed) in {duration(search['seconds'])}, "
        f"budget {' or '.join(limits)}, seed {search['seed']}"
    )


def _trained(training: dict[str, Any] | None) -> str:
    if training is None:
        return "unknown"
    time = duration(training["train_seconds"])
    return f"from scratch, {training['epochs']} epochs in {time} on {code(training['device'])}"


def _example(file: dict[str, Any]) -> str:
    name = code(Path(file["path"]).name)
    text = f"{name}, after `pip install {file['needs']}`:\n\n```python\n{file['python']}```\n"
    if file["javascript"]:
        text += "\nIn a browser or Node, after `npm install onnxruntime-web`; `pixels` is a Uint8Array of one image, "
        text += f"`card` is model.json, parsed:\n\n```js\n{file['javascript']}```\n"
    return text

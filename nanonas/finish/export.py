"""The trained network as files that run without nanonas, each checked against it before it gets its name."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import ExportError
from ..core.files import document, write_json
from ..core.say import Say
from ..data.cache import at_once
from ..data.dataset import Dataset, load_dataset
from ..devices.timing import when_busy
from ..exporters import EXPORTERS, Exporter, Metadata
from ..models.classifier import Classifier, WithPreprocessing, load_model
from ..models.inference import Model, softmax
from ..runs.directory import Log, count_test_look, locked, other_source
from ..runs.exported import ExportedFile, Latencies, exported_files, remember, sha256
from ..spec.load import override_data
from .card import describe, write_card

PARITY_IMAGES = 256
PARITY_BATCHES = (1, 2, 7)  # and the rest
MAX_ABS_DIFF = 1e-4
ROUNDINGS = 4  # so many times its own rounding error a network's file may be off, where that is more
RESIZED_DIFF = 0.01
INT8_LOSS = 0.01  # of the test accuracy


def export(
    run: Path | str,
    formats: Sequence[str] = ("onnx",),
    int8: bool = False,
    overrides: Sequence[str] = (),
    say: Say = lambda text: None,
    *,
    with_preprocessing: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Writes `exports/model.*` for each format, their model card and export.json.

    All files are tested, in one look at the test images.

    Args:
        int8: also `model-int8.*`, beside its float32 file, of the formats that have it; of ONNX when none of them has.
        overrides: `data.…=…`, such as `data.root=…` when the images have moved.
        with_preprocessing: also `model-pixels.*` for each format, which takes uint8 images and gives probabilities.
        force: keep an int8 file that loses more than a point of accuracy.

    Raises:
        UnknownName: a format that does not exist.
        ExportError: a file computes something else than the network, or an int8 file loses too much; it is not left.
    """
    run = Path(run)
    targets = targets_of(formats, int8, with_preprocessing)
    classifier = load_model(run)
    log = Log(run, say)
    with locked(run, log.say):
        dataset = load_dataset(override_data(classifier.card.data, overrides), log.say)
        if other_source(run, dataset.source):
            raise ExportError(f"these are not the data that {run} was trained on; name those with --set data.root=…")
        reference = _Reference(run, classifier, dataset)
        accuracy, images = reference.test_accuracy, len(reference.test_labels)
        description = describe(run, classifier, dataset, accuracy, images)
        folder = run / "exports"
        folder.mkdir(exist_ok=True)
        files = {entry.path: entry for entry in exported_files(run)}
        for target in targets:
            log.say(f"exporting {target.format}")
            entry = _export(target, folder, reference, None if force else files.get(f"exports/{target.float32}"))
            files[entry.path] = entry
            if busy := when_busy(entry.latency_ms.model_dump()):
                log.say(busy)
            result = document(
                "export",
                run,
                files=[file.model_dump() for file in files.values()],
                test_accuracy=accuracy,
                test_images=images,
                test_looks=reference.looks,
            )
            write_json(run / "export.json", result)  # after each file: the next may fail
            write_card(run, description, list(files.values()))
    return result


class Target(NamedTuple):
    """A file to make."""

    name: str
    exporter: Exporter
    kind: Literal["float32", "int8", "pixels"] = "float32"

    @property
    def format(self) -> str:
        return self.name if self.kind == "float32" else f"{self.name}-{self.kind}"

    @property
    def float32(self) -> str:
        return self.exporter.file_name

    @property
    def file_name(self) -> str:
        path = Path(self.float32)
        return path.name if self.kind == "float32" else f"{path.stem}-{self.kind}{path.suffix}"


def targets_of(formats: Sequence[str], int8: bool, with_preprocessing: bool) -> list[Target]:
    wanted = {name: EXPORTERS[name] for name in formats}
    if not wanted and not int8:
        raise ExportError(f"no format is named; allowed: {', '.join(EXPORTERS)}")
    if int8 and not any(exporter.quantizes for exporter in wanted.values()):
        wanted["onnx"] = EXPORTERS["onnx"]
    for exporter in wanted.values():
        exporter.check()
    targets = [Target(name, exporter) for name, exporter in wanted.items()]
    if with_preprocessing:
        other = next((name for name in wanted if not wanted[name].takes_pixels), None)
        if other is not None:
            able = ", ".join(name for name in EXPORTERS if EXPORTERS[name].takes_pixels)
            raise ExportError(f"{other} has no file with preprocessing; allowed: {able}")
        targets += [Target(name, exporter, "pixels") for name, exporter in wanted.items()]
    if int8:  # last, since it may be refused
        targets += [Target(name, exporter, "int8") for name, exporter in wanted.items() if exporter.quantizes]
    return targets


class _Reference:
    """What the network itself says of 256 training images and of the test images: files are held against it."""

    def __init__(self, run: Path, classifier: Classifier, dataset: Dataset) -> None:
        self.classifier = classifier
        self.model = classifier.as_model()
        self.model.check_fit(dataset)
        self.pixels = training_pixels(dataset)
        self.images = torch.from_numpy(self.model.inputs(self.pixels))
        self.logits = self.model.outputs(self.pixels)
        self.looks = count_test_look(run, "export")
        self.test_pixels, self.test_labels = dataset.test()
        self.test_accuracy = self.accuracy(self.model)

    def rounding(self) -> float:
        return rounding(self.classifier.network, self.images)

    def accuracy(self, model: Model) -> float:
        return float((model.outputs(self.test_pixels).argmax(1) == self.test_labels).mean())


def training_pixels(dataset: Dataset) -> np.ndarray:
    """256 training images, (N, H, W, C) uint8: to check a file and to calibrate int8 without a look at test data."""
    rows = np.random.default_rng(0).permutation(len(dataset.train_labels))[:PARITY_IMAGES]
    return np.array(dataset.train_images[np.sort(rows)])


def metadata_of(classifier: Classifier, with_preprocessing: bool = False) -> Metadata:
    """What a file needs to be used, and to be found again."""
    card = classifier.card.model_dump()
    fields = {key: card[key] for key in card.keys() & Metadata.model_fields.keys()}
    return Metadata(**fields, params=classifier.params, macs=classifier.macs, with_preprocessing=with_preprocessing)


def _export(target: Target, folder: Path, reference: _Reference, float32: ExportedFile | None) -> ExportedFile:
    """Raises ExportError when an int8 file is too far behind `float32`; with None it may be."""
    path = folder / target.file_name
    temporary = path.with_name(f".new-{path.name}")  # keeps the suffix, which some formats insist on
    try:
        metadata = _write(target, reference, temporary)
        model = Model.of_file(target.exporter.read(temporary), metadata)
        expected = softmax(reference.logits) if target.kind == "pixels" else reference.logits
        difference, agreement = parity(expected, in_batches(model, reference.pixels))
        if target.kind != "int8":
            check_parity(target.format, difference, agreement, len(expected), reference.rounding)
        if target.kind == "pixels":
            _check_resizing(target.format, model, reference)
        accuracy = reference.accuracy(model)
        if target.kind == "int8" and float32 is not None:
            check_loss(target.file_name, accuracy, float32, len(reference.test_labels))
        latency = model.latency_ms()
        digest = sha256(temporary)
        remember(digest)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return ExportedFile(
        format=target.format,
        path=f"{folder.name}/{path.name}",
        bytes=path.stat().st_size,
        sha256=digest,
        max_abs_diff=difference,
        top1_agreement=agreement,
        test_accuracy=accuracy,
        with_preprocessing=metadata.with_preprocessing,
        latency_ms=Latencies.model_validate(latency),
    )


def _write(target: Target, reference: _Reference, path: Path) -> Metadata:
    classifier, images = reference.classifier, reference.images
    network, exporter = classifier.network.eval(), target.exporter
    metadata = metadata_of(classifier, with_preprocessing=target.kind == "pixels")
    if target.kind == "int8":
        exporter.write_int8(network, images, path, metadata.texts())
    elif target.kind == "pixels":
        channels, height, width = classifier.card.input_size
        # of another size than the network's, so that resizing is part of what is traced
        example = torch.zeros(2, height + 3, width + 5, channels, dtype=torch.uint8)
        exporter.write(WithPreprocessing(network, classifier.card).eval(), example, path, metadata.texts())
    else:
        exporter.write(network, images[:2].clone(), path, metadata.texts())
    return metadata


def in_batches(model: Model, pixels: np.ndarray) -> np.ndarray:
    """What a model gives for (N, H, W, C) uint8, in batches of 1, 2, 7 and the rest, or as many as fit into memory."""
    count = at_once(pixels.shape[1] * pixels.shape[2], len(pixels))
    ends = np.cumsum(PARITY_BATCHES)
    parts = np.split(pixels, [*ends, *range(ends[-1] + count, len(pixels), count)])
    return np.concatenate([model.run(model.inputs(part)) for part in parts if len(part)])


def parity(expected: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """The largest difference of two arrays of scores, and the share of rows with equal top-1 classes."""
    return float(np.abs(expected - found).max()), float((expected.argmax(1) == found.argmax(1)).mean())


def rounding(network: nn.Module, images: Tensor) -> float:
    """How far its scores are from those that it would compute in float64; most networks' are off by some 1e-6.

    Where a batch norm gets a constant, its variance is zero: it makes rounding errors 300 times as large.

    Args:
        images: (N, C, H, W) float32, preprocessed.
    """
    exact = copy.deepcopy(network).double()
    parts = images.split(at_once(images.shape[2] * images.shape[3], len(images)))
    with torch.inference_mode():
        return max(float((exact(part.double()) - network(part)).abs().max()) for part in parts)


def check_parity(
    name: str, difference: float, agreement: float, images: int, rounding: Callable[[], float] = lambda: 0.0
) -> None:
    """Raises ExportError when outputs are more than 1e-4 apart, or the class of any image is another.

    Args:
        rounding: the network's own rounding error; they may be four times as far apart as that.
    """
    close = difference <= MAX_ABS_DIFF
    allowed = MAX_ABS_DIFF if close else max(MAX_ABS_DIFF, ROUNDINGS * rounding())
    if not difference <= allowed or agreement < 1:  # not (… <= …): NaN fails too
        raise ExportError(
            f"{name}: the file computes something else than the network: outputs differ by up to {difference:.2g} "
            f"(allowed {allowed:.2g}), top-1 agrees on {agreement:.2%} of {images} images; no file was left"
        )


def _check_resizing(name: str, model: Model, reference: _Reference) -> None:
    """Raises ExportError when images of another size get other probabilities than after `Classifier.preprocess`.

    On average over images: where the two round differently, a pixel is one of 256 levels off.
    """
    width = reference.pixels.shape[2]
    other = reference.pixels.repeat(2, axis=1)[:, :, : -(-3 * width // 4)]  # twice as high, three quarters as wide
    count = at_once(other.shape[1] * other.shape[2], len(other))
    with torch.inference_mode():
        parts = [reference.classifier.preprocess(other[i : i + count]) for i in range(0, len(other), count)]
        expected = np.concatenate([reference.classifier(part).softmax(1).numpy() for part in parts])
    difference = np.abs(expected - in_batches(model, other)).max(1).mean()
    if not difference <= RESIZED_DIFF:
        raise ExportError(
            f"{name}: the file resizes images in another way than nanonas: probabilities differ by {difference:.2g} on "
            f"average (allowed {RESIZED_DIFF:g}); no file was left"
        )


def check_loss(name: str, accuracy: float, float32: ExportedFile, images: int) -> None:
    """Raises ExportError when int8 loses more than a point of test accuracy against its float32 file."""
    loss = round((float32.test_accuracy - accuracy) * images)  # in images, which are whole: a point is allowed
    if loss > INT8_LOSS * images:
        raise ExportError(
            f"{name} is right on {accuracy:.2%} of {images:,} test images, {Path(float32.path).name} on "
            f"{float32.test_accuracy:.2%}: more than a point is lost, so it was not written; --force writes it anyway"
        )

"""The trained network as files that run without nanonas, each checked against it before it gets its name."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from .classifier import Classifier, load_model
from .data import load_dataset
from .dataset_cache import cache_dir
from .errors import ExportError, RunError
from .exporters import EXPORTERS, Exporter, Metadata
from .profile import latency_ms
from .run_directory import Log, document, locked, read_json, write_json
from .spec import override_data
from .training import threads

PARITY_IMAGES = 256
MAX_ABS_DIFF = 1e-4
Write = Callable[[Classifier, torch.Tensor, Path], None]


def export(
    run: Path | str,
    formats: Sequence[str] = ("onnx",),
    int8: bool = False,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Writes `exports/model.*` for each format (and `model-int8.onnx`) and export.json.

    Args:
        overrides: `data.…=…`, such as `data.root=…` when the images have moved.

    Raises:
        UnknownName: a format that does not exist.
        ExportError: a file computes something else than the network; it is not left behind.
    """
    run = Path(run)
    exporters = {name: EXPORTERS[name] for name in dict.fromkeys(formats)}
    classifier = load_model(run)
    log = Log(run, say)
    with locked(run):
        images = parity_images(classifier, overrides, log.say)
        folder = run / "exports"
        folder.mkdir(exist_ok=True)
        files = {entry["path"]: entry for entry in exported_files(run)}
        work = [_Target(name, each.file_name, _writer(each), each) for name, each in exporters.items()]
        if int8:
            from .quantization import write_int8

            work.append(_Target("onnx-int8", "model-int8.onnx", write_int8, EXPORTERS["onnx"], is_exact=False))
        for target in work:
            log.say(f"exporting {target.format}")
            entry = _export(target, folder, classifier, images)
            files[entry["path"]] = entry
            result = document("export", run, files=list(files.values()))
            write_json(run / "export.json", result)  # after each file: the next may fail
    return result


class _Target(NamedTuple):
    """A file to make. One that is not exact cannot pass the gate: how far it is off is reported instead."""

    format: str
    file_name: str
    write: Write
    exporter: Exporter  # reads it back
    is_exact: bool = True


class ExportedFile(BaseModel):
    """An entry of export.json."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    format: str
    path: str
    bytes: int
    sha256: str
    max_abs_diff: float
    top1_agreement: float
    latency_ms: dict[str, dict[str, float]]


def exported_files(run: Path) -> list[dict[str, Any]]:
    """What export.json lists and is still there; RunError when it is damaged."""
    if not (run / "export.json").exists():
        return []
    try:
        files = TypeAdapter(list[ExportedFile]).validate_python(read_json(run / "export.json").get("files"))
    except ValidationError as error:
        raise RunError(
            f"{run / 'export.json'} is damaged: {error.errors()[0]['msg']}; delete it and export again"
        ) from None
    return [entry.model_dump() for entry in files if (run / "exports" / Path(entry.path).name).exists()]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made_here(digest: str) -> bool:
    """Whether this user's `export` wrote this file. A run directory cannot say so: it may come from a stranger."""
    return (cache_dir() / "exported" / digest).exists()


def _remember(digest: str) -> None:
    place = cache_dir() / "exported"
    with suppress(OSError):  # a cache that cannot be written: eval will ask for --trust
        place.mkdir(parents=True, exist_ok=True)
        (place / digest).touch()


def parity_images(
    classifier: Classifier, overrides: Sequence[str] = (), say: Callable[[str], None] = lambda text: None
) -> torch.Tensor:
    """256 real images, preprocessed; from the training part, so that no look at test data is spent on them."""
    dataset = load_dataset(override_data(classifier.card.data, overrides), say)
    rows = np.random.default_rng(0).permutation(len(dataset.train_labels))[:PARITY_IMAGES]
    return classifier.preprocess(np.asarray(dataset.train_images[np.sort(rows)]))


def metadata_of(classifier: Classifier) -> Metadata:
    """What a file needs to be used, and to be found again."""
    card = classifier.card.model_dump()
    fields = {key: card[key] for key in card.keys() & Metadata.model_fields.keys()}
    return Metadata(**fields, params=classifier.params, macs=classifier.macs)


def _writer(exporter: Exporter) -> Write:
    def write(classifier: Classifier, images: torch.Tensor, path: Path) -> None:
        exporter.write(classifier.network.eval(), images[:2].clone(), path, metadata_of(classifier).texts())

    return write


def _export(target: _Target, folder: Path, classifier: Classifier, images: torch.Tensor) -> dict[str, Any]:
    path = folder / target.file_name
    temporary = path.with_name(f".new-{path.name}")  # keeps the suffix, which some formats insist on
    try:
        target.write(classifier, images, temporary)
        model = target.exporter.read(temporary)
        logits = np.concatenate([model.run(part.numpy()) for part in (images[:1], images[1:8], images[8:])])
        difference, agreement = parity(classifier, images, logits)
        if target.is_exact:
            check_parity(target.format, difference, agreement)
        with threads(1):
            latency = latency_ms(model.run, classifier.card.input_size)
        digest = sha256(temporary)
        _remember(digest)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    entry = ExportedFile(
        format=target.format,
        path=f"{folder.name}/{path.name}",
        bytes=path.stat().st_size,
        sha256=digest,
        max_abs_diff=difference,
        top1_agreement=agreement,
        latency_ms={batch: dict(times) for batch, times in latency.items()},
    )
    return entry.model_dump()


@torch.inference_mode()
def parity(classifier: Classifier, images: torch.Tensor, logits: np.ndarray) -> tuple[float, float]:
    """The largest difference of the logits, and the share of equal top-1 classes."""
    expected = classifier.eval()(images).numpy()
    return float(np.abs(expected - logits).max()), float((expected.argmax(1) == logits.argmax(1)).mean())


def check_parity(name: str, difference: float, agreement: float) -> None:
    """Raises ExportError when outputs are more than 1e-4 apart, or the class of any image is another."""
    if not difference <= MAX_ABS_DIFF or agreement < 1:  # not (… <= …): NaN fails too
        raise ExportError(
            f"{name}: the file computes something else than the network: outputs differ by up to {difference:.2g} "
            f"(allowed {MAX_ABS_DIFF:g}), top-1 agrees on {agreement:.2%} of {PARITY_IMAGES} images; no file was left"
        )

"""The trained network as files that run without nanonas, each checked against it before it gets its name."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from .classifier import Classifier, load_model
from .data import load_dataset
from .errors import ExportError, RunError
from .exporters import EXPORTERS, Exporter
from .profile import latency_ms
from .run_directory import document, locked, log, read_json, write_json
from .training import threads

PARITY_IMAGES = 256
MAX_ABS_DIFF = 1e-4


def export(
    run: Path | str,
    formats: Sequence[str] = ("onnx",),
    int8: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Writes `exports/model.*` for each format (and `model-int8.onnx`) and export.json.

    Raises:
        UnknownName: a format that does not exist.
        ExportError: a file computes something else than the network; it is not left behind.
    """
    run = Path(run)
    exporters = {name: EXPORTERS[name] for name in dict.fromkeys(formats)}
    classifier = load_model(run)
    with locked(run):
        images = parity_images(classifier, say)
        folder = run / "exports"
        folder.mkdir(exist_ok=True)
        files = {entry["path"]: entry for entry in exported_files(run)}
        for name, exporter in exporters.items():
            say(f"exporting {name}")
            entry = _export(name, exporter, classifier, images, folder, say)
            files[entry["path"]] = entry
        if int8:
            from .quantization import export_int8

            entry = export_int8(classifier, folder, say)
            files[entry["path"]] = entry
        result = document("export", run, files=list(files.values()))
        write_json(run / "export.json", result)
        log(run, f"exported {', '.join(files)}")
    return result


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


def parity_images(classifier: Classifier, say: Callable[[str], None]) -> torch.Tensor:
    """256 real images, preprocessed; from the training part, so that no look at test data is spent on them."""
    dataset = load_dataset(classifier.card.data, say)
    rows = np.random.default_rng(0).permutation(len(dataset.train_labels))[:PARITY_IMAGES]
    return classifier.preprocess(np.asarray(dataset.train_images[np.sort(rows)]))


def metadata_of(classifier: Classifier) -> dict[str, str]:
    """What a file needs to be used, and to be found again: each value is JSON."""
    card = classifier.card.model_dump(mode="json")
    fields = {key: card[key] for key in ("classes", "mean", "std", "input_size", "data", "genotype")}
    fields |= {"params": classifier.params, "macs": classifier.macs}
    return {key: json.dumps(value) for key, value in fields.items()}


def _export(
    name: str,
    exporter: Exporter,
    classifier: Classifier,
    images: torch.Tensor,
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    path = folder / exporter.file_name
    temporary = folder / f".new-{exporter.file_name}"  # keeps the suffix, which some formats insist on
    try:
        exporter.write(classifier.network.eval(), images[:2].clone(), temporary, metadata_of(classifier))
        model = exporter.read(temporary)
        logits = np.concatenate([model.run(part.numpy()) for part in (images[:1], images[1:8], images[8:])])
        difference, agreement = check_parity(name, classifier, images, logits)
        with threads(1):
            latency = latency_ms(model.run, classifier.card.input_size)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return {
        "format": name,
        "path": f"{folder.name}/{path.name}",
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "max_abs_diff": difference,
        "top1_agreement": agreement,
        "latency_ms": latency,
    }


@torch.inference_mode()
def check_parity(name: str, classifier: Classifier, images: torch.Tensor, logits: np.ndarray) -> tuple[float, float]:
    """The largest difference of the logits, and the share of equal top-1 classes.

    Raises:
        ExportError: more than 1e-4 apart, or another class for any image.
    """
    expected = classifier.eval()(images).numpy()
    difference = float(np.abs(expected - logits).max())
    agreement = float((expected.argmax(1) == logits.argmax(1)).mean())
    if not difference <= MAX_ABS_DIFF or agreement < 1:  # not (… <= …): NaN fails too
        raise ExportError(
            f"{name}: the file computes something else than the network: outputs differ by up to {difference:.2g} "
            f"(allowed {MAX_ABS_DIFF:g}), top-1 agrees on {agreement:.2%} of {len(images)} images; no file was left"
        )
    return difference, agreement

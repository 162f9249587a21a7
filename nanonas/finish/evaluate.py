"""How good is it: accuracy, calibration and latency, of a run's network or of an exported file."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ExportError, NanonasError, RunError
from ..core.files import document, write_json
from ..core.say import Say
from ..data.dataset import Dataset, load_dataset
from ..devices.environment import environment
from ..devices.timing import when_busy
from ..exporters import Metadata, by_suffix, reason
from ..models.classifier import load_model
from ..models.inference import Model
from ..runs.directory import Log, check_contents, count_test_look, locked, other_source
from ..runs.exported import exported_files, made_here, sha256
from ..spec.load import override_data

CALIBRATION_BINS = 15


def evaluate(
    target: Path | str,
    overrides: Sequence[str] = (),
    trust: bool = False,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Evaluates a run directory (and writes its eval.json) or an exported model file on the test images.

    Args:
        overrides: `data.…=…`, such as `data.root=…` when the images have moved.
        trust: load a file that can hold code (TorchScript, pt2, ExecuTorch) though it is not in its run, or was not
            exported here.

    Raises:
        ExportError: the file is damaged, of no known format, or not trusted.
    """
    target = Path(target)
    if target.is_file():
        return _evaluate_file(target, overrides, trust, say)
    if target.suffix in by_suffix():
        raise RunError(f"{target} does not exist; files are made by: nanonas export RUN --format onnx")
    return _evaluate_run(target, overrides, say)


def _evaluate_run(run: Path, overrides: Sequence[str], say: Say) -> dict[str, Any]:
    classifier = load_model(run)
    card, log = classifier.card, Log(run, say)
    model = Model.of_network(classifier)
    dataset = load_dataset(override_data(card.data, overrides), log.say, testing=True)
    model.check_fit(dataset)
    with locked(run, log.say):
        looks = count_test_look(run, "eval")
        result = document(
            "eval",
            run,
            genotype=card.genotype,
            **_measured(model, dataset, say),
            params=classifier.params,
            macs=classifier.macs,
            test_looks=looks,
            **dataset.source,
            environment=environment(threads=1),
        )
        if not other_source(run, dataset.source):
            write_json(run / "eval.json", result)
        else:
            log.say(f"warning: these are not the data that {run} was trained on; its eval.json stays as it is")
        log.note(f"evaluated: test accuracy {result['test_accuracy']:.4f}")
    return result


def _evaluate_file(path: Path, overrides: Sequence[str], trust: bool, say: Say) -> dict[str, Any]:
    name, exporter = by_suffix().get(path.suffix, (None, None))
    if name is None or exporter is None:
        raise ExportError(f"{path} is of no known format; allowed: {', '.join(by_suffix())}, or a run directory")
    run = _run_of(path)
    if exporter.holds_code and not trust and (run is None or not made_here(sha256(path))):
        doubt = "no run directory around it lists it" if run is None else "it was not exported on this machine"
        raise ExportError(f"{path} can hold code, and {doubt}; add --trust if you know who made it")
    file = exporter.read(path)
    metadata = Metadata.of(file.metadata, path)
    model = Model.of_file(file, metadata)
    dataset = load_dataset(override_data(metadata.data, overrides), say, testing=True)
    model.check_fit(dataset)
    with locked(run, say) if run else nullcontext():
        looks = count_test_look(run, "eval") if run else None
        try:
            measured = _measured(model, dataset, say)
        except NanonasError:
            raise
        except Exception as error:  # whatever a runtime raises for a file that loads and does not run
            raise ExportError(f"{path} loads but does not run: {reason(error)}") from None
    return document(
        "eval",
        run or path.parent,
        file=f"exports/{path.name}" if run else path.name,
        format=name,
        bytes=path.stat().st_size,
        genotype=metadata.genotype,
        **measured,
        params=metadata.params,
        macs=metadata.macs,
        test_looks=looks,
        **dataset.source,
        environment=environment(threads=1),
    )


def _measured(model: Model, dataset: Dataset, say: Say) -> dict[str, Any]:
    """Accuracy, accuracy of each class and calibration on the test images, one view of each; latency on one thread."""
    pixels, labels = dataset.test()
    say(f"evaluating {len(labels):,} test images")
    outputs = model.outputs(pixels)
    right = outputs.argmax(1) == labels
    say("measuring latency")
    latency = model.latency_ms()
    if busy := when_busy(latency):
        say(busy)
    return {
        "test_accuracy": float(right.mean()),
        "test_images": len(labels),
        "per_class": {name: float(right[labels == i].mean()) for i, name in enumerate(dataset.classes)},
        "ece": expected_calibration_error(model.probabilities(outputs).max(1), right),
        "latency_ms": latency,
    }


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, weighted by size (Guo et al. 2017)."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins)]
    return float(sum(gaps) / len(right))


def _run_of(path: Path) -> Path | None:
    """The run directory around a file, if it lists it, unchanged."""
    run = path.absolute().parent.parent
    if path.absolute().parent.name != "exports" or not (run / "spec.yaml").is_file():
        return None
    check_contents(run)
    listed = [entry for entry in exported_files(run) if entry.path == f"exports/{path.name}"]
    unchanged = any(entry.bytes == path.stat().st_size and entry.sha256 == sha256(path) for entry in listed)
    return (path.parent.parent if path.parent.name else run) if unchanged else None

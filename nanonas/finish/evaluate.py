"""How good is it: accuracy, calibration and latency, of a run's network or of an exported file."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import document, write_json
from ..core.say import Say
from ..data.dataset import Dataset, load_dataset
from ..devices.environment import environment
from ..devices.timing import when_busy
from ..models.classifier import load_model
from ..models.exported import is_model_file, open_file
from ..models.inference import Model
from ..runs.directory import Log, count_test_look, locked, other_source
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
    if is_model_file(target):
        return _evaluate_file(target, overrides, trust, say)
    return _evaluate_run(target, overrides, say)


def _evaluate_run(run: Path, overrides: Sequence[str], say: Say) -> dict[str, Any]:
    classifier = load_model(run)
    card, log = classifier.card, Log(run, say)
    model = classifier.as_model()
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
    opened = open_file(path, trust)
    metadata, model, run = opened.metadata, opened.model, opened.run
    dataset = load_dataset(override_data(metadata.data, overrides), say, testing=True)
    model.check_fit(dataset)
    with locked(run, say) if run else nullcontext():
        looks = count_test_look(run, "eval") if run else None
        with opened.running():
            measured = _measured(model, dataset, say)
    return document(
        "eval",
        run or path.parent,
        **opened.place,
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

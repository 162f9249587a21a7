"""How good is it: accuracy, calibration and latency, of a run's network or of an exported file."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..core.classification import expected_calibration_error, judged
from ..core.errors import RunError
from ..core.files import document, write_json
from ..core.say import Say
from ..data.dataset import DataConfig, Dataset, load_dataset
from ..devices.environment import environment
from ..devices.timing import when_busy
from ..models.classifier import load_model
from ..models.exported import is_model_file, open_file
from ..models.inference import Model
from ..pages import check_page, write_page
from ..runs.directory import Log, count_test_look, locked, other_source, run_spec
from ..spec.load import override_data
from ..training.recipe import Progress
from .answers import Answers
from .mistakes import Evaluated, mistakes_page
from .mistakes.pictures import Pictures, Room
from .second_look import SecondLook, told


def evaluate(
    target: Path | str,
    overrides: Sequence[str] = (),
    trust: bool = False,
    say: Say = lambda text: None,
    html: Path | str | None = None,
    second_look: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Evaluates a run directory (and writes its eval.json) or an exported model file on the test images.

    Args:
        overrides: `data.…=…`, such as `data.root=…` when the images have moved.
        trust: load a file that can hold code (TorchScript, pt2, ExecuTorch) though it is not in its run, or was not
            exported here.
        html: a page of what it gets wrong is written there, too.
        second_look: whether labels of training images are judged by networks that are trained for that, of a run only.

    Raises:
        ExportError: the file is damaged, of no known format, or not trusted.
        RunError: `html` is a file that is no page of ours; a second look is wanted of a file.
    """
    target, html = Path(target), None if html is None else Path(html)
    if html is not None:
        check_page(html)  # before anything is measured
    if is_model_file(target):
        if second_look:
            raise RunError(f"a second look trains the network of a run, and {target} is a file; name the run directory")
        return _evaluate_file(target, overrides, trust, say, html)
    return _evaluate_run(target, overrides, say, html, second_look, on_progress)


def _evaluate_run(
    run: Path,
    overrides: Sequence[str],
    say: Say,
    html: Path | None,
    second_look: bool,
    on_progress: Callable[[Progress], None],
) -> dict[str, Any]:
    classifier = load_model(run)
    card, log = classifier.card, Log(run, say)
    model = classifier.as_model()
    data = override_data(card.data, overrides)
    dataset = load_dataset(data, log.say, testing=True)
    model.check_fit(dataset)
    with locked(run, log.say):
        doubted, doubts, doubtful = None, {}, []
        if second_look:
            look = SecondLook(run, card, dataset, run_spec(run), log.say)
            doubted = look.take(on_progress)
            doubts["second_look"], found = told(look, doubted)
            doubtful = found.tolist()
        looks = count_test_look(run, "eval")
        measured, answers = _measured(model, dataset, say)
        result = document(
            "eval",
            run,
            genotype=card.genotype,
            **measured,
            **doubts,
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
    if html is not None:
        _write_page(html, result, answers, dataset, data, doubted, doubtful)
    return result


def _evaluate_file(path: Path, overrides: Sequence[str], trust: bool, say: Say, html: Path | None) -> dict[str, Any]:
    opened = open_file(path, trust)
    metadata, model, run = opened.metadata, opened.model, opened.run
    data = override_data(metadata.data, overrides)
    dataset = load_dataset(data, say, testing=True)
    model.check_fit(dataset)
    with locked(run, say) if run else nullcontext():
        looks = count_test_look(run, "eval") if run else None
        with opened.running():
            measured, answers = _measured(model, dataset, say)
    result = document(
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
    if html is not None:
        _write_page(html, result, answers, dataset, data)
    return result


def _measured(model: Model, dataset: Dataset, say: Say) -> tuple[dict[str, Any], Answers]:
    """Measures of the whole, of each class and of confidence on the test images, one view of each, and the answers that
    they are of; latency on one thread."""
    pixels, labels = dataset.test()
    say(f"evaluating {len(labels):,} test images")
    probabilities = model.probabilities(model.outputs(pixels))
    answers = Answers(dataset.classes, labels, probabilities, dataset.test_names())
    right = answers.predicted == labels
    measures = judged(probabilities, labels, dataset.classes)
    say("measuring latency")
    latency = model.latency_ms()
    if busy := when_busy(latency):
        say(busy)
    measured = {
        "test_accuracy": float(right.mean()),
        "test_images": len(labels),
        "per_class": {one["name"]: one["recall"] for one in measures["classes"] if one["n"]},
        "ece": expected_calibration_error(probabilities.max(1), right),
        "latency_ms": latency,
    }
    return measured | measures, answers


def _write_page(
    html: Path,
    result: dict[str, Any],
    answers: Answers,
    dataset: Dataset,
    data: DataConfig,
    doubted: Answers | None = None,
    doubtful: Sequence[int] = (),
) -> None:
    room = Room()
    pictures = Pictures(dataset.test()[0], answers.names, data, dataset.range, room)
    training = Pictures(dataset.train_images, dataset.train_names(), data, dataset.range, room)
    write_page(html, mistakes_page(Evaluated(result, answers, pictures, doubted, doubtful, training), html))

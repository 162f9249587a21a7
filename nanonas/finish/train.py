"""The last training: the winner from scratch on train + validation, tested once."""

import copy
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, ValidationError

from ..core.classification import judged
from ..core.errors import EvaluationError, RunError
from ..core.files import check_version, document, read, read_json, write_json, write_text
from ..core.genotype import Genotype
from ..core.problem import check_connected
from ..core.say import Say
from ..core.space import SearchSpace
from ..core.trial import training_seed
from ..data.dataset import Dataset, load_dataset
from ..data.images import Images
from ..devices.compute import memory_checked, seeded, select_device
from ..devices.environment import environment
from ..devices.machine import AdaptiveThreads
from ..engine.results import best_trial, read_trials
from ..models.classifier import Card, Classifier, save_model
from ..networks.weights import load_tensors, save_tensors
from ..runs.directory import (
    Log,
    check_source,
    check_target,
    count_test_look,
    locked,
    other_source,
    run_spec,
    write_environment,
)
from ..runs.record import Found, SearchResult, TrainResult
from ..spaces import SPACES
from ..spec.load import override_spec
from ..spec.schema import Spec, differences
from ..training.predict import predict, score
from ..training.recipe import Progress
from ..training.trainer import Trainer, parts_of_a_batch, threads_pay

CHECKPOINT = "checkpoint.safetensors"
CALIBRATION_STEPS = 6
FIT_SECONDS = 20  # within an epoch, after which the steps are fitted to the minutes again
SAVING = 0.02  # the most of the time that checkpoints may take
TRAINED_BY = ("seed", "device", "data", "space", "train")  # of a spec, what makes two trainings the same


def train(
    run: Path | str,
    genotype: str | None = None,
    overrides: Sequence[str] = (),
    out: Path | str | None = None,
    say: Say = lambda text: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Trains the best architecture of a search (or `genotype`), tests it once, and writes model and train.json.

    A killed training goes on from the last epoch that was saved; a finished one is returned as it is.

    Raises:
        RunError: the run has no finished trial, or holds the training of another genotype, seed or setting.
    """
    run, target = Path(run), Path(out or run)
    searched = run_spec(run)
    spec = override_spec(searched, overrides)
    if target != run:
        _check_other(target, spec)
    chosen, done = _chosen(run, target, spec, genotype)
    if done is not None:
        return done
    log = Log(target, say)
    known = (*TRAINED_BY, "objectives")  # the last say which is the winner
    unread = [key for key in Spec.model_fields if key not in known and getattr(spec, key) != getattr(searched, key)]
    if unread:
        log.say(f"warning: --set changes {', '.join(unread)}, but training reads only {', '.join(TRAINED_BY)}")
    device = select_device(spec.device)
    dataset = load_dataset(spec.data, log.say)
    if spec.data == searched.data:
        if target == run:
            check_source(run, dataset.source)
        elif other_source(run, dataset.source, "environment.json"):
            log.say(f"warning: {run} was begun on other data; this training is on what lies there now")
    target.mkdir(parents=True, exist_ok=True)
    with locked(target, log.say):
        chosen, done = _chosen(run, target, spec, genotype)  # once more: a search or a training may have ended just now
        if done is not None:
            return done
        if not (target / "environment.json").exists():
            write_environment(target, torch.get_num_threads(), dataset.source)
        if not (target / "spec.yaml").exists():
            write_text(target / "spec.yaml", spec.text())
        search = read(run / "search.json", SearchResult)
        found = search.found(run, searched, str(chosen)) if search else None
        smaller = f"--set train.batch_size={max(1, spec.train.batch_size // 2)}"
        with memory_checked(f"; train with fewer images at a time: {smaller}"):
            return _Training(target, spec, chosen, dataset, device, log, on_progress, found).result()


def _chosen(run: Path, target: Path, spec: Spec, text: str | None) -> tuple[Genotype, dict[str, Any] | None]:
    """What is to be trained, and the result where that is done."""
    space = SPACES[spec.space.name](spec.space)
    genotype = space.parse(text) if text else _winner(run, spec, space)
    check_connected(genotype, space)
    return genotype, _done(target, spec, genotype)


def _winner(run: Path, spec: Spec, space: SearchSpace) -> Genotype:
    best = best_trial(read_trials(run, space), spec)
    if best is not None:
        return best.genotype
    if (run / "train.json").exists():  # a run that `train --out` made
        return space.parse(str(read_json(run / "train.json").get("genotype")))
    if (run / CHECKPOINT).exists():
        raise RunError(
            f"{run} holds a training that is not done; type the command again that began it, with --out {run}"
        )
    raise RunError(f"{run} has no finished trial yet; run: nanonas search --spec {run / 'spec.yaml'} --out {run}")


def _request(spec: Spec, genotype: Genotype) -> dict[str, Any]:
    content = spec.model_dump(mode="json")
    return {"genotype": str(genotype), **{key: content[key] for key in TRAINED_BY}}


def _as_now(request: Any, spec: Spec) -> dict[str, Any]:
    """A request in a file, also of a version that knew fewer settings: those had their defaults."""
    told = request if isinstance(request, dict) else {}
    settings = {key: told[key] for key in TRAINED_BY if key in told}
    try:
        content = Spec.model_validate(spec.model_dump(mode="json") | settings).model_dump(mode="json")
    except ValidationError:  # of another training, then
        return told
    return told | {key: content[key] for key in settings}


def _check_other(target: Path, spec: Spec) -> None:
    """Raises RunError when `--out` names something that is neither new nor a training of this spec."""
    check_target(target)
    if (target / "trials.jsonl").exists():
        raise RunError(f"{target} holds a search of its own; choose another --out")
    if (target / "spec.yaml").exists() and not (target / "train.json").exists():
        changed = differences(run_spec(target), spec)
        if changed:
            raise RunError(
                f"{target} holds a training of another spec ({'; '.join(changed[:5])}); choose another --out"
            )


def _done(target: Path, spec: Spec, genotype: Genotype) -> dict[str, Any] | None:
    """The result of a finished training; RunError when it was another than the wanted one."""
    if not (target / "train.json").exists():
        return None
    result = read_json(target / "train.json")
    done, wanted = _as_now(result.get("request"), spec), _request(spec, genotype)
    changed = [key for key in wanted if done.get(key) != wanted[key]]
    if changed:
        raise RunError(f"{target} holds a training with another {', '.join(changed)}; choose another --out")
    read(target / "train.json", TrainResult, "delete it to train again")
    return result | {"run": str(target)}  # which may have been moved since


class _State(BaseModel):
    """What a checkpoint says beside its tensors."""

    request: str
    epoch: Annotated[int, Field(ge=0)]
    progress: Annotated[float, Field(ge=0, le=1)]
    steps_left: Annotated[float, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    history: list[dict[str, int | float]]
    crowded_steps: Annotated[int, Field(ge=0)] = 0


class _Training:
    """One training, resumable at the end of an epoch: of every one, unless checkpoints take too long for that."""

    def __init__(
        self,
        target: Path,
        spec: Spec,
        genotype: Genotype,
        dataset: Dataset,
        device: torch.device,
        log: Log,
        on_progress: Callable[[Progress], None],
        found: Found | None,
    ) -> None:
        self.target, self.spec, self.genotype, self.dataset = target, spec, genotype, dataset
        self.log, self.on_progress, self.found = log, on_progress, found
        self.checkpoint = target / CHECKPOINT
        self.request = _request(spec, genotype)
        self.history: list[dict[str, int | float]] = []
        self.seconds = self.save_due = 0.0
        self.told_of_others = False
        key = SPACES[spec.space.name](spec.space).canonical(genotype)
        self.seed = training_seed(spec.seed, key, "train")
        with seeded(self.seed):
            self.classifier = Classifier(Card.of(genotype, spec.space, dataset, spec.data))
        images = Images.of(dataset.train_images, dataset.train_labels, dataset.mean, dataset.std, device)
        pays = device.type == "cpu" and threads_pay(self.classifier.macs, self._batch_size(images))
        self.threads = torch.get_num_threads() if pays else 1
        self.adaptive = AdaptiveThreads(self.threads)
        self.trainer = self._trainer(self.classifier.network, images)

    def result(self) -> dict[str, Any]:
        self.log.note(f"training {self.genotype}")
        resumed = self._resume()
        tested = resumed and self.trainer.done  # perhaps: a kill came between the last epoch and train.json
        start = time.monotonic() - self.seconds
        if self.spec.train.minutes is not None and not resumed:
            self._fit_steps(self._calibrate(), time.monotonic() - start)
        while not self.trainer.done:
            self._epoch(start)
        if not all(tensor.isfinite().all() for tensor in self.classifier.network.state_dict().values()):
            raise EvaluationError(f"training ended with weights that are no finite numbers; {self._slower}")
        for told_of_another in ("eval.json", "export.json"):
            (self.target / told_of_another).unlink(missing_ok=True)
        save_model(self.target, self.classifier)
        looks, accuracy, averaged, measures = self._test(tested)
        result = document(
            "train",
            self.target,
            genotype=str(self.genotype),
            test_accuracy=accuracy,
            test_accuracy_tta=averaged,
            **measures,
            params=self.classifier.params,
            macs=self.classifier.macs,
            epochs=self.trainer.epoch,
            train_seconds=round(self.seconds, 3),
            history=self.history,
            device=str(self.trainer.device),
            precision="bfloat16" if self.trainer.bfloat16 else "float32",
            threads=self.threads,
            crowded_steps=self.trainer.crowded_steps,
            request=self.request,
            spec=self.spec.model_dump(mode="json"),
            test_looks=looks,
            search=self.found and self.found.model_dump(mode="json"),
            **self.dataset.source,
            environment=environment(self.threads),
        )
        write_json(self.target / "train.json", result)
        self.checkpoint.unlink(missing_ok=True)
        self.log.note(f"trained {self.trainer.epoch} epochs in {self.seconds:.0f} s; test accuracy {accuracy:.4f}")
        return result

    def _trainer(self, network: torch.nn.Module, images: Images, sizes: Sequence[Images] | None = None) -> Trainer:
        parts = parts_of_a_batch(self.classifier.macs, images.pixels.device, self._batch_size(images))
        recipe, flip = self.spec.train, self.dataset.flip
        return Trainer(network, images, recipe, flip, self.seed, parts, sizes=sizes, adaptive=self.adaptive)

    def _batch_size(self, images: Images) -> int:
        return min(self.spec.train.batch_size, len(images))

    def _epoch(self, start: float) -> None:
        before = fitted = time.monotonic()
        steps = 0

        def stepped() -> None:
            nonlocal steps, fitted
            steps += 1
            self.on_progress(Progress(self.trainer.time_fraction, self.trainer.epoch))
            if time.monotonic() - fitted > FIT_SECONDS:
                fitted = time.monotonic()
                self._fit_steps((fitted - before) / steps, fitted - start)

        try:
            loss = self.trainer.run_epoch(on_step=stepped)
        except EvaluationError as error:
            raise EvaluationError(f"{error}; {self._slower}") from None
        now = time.monotonic()  # on a GPU, where steps run behind, only now are they all done
        self.seconds = now - start
        self._fit_steps((now - before) / steps, self.seconds)
        record = {"epoch": self.trainer.epoch, "train_loss": round(loss, 6), "seconds": round(self.seconds, 3)}
        self.history.append(record)
        if self.trainer.crowded_steps and not self.told_of_others:
            self.told_of_others = True
            self.log.say(f"warning: other processes are busy; while they are, fewer than {self.threads} threads train")
        if self.trainer.done or self.seconds >= self.save_due:
            self._save()
            took = time.monotonic() - start - self.seconds
            self.save_due = self.seconds + took / SAVING
        self.on_progress(Progress(self.trainer.time_fraction, self.trainer.epoch, record))

    @property
    def _slower(self) -> str:
        rate = self.spec.train.learning_rate / 2
        return f"train anew with a lower rate, into another directory: --out DIR --set train.learning_rate={rate:g}"

    def _calibrate(self) -> float:
        """Seconds a step, on a copy of the network that is then thrown away."""
        trainer = self._trainer(copy.deepcopy(self.classifier.network), self.trainer.images, self.trainer.sizes)
        trainer.steps_left = 1e9  # so that it stays at the beginning, and its images small
        trainer.run_epoch(steps=2)
        start = time.monotonic()
        trainer.run_epoch(steps=CALIBRATION_STEPS)
        return (time.monotonic() - start) / min(CALIBRATION_STEPS, trainer.steps_per_epoch)

    def _fit_steps(self, seconds_a_step: float, elapsed: float) -> None:
        """As many steps as the minutes still allow; corrected now and again, since machines change their speed."""
        if self.spec.train.minutes is None or self.trainer.done:
            return
        left = self.spec.train.minutes * 60 - elapsed
        steps = self.trainer.steps_in(left, seconds_a_step)
        self.trainer.steps_left = max(0.0 if self.trainer.progress else 1.0, steps)

    def _save(self) -> None:
        state = _State(
            request=json.dumps(self.request, sort_keys=True),
            epoch=self.trainer.epoch,
            progress=self.trainer.progress,
            steps_left=self.trainer.steps_left,
            seconds=self.seconds,
            history=self.history,
            crowded_steps=self.trainer.crowded_steps,
        )
        save_tensors(self.checkpoint, self.trainer.state(), {"state": state.model_dump_json()})

    def _resume(self) -> bool:
        if not self.checkpoint.exists():
            return False
        try:
            tensors, metadata = load_tensors(self.checkpoint)
            state = _State.model_validate_json(metadata.get("state", ""))
            same = _as_now(json.loads(state.request), self.spec) == self.request
            if same:
                self.trainer.load_state(tensors, state.epoch, state.progress, state.steps_left)
        except (RunError, ValueError, LookupError, RuntimeError, TypeError) as error:
            check_version(self.checkpoint, error)
            raise RunError(f"{self.checkpoint} is damaged; delete it to train from the start") from None
        if not same:
            raise RunError(f"{self.target} holds a half-done training with other settings; choose another --out")
        self.seconds, self.history, self.trainer.crowded_steps = state.seconds, state.history, state.crowded_steps
        self.log.say(f"continuing after epoch {self.trainer.epoch}")
        return True

    def _test(self, again: bool) -> tuple[int, float, float, dict[str, Any]]:
        """Looks at the test data: how many looks there were by now; the accuracy of one view of each image; that of the
        mean over an image and its mirror image, where a mirror image is of the same class; and measures of each class.

        What a least probability would refuse is told of test images, too: this network has seen all others.
        """
        images, labels = self.dataset.test()
        looks = count_test_look(self.target, "train", again)
        test = Images.of(images, labels, self.dataset.mean, self.dataset.std, self.trainer.device)
        logits = predict(self.classifier.network, test)
        accuracy = score(logits, test.labels)["accuracy"]
        measures = judged(logits.double().softmax(1).numpy(), labels, self.dataset.classes)
        if not (self.dataset.flip and self.spec.train.flip):
            return looks, accuracy, accuracy, measures
        both = logits + predict(self.classifier.network, test, mirrored=True)
        return looks, accuracy, score(both, test.labels)["accuracy"], measures

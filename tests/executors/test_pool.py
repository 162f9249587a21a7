"""What executors with workers share, with workers that are no processes."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from searches import make_spec

from nanonas import load_spec
from nanonas.core.config import ComponentConfig
from nanonas.core.errors import RunError
from nanonas.data import dataset
from nanonas.data.dataset import load_dataset
from nanonas.engine.search import search
from nanonas.evaluators import EVALUATORS
from nanonas.executors import EXECUTORS, Job, Outcome
from nanonas.executors.pool import Handle, Message, Pool, PoolConfig
from nanonas.executors.processes import Processes
from nanonas.executors.worker import Server, Worker

JOB = Job("g", {}, 0)


class Puppet(Handle):
    def __init__(self) -> None:
        super().__init__()
        self.killed = False

    def send(self, job: Job) -> None:
        pass

    def kill(self) -> str:
        self.killed = True
        return "exit code 0"


class Stage(Pool):
    """One worker at a time; each job is answered by the next of `answers`."""

    workers = 1

    def __init__(self, answers: Sequence[tuple[Outcome, int]], recycle_after: int = 50) -> None:
        super().__init__(PoolConfig(name="stage", recycle_after=recycle_after), make_spec("random").assignment)
        self.answers: Iterator[tuple[Outcome, int]] = iter(answers)
        self.started: list[Puppet] = []

    def start(self) -> Handle:
        self.started.append(Puppet())
        return self.started[-1]

    def wait(self, busy: Sequence[Any], seconds: float | None) -> list[tuple[Any, Message]]:
        return [(worker, next(self.answers) if worker.ready else "ready") for worker in busy]


def killed(answers: Sequence[tuple[Outcome, int]], recycle_after: int = 50) -> list[bool]:
    """Of each worker that these answers took, whether it was ended."""
    stage = Stage(answers, recycle_after)
    for outcome, _ in answers:
        assert stage.submit(JOB).result() == outcome
    return [worker.killed for worker in stage.started]


FINE = Outcome({"val_accuracy": 0.5})


def test_a_worker_whose_memory_grew_is_replaced_after_so_many_trials() -> None:
    assert killed([(FINE, 100), (FINE, 200), (FINE, 200), (FINE, 100)], recycle_after=3) == [True, False]
    assert killed([(FINE, 100), (FINE, 120), (FINE, 120), (FINE, 120)], recycle_after=3) == [False]


def test_a_worker_whose_gpu_context_is_lost_is_replaced() -> None:
    lost = Outcome({}, "AcceleratorError: CUDA error: device-side assert triggered\nTraceback …", spoilt=True)
    full = Outcome({}, "out of memory")
    assert killed([(lost, 100), (FINE, 100)]) == [True, False]
    assert killed([(full, 100), (FINE, 100)]) == [False]


def test_an_accelerators_error_spoils_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    spec = make_spec("random", budget={"trials": 3})
    job = Job("w16/" + "/".join(["x1:conv_3x3+none,none+none,none,conv_3x3"] * 3), {}, 0)
    assert not Worker(spec.assignment, None).run(job).spoilt
    monkeypatch.setattr(EVALUATORS["fake"], "evaluate", lost)
    assert Worker(spec.assignment, None).run(job).spoilt


def test_inline_goes_no_further_in_a_spoilt_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    with monkeypatch.context() as patch:
        patch.setattr(EVALUATORS["fake"], "evaluate", lost)
        with pytest.raises(RunError, match="the same command goes on"):
            list(search(make_spec("random", budget={"trials": 3}), tmp_path / "run"))
    trials = list(search(make_spec("random", budget={"trials": 3}), tmp_path / "run"))
    assert [trial.ok for trial in trials] == [False, True, True]


def test_a_worker_is_ready_once_nothing_but_the_candidate_takes_time(session_cache: Path) -> None:
    spec = load_spec("digits-evo", ["executor.workers=1"])
    executor = EXECUTORS[spec.executor.name](spec.executor, spec.assignment)
    assert isinstance(executor, Processes)
    worker = executor.start()
    try:
        assert executor.wait([worker], 60) == [(worker, "ready")]
        assert "libtorch" in Path(f"/proc/{worker.process.pid}/maps").read_text()
    finally:
        worker.kill()


def test_what_goes_wrong_before_the_first_job_is_its_answer() -> None:
    server = Server(replace(make_spec("random").assignment, space=ComponentConfig(name="nope")), None)
    server.prepare()
    (error, _), _ = server.answer(JOB)
    assert "nope" in str(error)


def test_a_worker_that_starts_late_takes_the_data_that_the_search_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANONAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dataset, "_PROVIDED", {})
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("L", (8, 8), 40 * number).save(tmp_path / "photos" / name / f"{number}.png")
    spec = load_spec("digits-evo", ["data.name=folder", f"data.root={tmp_path / 'photos'}", "evaluator.epochs=1"])
    begun = load_dataset(spec.data)
    (tmp_path / "photos" / "cat" / "0.png").unlink()
    server = Server(spec.assignment, None, begun.cache)
    genotype = "w16/" + "/".join(["x1:none+none,none+conv_1x1,none,none"] * 3)
    outcome, _ = server.answer(Job(genotype, {"epochs": 1, "image_size": 8, "data_fraction": 1.0}, 0))
    assert outcome.error is None
    assert server._worker is not None and server._worker.evaluator.source == begun.source


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_in_a_worker_is_no_candidates_failure(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, "no room", "supernet.safetensors")

    monkeypatch.setattr(EVALUATORS["fake"], "evaluate", full)
    spec = make_spec("random", budget={"trials": 3})
    with pytest.raises(OSError, match="no room"):
        list(search(spec, tmp_path / "run"))
    assert not (tmp_path / "run" / "trials.jsonl").exists()
    genotype = "w16/" + "/".join(["x1:conv_3x3+none,none+none,none,conv_3x3"] * 3)
    (error, _), _ = Server(spec.assignment, None).answer(Job(genotype, {}, 0))
    assert (error.errno, error.filename) == (code, "supernet.safetensors")

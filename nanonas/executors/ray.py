"""The `ray` executor: workers on a Ray cluster. Needs `pip install 'nanonas[ray]'`."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ..core.errors import RunError, SpecError
from ..data.dataset import Dataset, provide
from ..evaluators import EVALUATORS, Assignment
from . import EXECUTORS, Job
from .pool import Handle, Message, Pool, PoolConfig
from .worker import Server


@EXECUTORS.register("ray")
class Ray(Pool):
    """One actor a core of the cluster, or a share of a GPU each (Moritz et al. 2018, arXiv:1712.05889).

    The data set is put into the object store once, and every node reads it from there; no worker can see test images.
    """

    class Config(PoolConfig):
        name: Literal["ray"] = "ray"
        address: Annotated[
            str | None, Field(description="of the cluster: auto, HOST:PORT; null: one is started on this machine")
        ] = None
        cpus: Annotated[float, Field(gt=0, description="cores of a worker")] = 1
        gpus: Annotated[float, Field(ge=0, description="GPUs of a worker; 0.25: four workers on one")] = 0

    config: Config
    advice = "see the logs of the cluster; on every node the same version of nanonas must be installed"

    def __init__(
        self, config: Config, assignment: Assignment, run: Path | None = None, data: Dataset | None = None
    ) -> None:
        super().__init__(config, assignment, run, data)
        if EVALUATORS[assignment.evaluator.name].one_shot:
            raise SpecError(
                f"executor.name: evaluator {assignment.evaluator.name} keeps its network in the run directory, which "
                "other machines cannot see; use executor.name=inline"
            )
        try:
            ray = import_module("ray")
        except ImportError:
            raise SpecError("executor.name: ray is not installed; type: pip install 'nanonas[ray]'") from None
        self._ray: Any = ray
        self._owner = not ray.is_initialized()
        if self._owner:
            try:
                ray.init(config.address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError) as error:
                raise RunError(
                    f"executor.address: no Ray cluster at {config.address!r} ({error}); start one with `ray start "
                    "--head`, or leave the address out"
                ) from None
        if data is not None:  # plain arrays, which the object store shares without a copy
            images, labels = np.asarray(data.train_images), np.asarray(data.train_labels)
            data = replace(data, train_images=images, train_labels=labels)
        self._content = ray.put((assignment, data))

    @property
    def workers(self) -> int:
        if self.config.workers != "auto":
            return min(self.config.workers, self.config.lookahead)
        there = self._ray.cluster_resources()
        room = there.get("CPU", 1) // self.config.cpus
        if self.config.gpus:
            room = min(room, there.get("GPU", 0) // self.config.gpus)
        return max(1, min(int(room), self.config.lookahead))

    def start(self) -> Handle:
        return _Actor(self._ray, self._content, self.config)

    def wait(self, busy: Sequence["_Actor"], seconds: float | None) -> list[tuple["_Actor", Message]]:
        of = {reference: actor for actor in busy for reference in actor.pending}
        done, _ = self._ray.wait(list(of), num_returns=1, timeout=seconds)
        return [(of[reference], of[reference].receive(reference)) for reference in done]

    def close(self) -> None:
        super().close()
        if self._owner:
            self._ray.shutdown()


class _Actor(Handle):
    def __init__(self, ray: Any, content: Any, config: Ray.Config) -> None:
        super().__init__()
        self._ray = ray
        remote = ray.remote(num_cpus=config.cpus, num_gpus=config.gpus, max_restarts=0)(_Remote)
        self._actor = remote.remote(content)
        self.pending = [self._actor.ready.remote()]

    def send(self, job: Job) -> None:
        self.pending.append(self._actor.answer.remote(job))

    def receive(self, reference: Any) -> Message:
        self.pending.remove(reference)
        try:
            message: Message = self._ray.get(reference)
        except self._ray.exceptions.RayError:
            return "dead"
        return message

    def kill(self) -> str:
        self._ray.kill(self._actor)
        return "its actor or node is gone"


class _Remote:
    """The actor: a server that finds the data in the object store."""

    def __init__(self, content: tuple[Assignment, Dataset | None]) -> None:
        assignment, data = content
        os.environ["OMP_NUM_THREADS"] = "1"
        if data is not None:
            provide(assignment.data, data)
        self._server = Server(assignment, None)

    def ready(self) -> str:
        self._server.prepare()
        return "ready"

    def answer(self, job: Job) -> tuple[Any, int]:
        return self._server.answer(job)

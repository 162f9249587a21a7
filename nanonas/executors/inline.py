"""The `inline` executor: in this process, one job after the other."""

from functools import cached_property
from typing import Literal

from ..core.errors import RunError
from . import EXECUTORS, Executor, ExecutorConfig, Job, Outcome, Pending
from .worker import Worker


class Deferred:
    """Runs when it is waited for, so that a trial is recorded before the next one starts."""

    def __init__(self, executor: "Inline", job: Job) -> None:
        self.executor = executor
        self.job = job

    def result(self) -> Outcome:
        return self.executor.evaluate(self.job)


@EXECUTORS.register("inline")
class Inline(Executor):
    """Runs jobs here, one after the other; easy to debug. `workers` and `timeout_seconds` have no effect."""

    class Config(ExecutorConfig):
        name: Literal["inline"] = "inline"

    spoilt = False

    @cached_property
    def _worker(self) -> Worker:
        return Worker(self.assignment, self.run)

    def submit(self, job: Job) -> Pending:
        return Deferred(self, job)

    def evaluate(self, job: Job) -> Outcome:
        if self.spoilt:
            raise RunError("a candidate has spoilt this process, and the GPU refuses it; the same command goes on")
        outcome = self._worker.run(job)
        self.spoilt = outcome.spoilt
        return outcome

"""What executors with workers share: a queue, who is busy, deaths, time-outs."""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..core.errors import RunError
from ..data.dataset import Dataset
from ..evaluators import Assignment
from . import Executor, ExecutorConfig, Job, Outcome, Pending

TRIES = 2
GROWTH = 1.3  # of a worker's memory since its first job, above which it is replaced

Message = Literal["ready", "dead"] | tuple[Any, int]
"""From a worker: that it is up, that it is gone, or its answer to a job and the bytes of memory that it holds."""


class PoolConfig(ExecutorConfig):
    """What every executor with workers takes."""

    recycle_after: Annotated[int, Field(ge=1, description="trials, after which a worker that grew is replaced")] = 50


class Handle(ABC):
    """A worker, seen from the coordinator."""

    def __init__(self) -> None:
        self.attempt: Attempt | None = None
        self.deadline: float | None = None
        self.ready = False
        self.jobs = self.memory = 0  # done by it; bytes after the first

    @abstractmethod
    def send(self, job: Job) -> None:
        """Hands over a job. If the worker is dead, a message tells."""

    @abstractmethod
    def kill(self) -> str:
        """Ends it, if it still runs; how it ended, in words."""


class Pool(Executor):
    """Runs jobs on workers, started when they are needed.

    A job whose worker dies is run once more, with the same seed; dying twice is a failed trial, as is a time-out.
    """

    config: PoolConfig
    advice = ""  # what to do when workers die as they start

    def __init__(
        self, config: PoolConfig, assignment: Assignment, run: Path | None = None, data: Dataset | None = None
    ) -> None:
        super().__init__(config, assignment, run, data)
        self._queue: deque[Attempt] = deque()
        self._workers: list[Handle] = []
        self._stillborn = 0  # workers in a row that died before they were ready

    @abstractmethod
    def start(self) -> Handle: ...

    @abstractmethod
    def wait(self, busy: Sequence[Any], seconds: float | None) -> list[tuple[Any, Message]]:
        """Waits until some of these workers say something, or the seconds are over."""

    def submit(self, job: Job) -> Pending:
        attempt = Attempt(self, job)
        self._queue.append(attempt)
        self._feed()
        return attempt

    def advance(self) -> None:
        """Waits until something happens: a result, a death, a time-out; then gives waiting jobs to idle workers."""
        busy = [worker for worker in self._workers if worker.attempt or not worker.ready]
        left = [worker.deadline - time.monotonic() for worker in busy if worker.deadline is not None]
        for worker, message in self.wait(busy, max(0.0, min(left)) if left else None):
            self._receive(worker, message)
        for worker in busy:
            if worker.attempt and worker.deadline is not None and time.monotonic() >= worker.deadline:
                worker.attempt.outcome = Outcome({}, f"ran longer than {self.config.timeout_seconds:g} seconds")
                self._remove(worker)
        self._feed()

    def close(self) -> None:
        self._queue.clear()
        for worker in list(self._workers):
            self._remove(worker)

    def _feed(self) -> None:
        """Nothing waits for a worker that may never start, on a cluster that has no room for it."""
        for worker in self._workers:
            if self._queue and worker.ready and not worker.attempt:
                worker.attempt = self._queue.popleft()
                timeout = self.config.timeout_seconds
                worker.deadline = None if timeout is None else time.monotonic() + timeout
                worker.send(worker.attempt.job)
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(len(self._queue) - starting, self.workers - len(self._workers))):
            self._workers.append(self.start())

    def _receive(self, worker: Handle, message: Message) -> None:
        if message == "ready":
            worker.ready = True
            self._stillborn = 0
        elif message == "dead":
            self._bury(worker)
        else:
            assert worker.attempt is not None
            answer, memory = message
            spoilt = False
            if isinstance(answer, Outcome):
                worker.attempt.outcome = answer
                spoilt = answer.spoilt
            else:
                worker.attempt.bug = answer
            worker.attempt = None
            worker.jobs += 1
            worker.memory = worker.memory or int(memory)
            grown = worker.jobs >= self.config.recycle_after and int(memory) > GROWTH * worker.memory
            if spoilt or grown:
                self._remove(worker)

    def _bury(self, worker: Handle) -> None:
        attempt, end = worker.attempt, self._remove(worker)
        if attempt is None:
            self._stillborn += 1
            if self._stillborn >= TRIES:
                raise RunError(f"the workers die as they start ({end}); {self.advice}")
            return
        attempt.deaths += 1
        if attempt.deaths >= TRIES:
            attempt.outcome = Outcome({}, f"its worker died twice ({end})")
        else:
            self._queue.appendleft(attempt)

    def _remove(self, worker: Handle) -> str:
        """Ends a worker; how it ended."""
        self._workers.remove(worker)
        worker.attempt = None
        return worker.kill()


class Attempt:
    """A job under way, or waiting for a worker."""

    def __init__(self, executor: Pool, job: Job) -> None:
        self.executor, self.job = executor, job
        self.deaths = 0
        self.outcome: Outcome | None = None
        self.bug: tuple[Exception, str] | None = None

    def result(self) -> Outcome:
        while self.outcome is None:
            if self.bug is not None:
                error, trace = self.bug
                error.add_note(f"in a worker:\n{trace}")
                raise error
            self.executor.advance()
        return self.outcome

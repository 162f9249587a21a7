"""The `processes` executor: single-threaded workers on this machine."""

import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..environment import cores
from ..errors import NanonasError, RunError
from . import EXECUTORS, Executor, ExecutorConfig, Job, Outcome, Pending

TRIES = 2
GROWTH = 1.3  # of a worker's memory since its first job, above which it is replaced


@EXECUTORS.register("processes")
class Processes(Executor):
    """One single-threaded worker a core: two of them train more than one with two threads.

    A job whose worker dies is run once more, with the same seed; dying twice is a failed trial, as is a time-out.
    Every worker has a pipe of its own and no lock is shared, so that one killed at any moment harms no other.
    """

    class Config(ExecutorConfig):
        name: Literal["processes"] = "processes"
        recycle_after: Annotated[int, Field(ge=1, description="trials, after which a worker that grew is replaced")] = (
            50
        )

    config: Config

    def __init__(self, config: Config, spec: Any, run: Path | None = None) -> None:
        super().__init__(config, spec, run)
        self._queue: deque[_Attempt] = deque()
        self._workers: list[_Process] = []
        self._stillborn = 0  # workers in a row that died before they were ready

    @property
    def workers(self) -> int:
        wanted = cores() if self.config.workers == "auto" else self.config.workers
        return min(wanted, self.config.lookahead)  # an idle worker would cost half a gigabyte

    def submit(self, job: Job) -> Pending:
        attempt = _Attempt(self, job)
        self._queue.append(attempt)
        self._feed()
        return attempt

    def advance(self) -> None:
        """Waits until something happens: a result, a death, a time-out; then gives waiting jobs to idle workers."""
        busy = [worker for worker in self._workers if worker.attempt]
        left = [worker.deadline - time.monotonic() for worker in busy if worker.deadline is not None]
        events = wait(
            [event for worker in busy for event in (worker.pipe, worker.process.sentinel)],
            max(0.0, min(left)) if left else None,
        )
        for worker in busy:
            if worker.pipe in events:
                try:
                    self._receive(worker, worker.pipe.recv())
                except (EOFError, OSError):
                    self._bury(worker)
            elif worker.process.sentinel in events:
                self._bury(worker)
            elif worker.deadline is not None and time.monotonic() >= worker.deadline and worker.attempt:
                worker.attempt.outcome = Outcome({}, f"ran longer than {self.config.timeout_seconds:g} seconds")
                self._remove(worker)
        self._feed()

    def close(self) -> None:
        self._queue.clear()
        for worker in list(self._workers):
            self._remove(worker)

    def _feed(self) -> None:
        while self._queue:
            idle = next((worker for worker in self._workers if not worker.attempt), None)
            if idle is None and len(self._workers) < self.workers:
                idle = _Process(self.spec.model_dump(mode="json"), self.run)
                self._workers.append(idle)
            if idle is None:
                return
            idle.take(self._queue.popleft(), self.config.timeout_seconds)

    def _receive(self, worker: "_Process", message: Any) -> None:
        assert worker.attempt is not None
        if message == "ready":
            worker.ready = True
            self._stillborn = 0
            return
        answer, memory = message
        if isinstance(answer, Outcome):
            worker.attempt.outcome, worker.attempt = answer, None
        else:
            worker.attempt.bug, worker.attempt = answer, None
        worker.jobs += 1
        worker.memory = worker.memory or memory
        if worker.jobs >= self.config.recycle_after and memory > GROWTH * worker.memory:
            self._remove(worker)

    def _bury(self, worker: "_Process") -> None:
        attempt, code = worker.attempt, self._remove(worker)
        assert attempt is not None
        if worker.ready:
            attempt.deaths += 1
        else:
            self._stillborn += 1
        if self._stillborn >= TRIES:
            raise RunError(
                "the worker processes die as they start; a script that calls nanonas.search needs "
                "`if __name__ == '__main__':` around it, or executor.name=inline"
            )
        if attempt.deaths >= TRIES:
            attempt.outcome = Outcome({}, f"its worker died twice (exit code {code})")
        else:
            self._queue.appendleft(attempt)

    def _remove(self, worker: "_Process") -> int | None:
        """Ends a worker, if it still runs; its exit code."""
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        return worker.process.exitcode


class _Attempt:
    """A job under way, or waiting for a worker."""

    def __init__(self, executor: Processes, job: Job) -> None:
        self.executor, self.job = executor, job
        self.deaths = 0
        self.outcome: Outcome | None = None
        self.bug: tuple[Exception, str] | None = None

    def result(self) -> Outcome:
        while self.outcome is None:
            if self.bug is not None:
                error, trace = self.bug
                error.add_note(f"in a worker process:\n{trace}")
                raise error
            self.executor.advance()
        return self.outcome


class _Process:
    """A worker process, seen from the coordinator."""

    def __init__(self, spec: dict[str, Any], run: Path | None) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=[theirs, spec, run, os.getpid()], daemon=True)
        with _interrupts_blocked():
            self.process.start()
        theirs.close()
        self.ready = False
        self.jobs = self.memory = 0  # done by it; bytes after the first
        self.attempt: _Attempt | None = None
        self.deadline: float | None = None

    def take(self, attempt: _Attempt, timeout: float | None) -> None:
        self.attempt = attempt
        self.deadline = time.monotonic() + timeout if timeout is not None else None
        with suppress(OSError):  # it died meanwhile: its sentinel will tell
            self.pipe.send(attempt.job)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches the whole process group, but the coordinator decides: its workers inherit this mask."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else the first worker starts it, which lifts the mask again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, spec: dict[str, Any], run: Path | None, parent: int) -> None:
    """A worker's life: jobs in, outcomes out. The first job makes the evaluator, so that its errors arrive too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the mask holds until here, and on Windows there is none
    threading.Thread(target=_die_with, args=[parent], daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    worker = None

    def answer(job: Job) -> Any:
        nonlocal worker
        try:
            if worker is None:
                from ..spec import Spec
                from .worker import Worker

                worker = Worker(Spec.model_validate(spec), run)
            return worker.run(job)
        except Exception as error:  # what is wrong with more than the candidate ends the search over there
            plain = error if isinstance(error, NanonasError) else RuntimeError(f"{type(error).__name__}: {error}")
            return plain, traceback.format_exc()  # not every exception can be sent

    pipe.send("ready")
    while True:
        try:
            job: Job = pipe.recv()
            pipe.send((answer(job), resident_bytes()))
        except (EOFError, OSError):  # the coordinator is gone
            return


def resident_bytes() -> int:
    """Memory of this process; 0 where the system has no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _die_with(parent: int) -> None:
    """A killed coordinator cannot stop its workers: they notice that they were orphaned."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

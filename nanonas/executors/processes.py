"""The `processes` executor: single-threaded workers on this machine."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ..environment import cores
from . import EXECUTORS, Executor, ExecutorConfig, Job, Outcome, Pending
from .worker import Worker

if TYPE_CHECKING:
    from pebble import ProcessPool

_worker: Worker | None = None  # of this process, when it is a worker


@EXECUTORS.register("processes")
class Processes(Executor):
    """One single-threaded worker a core: two of them train more than one with two threads.

    A job whose worker dies is run once more, with the same seed; dying twice is a failed trial, as is a time-out.
    """

    class Config(ExecutorConfig):
        name: Literal["processes"] = "processes"

    _pool: "ProcessPool | None" = None

    @property
    def workers(self) -> int:
        return cores() if self.config.workers == "auto" else self.config.workers

    def submit(self, job: Job) -> Pending:
        return _Attempt(self, job)

    def schedule(self, job: Job) -> Any:
        """A future of the pool."""
        with _interrupts_blocked():
            if self._pool is None:
                from multiprocessing import get_context

                from pebble import ProcessPool

                self._pool = ProcessPool(
                    # never more than can be busy: an idle worker costs half a gigabyte
                    max_workers=min(self.workers, self.config.lookahead),
                    context=get_context("spawn"),
                    initializer=_start,
                    initargs=[self.spec.model_dump(mode="json"), os.getpid()],
                )
            return self._pool.schedule(_run, args=[job], timeout=self.config.timeout_seconds)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None


class _Attempt:
    """A job at the pool, tried again once if its worker dies."""

    def __init__(self, executor: Processes, job: Job) -> None:
        self.executor = executor
        self.job = job
        self.future = executor.schedule(job)

    def result(self) -> Outcome:
        from pebble import ProcessExpired

        for last_try in (False, True):
            try:
                outcome: Outcome = self.future.result()
                return outcome
            except TimeoutError:
                return Outcome({}, f"ran longer than {self.executor.config.timeout_seconds:g} seconds")
            except ProcessExpired as death:
                if last_try:
                    return Outcome({}, f"its worker died twice (exit code {death.exitcode})")
                self.future = self.executor.schedule(self.job)
        raise AssertionError("unreachable")


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches the whole process group, but the coordinator decides: its threads and workers inherit a mask."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(spec: dict[str, Any], parent: int) -> None:
    """In a worker, before its first job."""
    global _worker
    from ..spec import Spec

    threading.Thread(target=_die_with, args=[parent], daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    _worker = Worker(Spec.model_validate(spec))


def _die_with(parent: int) -> None:
    """A killed coordinator cannot stop its workers: they notice that they were orphaned."""
    while os.getppid() == parent:
        time.sleep(1)
    sys.stderr.flush()
    os._exit(1)


def _run(job: Job) -> Outcome:
    assert _worker is not None
    return _worker.run(job)

"""The `processes` executor: single-threaded workers on this machine."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ..environment import cores
from ..errors import RunError
from . import EXECUTORS, Executor, ExecutorConfig, Job, Outcome, Pending
from .worker import Worker

if TYPE_CHECKING:
    from pebble import ProcessPool

TRIES = 2
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
        wanted = cores() if self.config.workers == "auto" else self.config.workers
        return min(wanted, self.config.lookahead)  # an idle worker would cost half a gigabyte

    def submit(self, job: Job) -> Pending:
        return _Attempt(self, job)

    def schedule(self, job: Job) -> Any:
        """A future of the pool, which is made anew when it is broken."""
        with _interrupts_blocked():
            if self._pool is None or not self._pool.active:
                self.close()
                from multiprocessing import get_context

                from pebble import ProcessPool

                self._pool = ProcessPool(
                    max_workers=self.workers,
                    context=get_context("spawn"),
                    initializer=_start,
                    initargs=[os.getpid()],
                )
            spec = self.spec.model_dump(mode="json")
            return self._pool.schedule(_run, args=[spec, job], timeout=self.config.timeout_seconds)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None


class _Attempt:
    """A job at the pool, tried again if its worker dies."""

    def __init__(self, executor: Processes, job: Job) -> None:
        self.executor = executor
        self.job = job
        self.future = executor.schedule(job)

    def result(self) -> Outcome:
        from pebble import ProcessExpired

        for tried in range(1, TRIES + 1):
            try:
                outcome: Outcome = self.future.result()
                return outcome
            except TimeoutError:
                return Outcome({}, f"ran longer than {self.executor.config.timeout_seconds:g} seconds")
            except ProcessExpired as death:
                if tried == TRIES:
                    return Outcome({}, f"its worker died twice (exit code {death.exitcode})")
            except BrokenProcessPool:  # workers die while no job runs: as they start, or killed between two jobs
                if tried == TRIES:
                    raise RunError(
                        "the worker processes die as they start; a script that calls nanonas.search needs "
                        "`if __name__ == '__main__':` around it, or executor.name=inline"
                    ) from None
            self.future = self.executor.schedule(self.job)
        raise AssertionError("the last try returns or raises")


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


def _start(parent: int) -> None:
    """In a worker, before its first job."""
    threading.Thread(target=_die_with, args=[parent], daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"


def _die_with(parent: int) -> None:
    """A killed coordinator cannot stop its workers: they notice that they were orphaned."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _run(spec: dict[str, Any], job: Job) -> Outcome:
    """In a worker. The first job makes the evaluator, so that what goes wrong there arrives as a result."""
    global _worker
    if _worker is None:
        from ..spec import Spec

        _worker = Worker(Spec.model_validate(spec))
    return _worker.run(job)

"""The `processes` executor: single-threaded workers on this machine."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, resource_tracker
from pathlib import Path
from typing import Literal

from ..devices.machine import cores, memory_bytes
from ..evaluators import Assignment
from . import EXECUTORS, WORKER_BYTES, Job
from .pool import Handle, Message, Pool, PoolConfig
from .worker import Server


@EXECUTORS.register("processes")
class Processes(Pool):
    """One single-threaded worker a core: two of them train more than one with two threads.

    Every worker has a pipe of its own and no lock is shared, so that one killed at any moment harms no other.
    """

    class Config(PoolConfig):
        name: Literal["processes"] = "processes"

    advice = "a script that calls nanonas.search needs `if __name__ == '__main__':` around it, or executor.name=inline"

    @property
    def workers(self) -> int:
        memory = memory_bytes()
        fitting = cores() if memory is None else min(cores(), max(1, memory // WORKER_BYTES - 1))  # one coordinates
        wanted = fitting if self.config.workers == "auto" else self.config.workers
        return min(wanted, self.config.lookahead)

    def start(self) -> Handle:
        return _Process(self.assignment, self.run, self.data.cache if self.data else None)

    def wait(self, busy: Sequence["_Process"], seconds: float | None) -> list[tuple["_Process", Message]]:
        events = connection.wait([event for w in busy for event in (w.pipe, w.process.sentinel)], seconds)
        messages: list[tuple[_Process, Message]] = []
        for worker in busy:
            if worker.pipe in events:
                try:
                    messages.append((worker, worker.pipe.recv()))
                except (EOFError, OSError):
                    messages.append((worker, "dead"))
            elif worker.process.sentinel in events:
                messages.append((worker, "dead"))
        return messages


class _Process(Handle):
    def __init__(self, assignment: Assignment, run: Path | None, cache: Path | None) -> None:
        super().__init__()
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=[theirs, assignment, run, cache, os.getpid()], daemon=True)
        with _its_own_modules(), _interrupts_blocked():
            self.process.start()
        theirs.close()

    def send(self, job: Job) -> None:
        with suppress(OSError):  # it died meanwhile: its sentinel will tell
            self.pipe.send(job)

    def kill(self) -> str:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return f"exit code {self.process.exitcode}"


@contextmanager
def _its_own_modules() -> Iterator[None]:
    """A Python that is started with -c, as workers are, would import a select.py that lies in the current folder."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


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


def _serve(
    pipe: connection.Connection, assignment: Assignment, run: Path | None, cache: Path | None, parent: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the mask holds until here, and on Windows there is none
    threading.Thread(target=_die_with, args=[parent], daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    server = Server(assignment, run, cache)
    with suppress(EOFError, OSError):  # the coordinator is gone
        server.prepare()
        pipe.send("ready")
        while True:
            pipe.send(server.answer(pipe.recv()))


def _die_with(parent: int) -> None:
    """A killed coordinator cannot stop its workers: they notice that they were orphaned."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

"""What runs a job, in this process or another."""

import errno
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.errors import DataError, EvaluationError, NanonasError
from ..core.trial import LARGEST
from ..data.dataset import open_dataset, provide
from ..devices.machine import resident_bytes
from ..evaluators import Assignment
from . import Job, Outcome

# for the supernet's checkpoint, or no right to it: no candidate's fault
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Worker:
    """The space and the evaluator of an assignment, made once and used for every job."""

    def __init__(self, assignment: Assignment, run: Path | None) -> None:
        self.space = assignment.make_space()
        self.evaluator = assignment.make_evaluator(lambda text: None, run)

    def run(self, job: Job) -> Outcome:
        """A candidate that cannot be scored is an outcome, whatever it raises; the user's other mistakes and a full
        disk go up."""
        try:
            metrics = dict(self.evaluator.evaluate(self.space, self.space.parse(job.genotype), job.fidelity, job.seed))
            wrong = [name for name, value in metrics.items() if not abs(value) <= LARGEST]  # NaN is not <= anything
            return Outcome({}, f"{wrong[0]} is {metrics[wrong[0]]}") if wrong else Outcome(metrics)
        except EvaluationError as error:
            return Outcome({}, str(error) or type(error).__name__)
        except NanonasError:
            raise
        except Exception as error:  # an operation is anybody's code
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            lost = type(error).__name__ == "AcceleratorError"  # torch's; the GPU refuses this process from now on
            return Outcome({}, f"{reason}\n{traceback.format_exc()}", spoilt=lost)


class Server:
    """A worker's side: jobs in, answers out.

    Args:
        cache: of the data that the coordinator opened; what lies behind their name may have changed since.
    """

    def __init__(self, assignment: Assignment, run: Path | None, cache: Path | None = None) -> None:
        self._assignment, self._run, self._cache = assignment, run, cache
        self._worker: Worker | None = None

    def prepare(self) -> None:
        """Makes the evaluator and imports what it trains with, so that this takes no candidate's time."""
        with suppress(Exception):  # the first answer tells
            self._worker = self._made()

    def _made(self) -> Worker:
        if self._cache is not None:
            with suppress(DataError):  # it was deleted meanwhile: decoded again
                provide(self._assignment.data, open_dataset(self._cache))
        worker = Worker(self._assignment, self._run)
        if worker.evaluator.data is not None:
            import_module("nanonas.training.trainer")
        return worker

    def answer(self, job: Job) -> tuple[Any, int]:
        try:
            if self._worker is None:
                self._worker = self._made()
            return self._worker.run(job), resident_bytes()
        except Exception as error:  # what is wrong with more than the candidate ends the search over there
            plain: Exception = RuntimeError(f"{type(error).__name__}: {error}")  # not every exception can be sent
            if isinstance(error, NanonasError):
                plain = error
            elif isinstance(error, OSError) and error.strerror:
                plain = OSError(error.errno, error.strerror, error.filename)
            return (plain, traceback.format_exc()), 0

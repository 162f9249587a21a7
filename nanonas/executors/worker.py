"""What runs a job, in this process or another."""

import errno
import traceback
from pathlib import Path

from ..core.errors import EvaluationError, NanonasError
from ..core.trial import LARGEST
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

"""EXECUTORS: one file each. An executor runs jobs somewhere and hands back outcomes; the order is the engine's."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import Field, field_validator

from ..core.config import ComponentConfig
from ..core.registry import Registry, import_modules
from ..core.trial import Fidelity
from ..data.dataset import Dataset
from ..evaluators import Assignment


@dataclass(frozen=True)
class Job:
    """One evaluation to run: text and numbers only, so that it crosses to another process or machine."""

    genotype: str
    fidelity: Fidelity
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its metrics, or why there are none: a line, and the traceback below where there is one.

    Attributes:
        spoilt: whether the process that ran it is of no more use.
    """

    metrics: dict[str, float]
    error: str | None = None
    spoilt: bool = False


class Pending(Protocol):
    """A job under way."""

    def result(self) -> Outcome:
        """Waits for the outcome. What is wrong with more than the candidate is raised here: data that are gone."""


WORKER_BYTES = 500_000_000  # of a process that has imported torch


class ExecutorConfig(ComponentConfig):
    """What every executor takes, so that `--set executor.name=…` moves a search without any other edit."""

    workers: Annotated[
        int | Literal["auto"], Field(description="auto: one a core, at most lookahead, and as many as memory holds")
    ] = "auto"
    lookahead: Annotated[
        int, Field(ge=1, le=10_000, description="trial i is chosen knowing trials 0 … i − lookahead")
    ] = 4
    timeout_seconds: Annotated[
        float | None, Field(gt=0, description="of an evaluation, which then has failed; null: as long as it takes")
    ] = None

    @field_validator("workers", mode="before")
    @classmethod
    def _count(cls, workers: object) -> object:
        if workers != "auto" and not (type(workers) is int and 1 <= workers <= 1024):
            raise ValueError(f"is 'auto' or a number from 1 to 1024, not {workers!r}")
        return workers


class Executor(ABC):
    """Starts on the first job, and leaves no process behind once closed, whatever is still under way.

    Attributes:
        run: the run directory, which workers on other machines do not see.
        data: what the evaluator scores on, None for a table; workers on this machine read it from the cache.
    """

    Config: ClassVar[type[ExecutorConfig]]

    def __init__(
        self, config: ExecutorConfig, assignment: Assignment, run: Path | None = None, data: Dataset | None = None
    ) -> None:
        self.config, self.assignment, self.run, self.data = config, assignment, run, data

    @property
    def workers(self) -> int:
        """How many jobs run at the same time; never more than the lookahead can keep busy."""
        return 1

    @abstractmethod
    def submit(self, job: Job) -> Pending: ...

    def close(self) -> None:  # noqa: B027  # most have nothing to close
        """Ends all workers now."""


EXECUTORS: Registry[type[Executor]] = Registry("executor")

import_modules(__name__, __path__)

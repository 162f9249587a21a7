"""EVALUATORS: one file each. An evaluator scores and never chooses. It knows no strategy, and no whole spec."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..core.config import ComponentConfig
from ..core.genotype import Genotype
from ..core.pareto import Objectives
from ..core.registry import Registry, import_modules
from ..core.say import Say
from ..core.space import SearchSpace
from ..core.task import Task
from ..core.trial import Fidelity
from ..data.dataset import DataConfig, Dataset
from ..spaces import SPACES


@dataclass(frozen=True)
class Assignment:
    """What of a spec says how architectures are scored; plain data, so that it crosses to another process or machine.

    Attributes:
        space, evaluator: the settings of the chosen ones.
        objectives: what the scores are for, as in the spec.
        seed, device: of the spec.
    """

    space: ComponentConfig
    evaluator: ComponentConfig
    data: DataConfig
    objectives: Objectives
    seed: int
    device: str

    def make_space(self) -> SearchSpace:
        return SPACES[self.space.name](self.space)

    def make_evaluator(self, say: Say, run: Path | None = None) -> "Evaluator":
        """`run` is the run directory, for evaluators that keep weights there; None in a dry run."""
        return EVALUATORS[self.evaluator.name](self, say, run)


class Evaluator(ABC):
    """Scores genotypes. Made in every worker anew; what it says must depend on its arguments alone.

    Attributes:
        metrics: what an objective can name beside measures of the architecture, None for any name; wall-clock
            measurements are left out, since they never steer a search.
        one_shot: whether a trial is one more epoch of a network that all architectures share, whose metrics tell the
            share of each option as `choice=option`; goes with strategies that read them.
        scores_architectures: whether its metrics are a genotype's own; if not, it goes with nothing but those.
        task: what the networks must fit; known without torch.
        data: the data set it scores on, None for a table.
    """

    Config: ClassVar[type[ComponentConfig]]
    metrics: ClassVar[tuple[str, ...] | None]
    one_shot: ClassVar[bool] = False
    scores_architectures: ClassVar[bool] = True
    task: Task
    data: Dataset | None = None

    @abstractmethod
    def __init__(self, assignment: Assignment, say: Say, run: Path | None = None) -> None: ...

    @property
    @abstractmethod
    def fidelity(self) -> Fidelity:
        """The full fidelity, which a proposal can lower."""

    @abstractmethod
    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        """The metrics. Raises EvaluationError when the candidate cannot be scored."""

    def can_score(self, space: SearchSpace, genotype: Genotype) -> bool:
        """Whether there is anything to evaluate: what cannot be scored is not proposed."""
        return space.is_connected(genotype)

    @property
    def source(self) -> Mapping[str, Mapping[str, str]]:
        """What environment.json says of what it scores on, so that another behind the same name is noticed."""
        return self.data.source if self.data is not None else {}

    def report(self, genotype: Genotype) -> Mapping[str, float]:
        """What else is known of the winner: for the reader of search.json, never for a strategy."""
        return {}


EVALUATORS: Registry[type[Evaluator]] = Registry("evaluator")

import_modules(__name__, __path__)

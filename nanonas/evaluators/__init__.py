"""EVALUATORS: one file each. An evaluator scores and never chooses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..config import ComponentConfig
from ..genotype import Genotype
from ..registry import Registry, import_modules
from ..space import SearchSpace, Task
from ..trial import Fidelity

if TYPE_CHECKING:
    from ..data import Dataset
    from ..spec import Spec

Say = Callable[[str], None]


class Evaluator(ABC):
    """Scores genotypes. Made in every worker anew; what it says must depend on its arguments alone.

    Attributes:
        metrics: what an objective can name; wall-clock measurements are left out, since they never steer a search.
        task: what the networks must fit; known without torch.
        data: the data set it scores on, None for a table.
    """

    Config: ClassVar[type[ComponentConfig]]
    metrics: ClassVar[tuple[str, ...]]
    task: Task
    data: "Dataset | None" = None

    @abstractmethod
    def __init__(self, config: Any, spec: "Spec", say: Say) -> None: ...

    @property
    @abstractmethod
    def fidelity(self) -> Fidelity:
        """The full fidelity, which a proposal can lower."""

    @abstractmethod
    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        """The metrics. Raises EvaluationError when the candidate cannot be scored."""


EVALUATORS: Registry[type[Evaluator]] = Registry("evaluator")

import_modules(__name__, __path__)

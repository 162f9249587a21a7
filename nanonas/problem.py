"""Problem: what a search is to solve, as a strategy may know it; and which architectures are worth a training."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import SpecError
from .genotype import Genotype
from .pareto import Objectives
from .space import SearchSpace, Task
from .trial import Fidelity

if TYPE_CHECKING:
    from .evaluators import Evaluator
    from .spec import Spec


@dataclass(frozen=True)
class Problem:
    """The space, what is wanted of it, and what a full evaluation is.

    Attributes:
        constraints: upper bounds on the space's measures, checked before anything is evaluated.
        fidelity: that of a full evaluation; a proposal may lower it.
        connected: whether a network that cannot see its input is out of the question; a table can tell of those too.
    """

    space: SearchSpace
    task: Task
    objectives: Objectives
    constraints: Mapping[str, float]
    fidelity: Fidelity
    connected: bool = True

    @classmethod
    def of(cls, spec: "Spec", space: SearchSpace, evaluator: "Evaluator") -> "Problem":
        connected = not evaluator.scores_disconnected
        return cls(space, evaluator.task, spec.objectives, spec.constraints, evaluator.fidelity, connected)

    def measure(self, genotype: Genotype) -> Mapping[str, float]:
        return self.space.measure(genotype, self.task)

    def told_apart(self, genotype: Genotype) -> tuple[float, ...]:
        """What tells architectures of one canonical key apart: the objectives that the space measures."""
        named = [name for name in self.objectives if name in self.space.measures]
        measured = self.measure(genotype) if named else {}
        return tuple(measured[name] for name in named)

    def is_feasible(self, genotype: Genotype) -> bool:
        if self.connected and not self.space.is_connected(genotype):
            return False
        measures = self.measure(genotype) if self.constraints else {}
        return all(measures[name] <= bound for name, bound in self.constraints.items())

    def check(self, name: str) -> None:
        """Raises SpecError, naming the smallest there is, when a bound lies below everything in the space `name`."""
        for measure, bound in self.constraints.items():
            rng = random.Random(0)
            if any(self.measure(self.space.sample(rng))[measure] <= bound for _ in range(20)):
                continue
            smallest = self.space.smallest(lambda genotype, measure=measure: self.measure(genotype)[measure])  # type: ignore[misc]
            least = self.measure(smallest)[measure]
            if least > bound:
                raise SpecError(
                    f"no architecture of {name} has at most {bound:,.0f} {measure}; the smallest has {least:,.0f} "
                    f"({smallest}): set constraints.{measure} to at least that"
                )


def check_connected(genotype: Genotype, space: SearchSpace) -> None:
    """Raises SpecError for a network that cannot see its input."""
    if not space.is_connected(genotype):
        raise SpecError(f"genotype {genotype} does not connect its input to its output; there is nothing to train")

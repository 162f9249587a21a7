"""Problem: what a search is to solve, as a strategy may know it; and which architectures are worth a training."""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from .errors import SpecError
from .genotype import Genotype
from .pareto import Objectives
from .program import MEASURES, Program
from .space import SearchSpace
from .task import Task
from .trial import Fidelity

LATENCY = "latency_ms"
"""Of one image on one thread of this machine: predicted, since a measurement would steer a search by its noise."""

AT_32 = {"macs_at_32": "macs", "activations_at_32": "activations"}
"""What grows with the image, as it would be of 32×32 pixels: a bound on it means the same networks for any data."""


def cheap_measures(space: type[SearchSpace]) -> tuple[str, ...]:
    """The space's own, and those at 32×32 pixels."""
    return (*space.measures, *(name for name, measure in AT_32.items() if measure in space.measures))


def measures(space: type[SearchSpace]) -> tuple[str, ...]:
    """What is known of a genotype before any training: a constraint names one of these, an objective may."""
    return (*cheap_measures(space), *MEASURES, LATENCY)


@dataclass(frozen=True)
class Problem:
    """The space, what is wanted of it, and what a full evaluation is.

    Attributes:
        constraints: upper bounds on measures, checked before anything is evaluated.
        fidelity: that of a full evaluation; a proposal may lower it.
        can_score: whether there is anything to evaluate.
        of_program: the measures that are taken from a folded program.
    """

    space: SearchSpace
    task: Task
    objectives: Objectives
    constraints: Mapping[str, float]
    fidelity: Fidelity
    can_score: Callable[[SearchSpace, Genotype], bool] = lambda space, genotype: space.is_connected(genotype)
    of_program: Mapping[str, Callable[[Program], float]] = field(default_factory=lambda: MEASURES)

    def program(self, genotype: Genotype) -> Program:
        """As it is exported."""
        return self.space.program(genotype, self.task).folded()

    def measure(self, genotype: Genotype, names: Collection[str] = ()) -> Mapping[str, float]:
        """The space's own measures, which cost next to nothing, and those that are named."""
        found = dict(self.space.measure(genotype, self.task))
        if any(name in AT_32 for name in names):
            small = replace(self.task, height=32, width=32)
            measured = found if small == self.task else self.space.measure(genotype, small)
            found |= {name: measured[AT_32[name]] for name in names if name in AT_32}
        more = [name for name in names if name not in found]
        if more:
            program = self.program(genotype)
            found |= {name: self.of_program[name](program) for name in more}
        return found

    def completed(self, genotype: Genotype, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """The metrics of an evaluation, and what else objectives and constraints name."""
        known, named = measures(type(self.space)), {**self.objectives, **self.constraints}
        missing = [name for name in named if name in known and name not in metrics]
        measured = self.measure(genotype, missing) if missing else {}
        return {**metrics, **{name: measured[name] for name in missing}}

    def told_apart(self, genotype: Genotype) -> tuple[float, ...]:
        """What tells architectures of one canonical key apart: the objectives that are measures."""
        named = [name for name in self.objectives if name in measures(type(self.space))]
        measured = self.measure(genotype, named) if named else {}
        return tuple(measured[name] for name in named)

    def is_feasible(self, genotype: Genotype) -> bool:
        """What is cheap to check is checked first."""
        if not self.can_score(self.space, genotype):
            return False
        cheap_first = (cheap_measures(type(self.space)), tuple(MEASURES), (LATENCY,))
        return all(self._meets(genotype, [name for name in self.constraints if name in named]) for named in cheap_first)

    def _meets(self, genotype: Genotype, names: Collection[str]) -> bool:
        measured = self.measure(genotype, names) if names else {}
        return all(measured[name] <= self.constraints[name] for name in names)

    def check(self, name: str) -> None:
        """Raises SpecError, naming the smallest there is, when a bound lies below everything in the space `name`."""
        cheap, order = cheap_measures(type(self.space)), measures(type(self.space))  # the latency last
        for measure, bound in sorted(self.constraints.items(), key=lambda constraint: order.index(constraint[0])):

            @cache
            def cost(genotype: Genotype, measure: str = measure) -> float:
                return self.measure(genotype, [measure])[measure]

            rng = random.Random(0)
            if any(cost(self.space.sample(rng)) <= bound for _ in range(20)):
                continue
            smallest = self.space.smallest(cost, bound)
            if cost(smallest) > bound:
                found = "" if measure in cheap else "found "  # no sum over choices: perhaps not the least
                raise SpecError(
                    f"no architecture of {name} has at most {_number(bound)} {measure}; the smallest {found}has "
                    f"{_number(cost(smallest))} ({smallest}): set constraints.{measure} to at least that"
                )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.6g}"


def check_connected(genotype: Genotype, space: SearchSpace) -> None:
    """Raises SpecError for a network that cannot see its input."""
    if not space.is_connected(genotype):
        raise SpecError(f"genotype {genotype} does not connect its input to its output; there is nothing to train")

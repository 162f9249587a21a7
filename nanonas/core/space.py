"""SearchSpace: named choices, and the genetic operators that follow from them."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .config import ComponentConfig
from .errors import SpecError
from .genotype import Genotype, Value
from .task import Task

if TYPE_CHECKING:
    from torch import nn

    from .program import Program

PLATEAU = 60  # steps without gain before a descent ends


@dataclass(frozen=True)
class Choice:
    """A decision that a genotype makes: its name and its options, in the order in which they are printed."""

    name: str
    options: tuple[Value, ...]


class SearchSpace(ABC):
    """A product of choices. A new space says what its choices are, how it is written, and what network it means.

    Sampling, mutation, crossover and neighbours are generic, so no space has operators and no strategy knows a space.
    """

    Config: ClassVar[type[ComponentConfig]]
    measures: ClassVar[tuple[str, ...]] = ("params", "macs")
    config: Any
    choices: Sequence[Choice]

    @abstractmethod
    def __init__(self, config: Any) -> None: ...

    # ---- what a space defines

    @abstractmethod
    def format(self, values: Sequence[Value]) -> str:
        """The text of a genotype: one line, and the inverse of `parse`."""

    @abstractmethod
    def parse(self, text: str) -> Genotype:
        """Raises SpecError, with what is allowed, when the text is no genotype of this space."""

    @abstractmethod
    def canonical(self, genotype: Genotype) -> str:
        """The same text for two genotypes exactly when they are the same network up to the names of its weights."""

    @abstractmethod
    def measure(self, genotype: Genotype, task: Task) -> Mapping[str, float]:
        """The `measures`, by formula: `params` (count), `macs` (for one image) and what else the space knows."""

    @abstractmethod
    def program(self, genotype: Genotype, task: Task) -> "Program":
        """The network as operators of ONNX, known without torch; what `program.MEASURES` are taken from."""

    @abstractmethod
    def build(self, genotype: Genotype, task: Task) -> "nn.Module":
        """The network, freshly initialized from torch's current random state: (N, C, H, W) → logits (N, classes)."""

    def features(self, genotype: Genotype) -> frozenset[str]:
        """What a predictor may compare two architectures by: the more they share, the more alike they are."""
        return frozenset(f"{choice.name}={value}" for choice, value in zip(self.choices, genotype.values, strict=True))

    def supernet(self, task: Task, channels: int) -> "nn.Module":
        """All architectures as one network of this width, with a `network.MixedCell` where choices are learned; the
        evaluator `supernet` refuses a space that keeps this one."""
        raise NotImplementedError

    def describe(self, genotype: Genotype) -> str:
        """A drawing in text, for people."""
        return str(genotype)

    def is_connected(self, genotype: Genotype) -> bool:
        """Whether the input reaches the output. A network that cannot see its input is never trained."""
        return True

    # ---- what follows from the choices

    @property
    def size(self) -> int:
        """How many genotypes can be written; fewer are distinct networks."""
        return math.prod(len(choice.options) for choice in self.choices)

    def genotype(self, values: Sequence[Value]) -> Genotype:
        return Genotype(self.format(values), tuple(values))

    def sample(self, rng: random.Random) -> Genotype:
        return self.genotype([rng.choice(choice.options) for choice in self.choices])

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """One choice, uniformly drawn, takes another of its options."""
        open_choices = [i for i, choice in enumerate(self.choices) if len(choice.options) > 1]
        i = rng.choice(open_choices)
        return self._with(genotype, i, rng.choice(self._others(genotype, i)))

    def crossover(self, first: Genotype, second: Genotype, rng: random.Random) -> Genotype:
        """Uniform crossover: each choice comes from either parent."""
        return self.genotype([rng.choice(pair) for pair in zip(first.values, second.values, strict=True)])

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every genotype that differs in one choice."""
        for i in range(len(self.choices)):
            for option in self._others(genotype, i):
                yield self._with(genotype, i, option)

    def smallest(self, cost: Callable[[Genotype], float], enough: float = -math.inf) -> Genotype:
        """The cheapest connected architecture, by steepest descent over neighbours, also along plateaus.

        Exact for a cost that is a sum over choices; otherwise a local minimum, so an upper bound of the least. A cost
        of `enough` ends the descent.
        """
        rng = random.Random(0)
        here = min(filter(self.is_connected, (self.sample(rng) for _ in range(200))), key=cost)
        best, seen, patience = here, {here}, PLATEAU
        while patience and cost(best) > enough:
            ahead = [g for g in self.neighbours(here) if g not in seen and self.is_connected(g)]
            least = min(map(cost, ahead), default=math.inf)
            if least > cost(best):
                break
            here = rng.choice([g for g in ahead if cost(g) == least])
            seen.add(here)
            best, patience = (here, PLATEAU) if least < cost(best) else (best, patience - 1)
        return best

    def _others(self, genotype: Genotype, i: int) -> list[Value]:
        return [option for option in self.choices[i].options if option != genotype.values[i]]

    def _with(self, genotype: Genotype, i: int, option: Value) -> Genotype:
        return self.genotype([*genotype.values[:i], option, *genotype.values[i + 1 :]])

    def _checked(self, values: Sequence[Value], text: str) -> Genotype:
        """For `parse`: the genotype of these values, if each is an option of its choice and the text is theirs."""
        from .registry import nearest

        for choice, value in zip(self.choices, values, strict=True):
            if value not in choice.options:
                hint = nearest(value, map(str, choice.options))
                raise SpecError(f"genotype {text!r}: {choice.name} cannot be {value!r}; {hint}")
        genotype = self.genotype(values)
        if genotype.text != text:
            raise SpecError(f"genotype {text!r} is not written as this space writes it: {genotype.text}")
        return genotype

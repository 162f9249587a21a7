"""Genotype: an architecture as one line of text."""

from dataclasses import dataclass, field

Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Genotype:
    """One option for each choice of a search space. Spaces make them: `space.parse(text)`, `space.sample(rng)`.

    The text says everything (`space.parse(str(genotype)) == genotype`), so it alone is compared and hashed.
    """

    text: str
    values: tuple[Value, ...] = field(compare=False)

    def __str__(self) -> str:
        return self.text

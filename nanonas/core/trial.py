"""Proposal and Trial: what a strategy asks for, and what became of it."""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from .genotype import Genotype

LARGEST = 1e100
"""Of a metric, either way: a sum, a square or a product of such numbers is still finite."""
_Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Number = _Whole | Annotated[float, Field(ge=-LARGEST, le=LARGEST)]

Fidelity = Mapping[str, int | float]
"""How much a score costs, e.g. {"epochs": 4, "image_size": 32, "data_fraction": 1.0}: each grows with the cost."""


def fidelity_key(fidelity: Fidelity) -> str:
    return json.dumps(dict(fidelity), sort_keys=True)


def training_seed(seed: int, key: str, fidelity: str) -> int:
    """A trial's seed, from its canonical key and `fidelity_key`: the same however its genotype is written."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}/{fidelity}".encode()).digest()[:7], "big")


@dataclass(frozen=True)
class Proposal:
    """An architecture that a strategy wants scored.

    Attributes:
        fidelity: what differs from the evaluator's own fidelity.
        parent: the trial whose genotype this one was made from; None when it was drawn at random.
    """

    genotype: Genotype
    fidelity: Fidelity = field(default_factory=dict)
    parent: int | None = None


@dataclass(frozen=True)
class Trial:
    """One evaluation; a line of trials.jsonl.

    Attributes:
        trial: its number, from 0.
        metrics: empty when failed.
        seed: of the training; derived from (search seed, canonical key, fidelity).
        elapsed: seconds of search until its end, summed over restarts.
        repeats: how many proposals before this one were of architectures known already; in the journal when not 0.
        replayed: whether it was read from the journal instead of evaluated just now.
    """

    trial: int
    genotype: Genotype
    fidelity: Fidelity
    parent: int | None
    status: Literal["ok", "failed"]
    metrics: Mapping[str, float]
    error: str | None
    seed: int
    elapsed: float
    repeats: int = 0
    replayed: bool = field(default=False, compare=False)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def untrained(self) -> bool:
        """Whether its scores are the zero-cost ones of a fresh network."""
        return self.fidelity.get("epochs") == 0

    @property
    def reason(self) -> str:
        """Why it failed, in a line: `error` without the traceback that may follow."""
        return (self.error or "").partition("\n")[0]


class Line(BaseModel):
    """A line of trials.jsonl, as read from disk: nothing in it is believed before it is checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    trial: Annotated[int, Field(ge=0)]
    genotype: str
    fidelity: Annotated[dict[str, _Number], Field(max_length=10)]
    parent: _Whole | None
    status: Literal["ok", "failed"]
    metrics: dict[str, _Number]
    error: str | None
    seed: _Whole
    elapsed: Annotated[float, Field(ge=0, le=LARGEST)]
    repeats: Annotated[int, Field(ge=0, lt=2**63)] = 0


Evaluated = TypeVar("Evaluated", Trial, Line)


def cost(trial: Trial | Line) -> float:
    """A zero-cost score's lies below that of any training."""
    return math.prod(value or 1e-6 for value in trial.fidelity.values())


def at_highest_fidelity(trials: Sequence[Evaluated], names: Collection[str]) -> list[Evaluated]:
    """Those scored by these metrics at the highest cost that any of them had, since others do not compare."""
    scored = [trial for trial in trials if all(name in trial.metrics for name in names)]
    highest = max(map(cost, scored), default=0)
    return [trial for trial in scored if cost(trial) == highest]


def trial_of(line: Line, genotype: Genotype) -> Trial:
    """The trial that a line of the journal tells of."""
    told = (line.status, line.metrics, line.error, line.seed, line.elapsed, line.repeats)
    return Trial(line.trial, genotype, line.fidelity, line.parent, *told, replayed=True)


def line_of(trial: Trial) -> dict[str, Any]:
    line = {
        "trial": trial.trial,
        "genotype": str(trial.genotype),
        "fidelity": dict(trial.fidelity),
        "parent": trial.parent,
        "status": trial.status,
        "metrics": dict(trial.metrics),
        "error": trial.error,
        "seed": trial.seed,
        "elapsed": trial.elapsed,
    }
    return line | ({"repeats": trial.repeats} if trial.repeats else {})

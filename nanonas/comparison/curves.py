"""Best-so-far curves: how good the best found was after so many trials, and after so many seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..runs.record import RunRecord

Axis = Literal["trials", "seconds"]
AXES: tuple[Axis, Axis] = ("trials", "seconds")


@dataclass(frozen=True)
class Step:
    """From here on the best is `value`, an objective in its own unit; `trials` counts those done, failed ones too."""

    trials: int
    seconds: float
    value: float


def best_so_far(run: RunRecord) -> list[Step]:
    """Where the best by the first objective improves, at the highest fidelity, and the end of the search."""
    larger = run.spec.objectives[run.objective] == "maximize"
    steps: list[Step] = []
    for line in run.scored:
        value = line.metrics[run.objective]
        if not steps or (value > steps[-1].value if larger else value < steps[-1].value):
            steps.append(Step(line.trial + 1, line.elapsed, value))
    if steps:
        steps.append(Step(len(run.lines), run.lines[-1].elapsed, steps[-1].value))
    return steps


def shared_range(curves: Sequence[Sequence[Step]], axis: Axis) -> tuple[float, float] | None:
    """From where every curve has a value to where the first of them ends; None when that is nothing."""
    drawn = [curve for curve in curves if curve]
    if not drawn:
        return None
    low, high = max(getattr(curve[0], axis) for curve in drawn), min(getattr(curve[-1], axis) for curve in drawn)
    return (low, high) if high > low else None


def area(curve: Sequence[Step], axis: Axis, within: tuple[float, float]) -> float:
    """The area under a curve within a range, as a share of the range: the mean of the best so far.

    One number for how good a search is whenever it may be stopped.
    """
    low, high = within
    total = 0.0
    for step, after in zip(curve, [*curve[1:], None], strict=True):
        start = max(low, getattr(step, axis))
        end = min(high, getattr(after, axis)) if after else high
        total += max(0.0, end - start) * step.value
    return total / (high - low)

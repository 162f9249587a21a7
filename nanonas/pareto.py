"""Dominance, for one objective or several."""

from collections.abc import Mapping, Sequence
from typing import Literal

from .trial import Trial

Objectives = Mapping[str, Literal["maximize", "minimize"]]


def scores(metrics: Mapping[str, float], objectives: Objectives) -> tuple[float, ...]:
    """One number an objective, larger is better."""
    return tuple(metrics[name] if way == "maximize" else -metrics[name] for name, way in objectives.items())


def dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """At least as good in everything and better in something (Deb et al. 2002)."""
    return all(a >= b for a, b in zip(first, second, strict=True)) and tuple(first) != tuple(second)


def front(trials: Sequence[Trial], objectives: Objectives) -> list[Trial]:
    """The trials that no other dominates, best first objective first; of equals the earliest."""
    best: list[tuple[tuple[float, ...], Trial]] = []
    ranked = sorted(
        ((scores(trial.metrics, objectives), -trial.trial, trial) for trial in trials if trial.ok), reverse=True
    )
    for score, _, trial in ranked:
        if not any(other == score or dominates(other, score) for other, _ in best):
            best.append((score, trial))
    return [trial for _, trial in best]

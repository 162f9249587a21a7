"""Dominance, for one objective or several."""

import math
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


def ranks(points: Sequence[Sequence[float]]) -> list[int]:
    """The front that each point belongs to, from 0 (Deb et al. 2002, section III-A)."""
    rank = [-1] * len(points)
    left = set(range(len(points)))
    number = 0
    while left:
        best = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        for i in best:
            rank[i] = number
        left -= set(best)
        number += 1
    return rank


def crowding(points: Sequence[Sequence[float]]) -> list[float]:
    """The crowding distance of each point of a front; infinite at the ends (Deb et al. 2002, section III-B)."""
    distance = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        span = points[order[-1]][axis] - points[order[0]][axis]
        distance[order[0]] = distance[order[-1]] = math.inf
        for before, i, after in zip(order, order[1:], order[2:], strict=False):
            distance[i] += (points[after][axis] - points[before][axis]) / span if span else 0.0
    return distance


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that points dominate above a reference point, larger being better (Zitzler & Thiele 1999).

    Slices along the last axis; exact for any number of axes, quick for two and three.
    """
    above = [tuple(point) for point in points if all(p > r for p, r in zip(point, reference, strict=True))]
    if not above:
        return 0.0
    if len(reference) == 1:
        return max(point[0] for point in above) - reference[0]
    above.sort(key=lambda point: point[-1], reverse=True)
    volume = 0.0
    for i, point in enumerate(above):
        below = above[i + 1][-1] if i + 1 < len(above) else reference[-1]
        if point[-1] > below:
            volume += (point[-1] - below) * hypervolume([p[:-1] for p in above[: i + 1]], reference[:-1])
    return volume

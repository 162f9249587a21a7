"""Dominance, ranks, crowding and hypervolume, against brute force."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonas.core.pareto import crowding, dominates, hypervolume, ranks

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=20)


def test_dominance_needs_something_better() -> None:
    assert dominates((1, 2), (1, 1))
    assert not dominates((1, 1), (1, 1))
    assert not dominates((2, 0), (1, 1))


@given(points=POINTS)
def test_ranks_peel_off_fronts(points: list[tuple[int, int]]) -> None:
    left = dict(enumerate(points))
    expected = [0] * len(points)
    for number in itertools.count():
        if not left:
            break
        front = [i for i, p in left.items() if not any(dominates(q, p) for q in left.values())]
        for i in front:
            expected[i] = number
            del left[i]
    assert ranks(points) == expected


def test_the_ends_of_a_front_are_never_crowded() -> None:
    distance = crowding([(0, 4), (1, 3), (3, 1), (4, 0)])
    assert distance[0] == distance[3] == math.inf
    assert distance[1] == distance[2] == pytest.approx(1.5)
    assert crowding([]) == []


@settings(deadline=None)
@given(points=st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=8))
def test_hypervolume_counts_the_cells_below(points: list[tuple[int, int, int]]) -> None:
    for axes in (1, 2, 3):
        cut = [point[:axes] for point in points]
        cells = itertools.product(range(5), repeat=axes)
        below = sum(any(all(c < p for c, p in zip(cell, point, strict=True)) for point in cut) for cell in cells)
        assert hypervolume(cut, (0,) * axes) == pytest.approx(below)


def test_hypervolume_agrees_with_sampling() -> None:
    rng = random.Random(0)
    points = [(rng.random(), rng.random()) for _ in range(30)]
    drawn = [(rng.random(), rng.random()) for _ in range(20_000)]
    inside = sum(any(x <= p and y <= q for p, q in points) for x, y in drawn) / len(drawn)
    assert hypervolume(points, (0, 0)) == pytest.approx(inside, abs=0.02)

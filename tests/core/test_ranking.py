"""Rank aggregation and Kendall's τ."""

import math

import pytest

from nanonas.core.ranking import aggregate, kendall, ranks_of


def test_equal_values_share_their_mean_rank() -> None:
    assert ranks_of([3, 1, 3, 2]) == [1.5, 4, 1.5, 3]
    assert ranks_of([]) == []


def test_aggregation_punishes_one_bad_rank_more_than_it_rewards_one_good() -> None:
    scores = [{"a": 4, "b": 1}, {"a": 3, "b": 2}, {"a": 2, "b": 3}, {"a": 1, "b": 4}]
    together = aggregate(scores, ["a", "b"])
    assert together[1] == together[2] > together[0] == together[3]
    assert together[1] == pytest.approx((math.log(3) + math.log(2)) / 2)
    assert aggregate(scores, ["a"])[0] == max(aggregate(scores, ["a"])) == pytest.approx(math.log(4))


def test_kendall_has_no_answer_for_constants() -> None:
    assert kendall([1, 2, 3], [2, 4, 9]) == 1
    assert kendall([1, 2, 3], [3, 2, 1]) == -1
    assert kendall([1, 1, 1], [3, 2, 1]) is None
    assert kendall([1], [1]) is None

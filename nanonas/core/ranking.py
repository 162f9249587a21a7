"""Rank statistics of scores: aggregation, and agreement with what was measured."""

import math
from collections.abc import Mapping, Sequence


def aggregate(scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[float]:
    """One score for each candidate from several proxies: the mean log rank, larger is better.

    Ranks count from 1, the worst, and equal scores share their mean rank. The logarithm lets one bad rank weigh more
    than one good one (AZ-NAS, Lee & Ham 2024, arXiv:2403.19232); benchmarks/proxies.py compares it with others.
    """
    ranks = [ranks_of([-score[name] for score in scores]) for name in names]
    return [sum(math.log(rank[i]) for rank in ranks) / len(names) for i in range(len(scores))]


def ranks_of(values: Sequence[float]) -> list[float]:
    """1 for the largest; equal values share their mean rank."""
    order = sorted(range(len(values)), key=lambda i: -values[i])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            ranks[i] = (start + 1 + end) / 2
        start = end
    return ranks


def kendall(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's τ-b, from −1 to 1; None when either side is constant or there are fewer than two."""
    from scipy.stats import kendalltau

    tau = float(kendalltau(first, second).statistic) if len(first) > 1 else math.nan
    return None if math.isnan(tau) else round(tau, 4)

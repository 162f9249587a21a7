import math
import random
import warnings
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonas.comparison.verdict import is_shown, sentence
from nanonas.core.numbers import count, duration, percent, points
from nanonas.core.statistics import compare_groups, holm, least_p, mean_and_interval, pairwise, seeds_needed


def seeded(values, first=0):
    return dict(enumerate(values, first))


def test_mean_and_interval_agree_with_scipy():
    from scipy import stats

    rng = np.random.default_rng(0)
    for n in (2, 3, 7, 40):
        values = rng.normal(0.8, 0.02, n)
        estimate = mean_and_interval(values.tolist())
        low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
        assert estimate.n == n
        assert estimate.std == pytest.approx(values.std(ddof=1))
        assert estimate.interval == pytest.approx((low, high))


def test_the_bootstrap_interval_covers_what_percentiles_of_resampled_means_do():
    values = np.random.default_rng(0).normal(0.8, 0.02, 40)
    resampled = np.random.default_rng(1).choice(values, (20_000, 40)).mean(axis=1)
    low, high = mean_and_interval(values.tolist()).bootstrap
    assert (low, high) == pytest.approx(np.quantile(resampled, (0.025, 0.975)), abs=0.001)


def test_the_bootstrap_interval_is_the_same_every_time_and_absent_without_spread():
    values = [0.8, 0.82, 0.9]
    assert mean_and_interval(values) == mean_and_interval(values)
    assert mean_and_interval([0.8, 0.8]).bootstrap is None


def test_one_value_has_a_mean_and_no_spread():
    estimate = mean_and_interval([0.9])
    assert (estimate.n, estimate.mean) == (1, 0.9)
    assert estimate.std is estimate.interval is estimate.bootstrap is None


@pytest.mark.parametrize("values", [[], [math.nan], [0.5, math.inf]])
def test_values_that_are_no_numbers_are_refused(values):
    with pytest.raises(ValueError, match="finite"):
        mean_and_interval(values)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 5), (5, 4)])
def test_groups_of_other_seeds_are_dealt_anew_in_every_way(sizes):
    from scipy import stats

    rng = np.random.default_rng(1)
    a, b = rng.normal(0.8, 0.01, sizes[0]), rng.normal(0.79, 0.03, sizes[1])
    test = compare_groups(seeded(a.tolist()), seeded(b.tolist(), 100))
    every = np.concatenate([a, b])
    dealt = [np.isin(np.arange(len(every)), chosen) for chosen in combinations(range(len(every)), sizes[0])]
    differences = np.array([every[one].mean() - every[~one].mean() for one in dealt])
    observed = a.mean() - b.mean()
    tails = (differences >= observed - 1e-12).mean(), (differences <= observed + 1e-12).mean()
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert (test.method, test.paired, test.n) == ("exact permutation test", False, sizes)
    assert test.p == pytest.approx(min(1.0, 2 * min(tails)))
    assert test.t_p == pytest.approx(welch.pvalue)
    assert test.difference == pytest.approx(observed)
    assert test.interval == pytest.approx(tuple(welch.confidence_interval(0.95)))


@pytest.mark.parametrize("n", [2, 5, 8])
def test_groups_of_the_same_seeds_have_every_sign_flipped(n):
    from scipy import stats

    rng = np.random.default_rng(n)
    a = rng.normal(0.8, 0.02, n)
    b = a - rng.normal(0.005, 0.008, n)
    first = seeded(a.tolist())
    test = compare_groups(first, dict(reversed(seeded(b.tolist()).items())))  # the seed decides, not the order
    flipped = [abs(np.mean(np.array(signs) * (a - b))) for signs in product((1, -1), repeat=n)]
    expected = stats.ttest_rel(a, b)
    assert (test.method, test.paired) == ("exact paired permutation test", True)
    assert test.p == pytest.approx(np.mean(np.array(flipped) >= abs((a - b).mean()) - 1e-12))
    assert test.t_p == pytest.approx(expected.pvalue)
    assert test.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_wilcoxons_exact_test_agrees_where_the_signs_decide():
    from scipy import stats

    a, b = [0.91, 0.92, 0.93, 0.94, 0.95, 0.96], [0.90, 0.90, 0.90, 0.90, 0.90, 0.90]
    assert compare_groups(seeded(a), seeded(b)).p == stats.wilcoxon(a, b).pvalue == 2 / 2**6


def test_many_seeds_are_permuted_at_random_and_always_the_same_way():
    rng = np.random.default_rng(3)
    a, b = seeded(rng.normal(0.8, 0.02, 20).tolist()), seeded(rng.normal(0.79, 0.02, 20).tolist())
    test = compare_groups(a, b)
    assert test.method == "paired permutation test"
    assert test == compare_groups(a, b)
    assert test.p == pytest.approx(test.t_p, abs=0.01)


def test_the_least_seeds_are_those_of_the_best_possible_groups():
    for paired, first in ((True, 0), (False, 100)):
        n = seeds_needed(paired)
        better, worse = seeded([0.9 + i / 1000 for i in range(n)]), seeded([0.8 + i / 900 for i in range(n)], first)
        assert compare_groups(better, worse).p == pytest.approx(least_p(paired, (n, n)))
        assert compare_groups(better, worse).p < 0.05
        assert least_p(paired, (n - 1, n - 1)) >= 0.05
    assert (seeds_needed(True), seeds_needed(False), seeds_needed(True, 3)) == (6, 4, 7)
    assert (seeds_needed(True, math.comb(71, 2)), seeds_needed(True, math.comb(72, 2))) == (17, None)


def test_effect_size_is_hedges_g():
    test = compare_groups(seeded([1.0, 2.0, 3.0]), seeded([3.0, 4.0, 5.0], 10))
    assert test.effect_size == pytest.approx(-2.0 * (1 - 3 / 15))


def test_two_groups_swapped_give_the_same_test_with_the_other_sign():
    a, b = seeded([0.8, 0.82, 0.81]), seeded([0.79, 0.8], 10)
    one, other = compare_groups(a, b), compare_groups(b, a)
    assert one.p == pytest.approx(other.p)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))


@pytest.mark.parametrize("second", [0.9, 0.8])
def test_values_without_any_spread_show_nothing(second):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = compare_groups(seeded([0.9] * 3), seeded([second] * 3))
    assert (test.p, test.interval, test.effect_size) == (1.0, None, None)
    assert test.difference == pytest.approx(0.9 - second)


@pytest.mark.filterwarnings("ignore:Precision loss")  # of scipy
def test_one_group_without_spread_is_tested_by_the_spread_of_the_other():
    from scipy import stats

    test = compare_groups(seeded([0.9, 0.9]), seeded([0.8, 0.82, 0.81], 10))
    assert test.t_p == pytest.approx(stats.ttest_ind([0.9, 0.9], [0.8, 0.82, 0.81], equal_var=False).pvalue)
    assert test.p == pytest.approx(2 / 10)


def test_paired_differences_without_spread_get_the_interval_of_welch():
    from scipy import stats

    a, b = [0.90, 0.93], [0.89, 0.92]  # 0.01 both times, but for rounding
    test = compare_groups(seeded(a), seeded(b))
    assert test.paired
    assert test.t_p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_a_group_of_one_seed_cannot_be_tested():
    with pytest.raises(ValueError, match="at least 2 seeds"):
        compare_groups({0: 0.9}, {0: 0.8, 1: 0.7})


@pytest.mark.parametrize(("n", "paired"), [(4, False), (6, True), (7, True)])
def test_equal_distributions_rarely_differ(n, paired):
    rng = np.random.default_rng(n)
    draws = 1000
    pairs = rng.normal(0.8, 0.01, (draws, 2, n)).tolist()
    found = sum(compare_groups(seeded(a), seeded(b, 0 if paired else 100)).p < 0.05 for a, b in pairs)
    assert found / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_holm_by_hand():
    assert holm([]) == []
    assert holm([0.04]) == [0.04]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for i, p in enumerate(p_values):
        assert p <= adjusted[i] <= min(1.0, p * len(p_values)) or adjusted[i] == max(
            adjusted[j] for j, other in enumerate(p_values) if other <= p
        )
    assert [p for _, p in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


def test_pairwise_leaves_out_groups_of_one_seed():
    rng = random.Random(0)
    groups = {name: {seed: rng.gauss(0.8, 0.01) for seed in range(n)} for name, n in (("a", 3), ("b", 1), ("c", 3))}
    assert [(test["a"], test["b"]) for test in pairwise(groups)] == [("a", "c")]


def test_numbers_are_written_with_units():
    assert [count(value) for value in (7, 999.7, 246_912, 999_900, 1_290_000, 2.5e9)] == [
        "7", "1.00 K", "247 K", "1.00 M", "1.29 M", "2.50 G",
    ]  # fmt: skip
    assert [duration(value) for value in (4.2, 42, 750, 9000)] == ["4.20 s", "42.0 s", "12.5 min", "2.50 h"]
    assert percent({"mean": 0.9342, "std": 0.0011, "n": 3}) == "93.42 ± 0.11 % (n=3)"
    assert percent({"mean": 0.9342, "std": None, "n": 1}) == "93.42 % (n=1)"
    assert [points(value) for value in (-0.004, 0.009, -0.00001)] == ["−0.40", "0.90", "0.00"]


def test_a_test_in_words_puts_the_better_group_first():
    test = {
        "a": "random", "b": "evo", "difference": -0.012, "interval": [-0.02, -0.004], "n": [4, 5], "paired": False,
        "method": "exact permutation test", "p": 0.016, "p_adjusted": 0.016, "least_p": 2 / 126, "effect_size": -1.5,
    }  # fmt: skip
    assert sentence(test, 1) == (
        "evo is better than random: +1.20 points (95 % interval 0.40 to 2.00, n=5 and 4, Hedges' g 1.50, exact "
        "permutation test, p=0.016)"
    )
    assert sentence(test | {"p_adjusted": 0.31, "interval": [-0.03, 0.004]}, 3) == (
        "no difference shown between evo and random (n=5 and 4, 95 % interval −0.40 to 3.00 points, Hedges' g 1.50, "
        "exact permutation test, p=0.31 after Holm)"
    )


def test_too_few_seeds_are_named_with_how_many_it_takes():
    groups = {"evo": seeded([0.91, 0.92, 0.94]), "random": seeded([0.81, 0.82, 0.83])}
    (test,) = pairwise(groups)
    assert not is_shown(test)
    assert sentence(test, 1).endswith("exact paired permutation test, p=0.25; it takes 6 seeds each to show any)")

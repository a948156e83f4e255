"""Every statistic against a hand-computed or published answer, and intervals against simulated coverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import PAIR, write_confirm, write_search

from agsgtl.reporting import statistics
from agsgtl.reporting.tidy import collect

# Darwin's maize, crossed minus self-fertilised height in eighths of an inch: Fisher 1935, The Design of Experiments,
# section 21, counts 863 of the 2^15 sign combinations with a sum of 314 or more.
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)


def test_t_interval_by_hand() -> None:
    # Mean 2, standard error 1/sqrt(3), t(.975, 2) = 4.302653.
    assert statistics.t_interval([1, 2, 3]) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert statistics.t_interval([1.0]) is None


@pytest.mark.parametrize("n", [3, 5, 10])
def test_t_interval_covers_95_percent(n: int) -> None:
    draws = np.random.default_rng(7).normal(0.7, 0.03, size=(1500, n))
    intervals = (statistics.t_interval(draw) for draw in draws)
    covered = np.mean([low <= 0.7 <= high for low, high in intervals])  # type: ignore[misc]
    assert covered == pytest.approx(0.95, abs=0.017)  # three standard errors of 1,500 draws


def test_bca_interval_covers_nearly_95_percent_from_20_on() -> None:
    """Of normal values 92.5 % at n = 20; a plain percentile interval of fewer values would fall below 90 %."""
    assert statistics.bca_interval([0.1 * i for i in range(19)]) is None
    rng = np.random.default_rng(3)
    found = []
    for _ in range(1500):
        low, high = statistics.bca_interval(rng.normal(0.7, 0.03, 20)) or (1.0, 0.0)
        found.append(low <= 0.7 <= high)
    assert np.mean(found) == pytest.approx(0.925, abs=0.02)  # three standard errors of 1,500 draws


def test_bca_interval_is_the_same_each_time() -> None:
    values = np.random.default_rng(0).normal(size=25).tolist()
    assert statistics.bca_interval(values) == statistics.bca_interval(values)


def test_sign_flips_agree_with_fishers_count_for_darwins_maize() -> None:
    assert statistics.sign_flip_p(DARWIN) == pytest.approx(2 * 863 / 2**15)


def test_sign_flips_by_hand() -> None:
    # |sum| >= 2 of (+-1, +-2, +-1): +-4 (2), +-2 (4 of 8 have |sum| = 2): of 8 sums 4,2,0,-2,2,0,-2,-4 six are >= 2.
    assert statistics.sign_flip_p(np.array([1.0, 2.0, -1.0])) == pytest.approx(6 / 8)
    assert statistics.sign_flip_p(np.array([0.1, 0.2, 0.3, 0.1, 0.2])) == 0.0625
    assert statistics.sign_flip_p(np.zeros(4)) == 1.0


def test_many_seeds_use_random_flips_that_agree_with_the_t_test() -> None:
    differences = np.random.default_rng(1).normal(0.5, 1, 30)
    assert statistics.sign_flip_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert statistics.sign_flip_p(np.arange(1.0, 31.0)) == statistics.smallest_p(30) == 1e-5


def test_sign_flips_keep_their_level() -> None:
    draws = np.random.default_rng(5).normal(size=(2000, 8))
    rejected = np.mean([statistics.sign_flip_p(draw) <= 0.05 for draw in draws])
    assert rejected == pytest.approx(12 / 256, abs=0.015)  # the largest attainable level below .05


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (3, 0.25), (5, 0.0625), (10, 2 / 1024)])
def test_the_smallest_p_is_that_of_equal_signs(n: int, p: float) -> None:
    assert statistics.smallest_p(n) == p == statistics.sign_flip_p(np.arange(1.0, n + 1))


def test_a_against_b_uses_the_seeds_that_both_have() -> None:
    found = statistics.compare_paired({1: 0.5, 2: 0.6, 3: 0.9}, {2: 0.5, 1: 0.2, 4: 0.0})
    assert found is not None
    assert found.n == 2
    assert found.difference == pytest.approx(0.2)
    assert found.p == 0.5
    assert statistics.compare_paired({1: 0.5}, {2: 0.5}) is None


def test_over_pairs_a_seed_flips_in_all_pairs_at_once() -> None:
    # Seed 1: (.2 + .4) / 2 = .3; seed 2: (-.1 + .1) / 2 = 0. Flips of (.3, 0): all four are as extreme.
    a = [{1: 0.7, 2: 0.5}, {1: 0.9, 2: 0.6}]
    b = [{1: 0.5, 2: 0.6}, {1: 0.5, 2: 0.5}]
    found = statistics.compare_over_pairs(a, b)
    assert found is not None
    assert found.differences == pytest.approx((0.3, 0.0))
    assert found.p == 1.0
    assert found.smallest_p == 0.5


def test_over_pairs_a_seed_that_failed_on_one_is_left_out_of_all() -> None:
    """The gain is .1 and .3 on every seed: no spread, whichever run is missing, so no interval of its own and no g."""
    a = [{1: 0.6, 2: 0.6, 3: 0.6}, {1: 0.8, 2: 0.8}]
    b = [{1: 0.5, 2: 0.5, 3: 0.5}, {1: 0.5, 2: 0.5, 3: 0.5}]
    found = statistics.compare_over_pairs(a, b)
    assert found is not None
    assert found.differences == pytest.approx((0.2, 0.2))
    assert found.effect is None
    assert statistics.compare_over_pairs([{1: 0.6}, {2: 0.8}], [{1: 0.5}, {2: 0.5}]) is None


def test_hedges_g_by_hand() -> None:
    # d = 2 / 1; the correction for 2 degrees of freedom is Gamma(1) / (sqrt(1) Gamma(1/2)) = 1 / sqrt(pi).
    found = statistics.hedges_g([1.0, 2.0, 3.0])
    assert found is not None
    assert found[0] == pytest.approx(2 / np.sqrt(np.pi))
    assert statistics.hedges_g([0.1, 0.1, 0.1]) is None
    assert statistics.hedges_g([0.1]) is None


def test_hedges_g_interval_covers_95_percent() -> None:
    rng, correction = np.random.default_rng(2), 1 - 3 / (4 * 9 - 1)
    found = []
    for _ in range(400):
        result = statistics.hedges_g(rng.normal(0.8, 1.0, 10).tolist())
        assert result is not None
        found.append(result[1][0] <= 0.8 * correction <= result[1][1])
    assert np.mean(found) == pytest.approx(0.95, abs=0.033)


def test_holm_agrees_with_r() -> None:
    # p.adjust(c(.01, .02, .03, .04, .05), "holm")
    assert statistics.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert statistics.holm([]) == []


@pytest.mark.parametrize(("methods", "pairs"), [(2, 6), (3, 7), (5, 9), (7, 10)])
def test_the_pairs_that_ranks_need(methods: int, pairs: int) -> None:
    comparisons = methods * (methods - 1) / 2
    assert statistics.pairs_needed(methods) == pairs
    assert comparisons * 2 / 2**pairs < 0.05 <= comparisons * 2 / 2 ** (pairs - 1)


def test_ranks_by_hand() -> None:
    means = pd.DataFrame({"a": [0.5, 0.7, 0.6], "b": [0.5, 0.4, 0.5]}, index=["x", "y", "z"])
    assert statistics.rank_methods(means).mean_rank == {"x": 2.25, "y": 2.0, "z": 1.75}  # a: 3, 1, 2; b: 1.5, 3, 1.5


def test_the_critical_difference_is_demsars() -> None:
    # Demsar 2006, JMLR 7, section 3.2.2: 4 classifiers on 14 data sets, CD = 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25.
    found = statistics.rank_methods(pd.DataFrame(np.random.default_rng(0).normal(size=(4, 14)), index=list("abcd")))
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(20 / 84), abs=1e-3)
    assert len(found.p) == 6
    assert found.needed == 8


def test_wilcoxon_gives_the_smallest_p_where_one_method_always_wins() -> None:
    better = np.linspace(0.01, 0.06, 6)
    found = statistics.rank_methods(pd.DataFrame([0.5 + better, np.full(6, 0.5)], index=["a", "b"]))
    assert found.p == {("a", "b"): pytest.approx(2 / 2**6)}
    assert found.mean_rank == {"a": 1.0, "b": 2.0}


def test_ranks_over_few_pairs_are_description_only() -> None:
    found = statistics.rank_methods(pd.DataFrame(np.random.default_rng(0).normal(size=(4, 7)), index=list("abcd")))
    assert found.p == {}
    assert found.critical_difference is None
    assert found.needed == 8


def test_the_interval_of_g_is_right_for_a_huge_t() -> None:
    """With t = 1e5 the normal part is nothing: the noncentrality over t is the root of chi-squared over its df."""
    steps = np.array([-1.5, -0.5, 0.5, 1.5])
    values = 1.0 + steps * 2 / (1e5 * float(np.std(steps, ddof=1)))
    g, (low, high) = statistics.hedges_g(values.tolist()) or (0.0, (0.0, 0.0))
    assert low / g == pytest.approx((stats.chi2.ppf(0.025, 3) / 3) ** 0.5, rel=1e-3)
    assert high / g == pytest.approx((stats.chi2.ppf(0.975, 3) / 3) ** 0.5, rel=1e-3)
    flipped = statistics.hedges_g((-values).tolist())
    assert flipped is not None
    assert flipped[1] == pytest.approx((-high, -low))


def test_regret_is_the_oracles_choice_minus_the_rules(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.9, 0.5, 0.7], test=[[0.60, 0.62], [0.70, 0.74], [0.1, 0.2]])
    (row,) = statistics.selection_regret(collect([tmp_path / "demo"])).to_dict("records")
    assert (row["chosen"], row["oracle"], row["trials"]) == (0, 1, 3)
    assert row["regret"] == pytest.approx(0.72 - 0.61)


def test_regret_is_of_the_trial_that_was_confirmed(tmp_path: Path) -> None:
    """Finals chose trial 0, whatever the search's own seeds said."""
    write_search(tmp_path / "demo", "agsgtl", [0.7, 0.5, 0.9], test=[[0.60, 0.62], [0.70, 0.74], [0.1, 0.2]])
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5}, trials=3)
    (row,) = statistics.selection_regret(collect([tmp_path / "demo"])).to_dict("records")
    assert (row["chosen"], row["oracle"]) == (0, 1)
    assert row["regret"] == pytest.approx(0.72 - 0.61)


def test_a_study_that_went_on_after_its_trials_were_scored_has_no_regret(tmp_path: Path) -> None:
    """Trial 2 was confirmed, and is not scored: the best of the others is nobody's choice, nor is it the oracle's."""
    write_search(tmp_path / "demo", "agsgtl", [0.7, 0.5, 0.9], test=[[0.60, 0.62], [0.70, 0.74], []])
    write_search(tmp_path / "demo", "fine_tune", [0.7, 0.5], test=[[0.60, 0.62], [0.70, 0.74]])
    found = collect([tmp_path / "demo"])
    assert statistics.selection_regret(found)["method"].tolist() == ["fine_tune"]
    assert set(statistics.partly_scored(found)["method"]) == {"agsgtl"}


def test_the_winners_curse_is_seen_minus_confirmed(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5, 50: 0.6}, trials=30)  # seen .9, confirmed .7 on each seed
    (row,) = statistics.winners_curse(collect([tmp_path / "demo"])).to_dict("records")
    assert row["pair"] == PAIR
    assert row["curse"] == pytest.approx(0.2)

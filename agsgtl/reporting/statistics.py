"""Statistics that are true at n = 3, 5 and 10: intervals, paired exact tests, ranks, and where spread comes from."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special, stats
from statsmodels.stats.multitest import multipletests

LEVEL = 0.95
BCA_FROM = 20
"""Fewest values for a BCa interval: at n = 10 it was seen to cover 89 % instead of 95 %."""

FEWEST_TRIALS = 10
"""Complete trials below which an importance says nothing."""

MOST_TRIALS = 2000
"""Of a study with more complete trials, importances are measured on so many."""

STUDY = ["experiment", "method", "pair", "per_class"]

_EXACT_UP_TO = 16
_LARGE_T = 1000.0
_RESAMPLES = 99_999
_SEED = 20_240

Interval = tuple[float, float]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class PairedTest:
    """A against B over paired seeds: `differences` are A - B by seed, `p` is two-sided, from sign flips."""

    differences: tuple[float, ...]
    p: float

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.differences)

    @property
    def smallest_p(self) -> float:
        """The smallest p that this n can give."""
        return smallest_p(self.n)

    @property
    def difference(self) -> float:
        """The mean of A - B."""
        return float(np.mean(self.differences))

    @property
    def interval(self) -> Interval | None:
        """Student's t interval of the mean difference."""
        return t_interval(self.differences)

    @property
    def effect(self) -> tuple[float, Interval] | None:
        """Hedges' g of the differences with its interval."""
        return hedges_g(self.differences)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over pairs (1 = best); `p` holds Holm-adjusted Wilcoxon p-values, empty below `needed` pairs.

    `critical_difference` is Nemenyi's at .05 (Demsar 2006, JMLR 7, section 3.2.2).
    """

    mean_rank: Mapping[str, float]
    pairs: int
    needed: int
    p: Mapping[tuple[str, str], float]
    critical_difference: float | None


def t_interval(values: Sequence[float] | Vector, level: float = LEVEL) -> Interval | None:
    """Student's t interval of the mean (ddof 1); None below two values.

    >>> low, high = t_interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    if len(values) < 2:
        return None
    n, mean = len(values), float(np.mean(values))
    half = float(special.stdtrit(n - 1, (1 + level) / 2) * np.std(values, ddof=1) / math.sqrt(n))
    return (mean - half, mean + half)


def bca_interval(values: Sequence[float] | Vector, level: float = LEVEL) -> Interval | None:
    """The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), seed fixed; None below n = 20.

    At n = 20 it covers the mean of normal values 92.5 % of the time, and less below: hence the t interval beside it.
    """
    if len(values) < BCA_FROM or np.ptp(values) == 0:
        return None
    rng = np.random.default_rng(_SEED)
    found = stats.bootstrap((np.asarray(values),), np.mean, confidence_level=level, method="BCa", rng=rng)
    return (float(found.confidence_interval.low), float(found.confidence_interval.high))


def compare_paired(a: Mapping[int, float], b: Mapping[int, float]) -> PairedTest | None:
    """A against B on one pair, by sign flips over the seeds that both have; None where they share none."""
    return compare_over_pairs([a], [b])


def compare_over_pairs(a: Sequence[Mapping[int, float]], b: Sequence[Mapping[int, float]]) -> PairedTest | None:
    """A against B over pairs of scenes: a seed's difference is its mean over the pairs, over the seeds that all of them have.

    Under the null hypothesis a seed's two results may be swapped. One sign a seed, not one a (seed, pair), stays exact
    where a seed's pairs depend on each other, as pairs cut from one cube do. A seed that lacks one pair would be a mean of
    others, whose spread is not the seeds': it is left out, as the average of a row leaves it out.

    Args:
        a: by pair, the values of A by seed.
        b: the same pairs in the same order, the values of B by seed.

    Returns:
        None where no seed has every pair on both sides.
    """
    pairs = list(zip(a, b, strict=True))
    seeds = sorted(set.intersection(*(set(of_a.keys() & of_b.keys()) for of_a, of_b in pairs)))
    if not seeds:
        return None
    differences = np.array([np.mean([of_a[seed] - of_b[seed] for of_a, of_b in pairs]) for seed in seeds])
    return PairedTest(tuple(differences.tolist()), sign_flip_p(differences))


def sign_flip_p(differences: Vector) -> float:
    """The two-sided p of a mean of zero over all 2^n sign flips; 99,999 random ones (seed fixed) above n = 16.

    Fisher 1935, The Design of Experiments, section 21; the random form counts the observed signs too (Phipson and
    Smyth 2010, doi:10.2202/1544-6115.1585).
    """
    signs, extra = _signs(len(differences)), int(len(differences) > _EXACT_UP_TO)
    sums, observed = np.abs(signs @ differences), abs(differences.sum())
    # Sums that are equal on paper differ in the last bits.
    as_extreme = int(np.count_nonzero(sums >= observed - 1e-12 * max(1.0, np.abs(differences).sum())))
    return (as_extreme + extra) / (len(signs) + extra)


@functools.lru_cache(maxsize=2)  # a table makes tens of tests of the same n; that of n = 16 takes 8 MiB
def _signs(n: int) -> NDArray[np.float64]:
    """All sign flips of n differences, a row each, or random ones where they are too many."""
    if n <= _EXACT_UP_TO:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    return np.random.default_rng(_SEED).choice((1.0, -1.0), size=(_RESAMPLES, n))


def smallest_p(n: int) -> float:
    """The smallest two-sided p of the sign-flip test over n seeds.

    >>> smallest_p(5)
    0.0625
    """
    return min(1.0, 2.0 / 2**n) if n <= _EXACT_UP_TO else 1.0 / (_RESAMPLES + 1)


def hedges_g(differences: Sequence[float]) -> tuple[float, Interval] | None:
    """The mean of paired differences over their sd, corrected for small n, and its interval from the noncentral t.

    Hedges and Olkin 1985, Statistical Methods for Meta-Analysis, chapter 5; Cumming and Finch 2001,
    doi:10.1177/0013164401614002. None below two values, and where the differences do not differ.
    """
    n, values = len(differences), np.asarray(differences)
    if n < 2 or np.ptp(values) <= 1e-12 * np.abs(values).max():
        return None
    t, df = float(stats.ttest_1samp(values, 0.0).statistic), n - 1
    # With df = 1 the correction has no value; g is then left uncorrected.
    correction = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) * math.sqrt(2 / df) if df > 1 else 1.0
    low, high = (_noncentrality(t, df, tail) for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    scale = correction / math.sqrt(n)
    return t * scale, (low * scale, high * scale)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Holm 1979, Scandinavian Journal of Statistics 6), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def pairs_needed(methods: int, alpha: float = 0.05) -> int:
    """The fewest pairs at which the smallest Holm-adjusted Wilcoxon p of all comparisons of methods is below alpha.

    >>> pairs_needed(5)
    9
    """
    comparisons = max(1, methods * (methods - 1) // 2)
    return math.floor(math.log2(2 * comparisons / alpha)) + 1


def rank_methods(means: pd.DataFrame) -> Ranks:
    """Ranks of methods over pairs, with tests only where the number of pairs can carry them.

    Args:
        means: a row a method, a column a pair, higher is better, no value missing.
    """
    mean_rank = means.rank(ascending=False, axis=0).mean(axis=1)
    methods, pairs = list(means.index), means.shape[1]
    needed = pairs_needed(len(methods))
    ranks = {str(method): float(mean_rank[method]) for method in methods}
    if pairs < needed or len(methods) < 2:
        return Ranks(ranks, pairs, needed, {}, None)
    compared = list(itertools.combinations(methods, 2))
    raw = [float(stats.wilcoxon(means.loc[a], means.loc[b], method="auto").pvalue) for a, b in compared]
    quantile = stats.studentized_range.ppf(0.95, len(methods), np.inf) / math.sqrt(2)
    difference = float(quantile * math.sqrt(len(methods) * (len(methods) + 1) / (6 * pairs)))
    return Ranks(ranks, pairs, needed, dict(zip(compared, holm(raw), strict=True)), difference)


def selection_regret(trials: pd.DataFrame) -> pd.DataFrame:
    """What selection cost, a row a study: the oracle's choice minus the rule's, on test, both on search seeds.

    The rule's choice is the trial that was confirmed, after the finals if there were any; where none was, the best before them.

    Args:
        trials: the tidy frame with scored search outcomes (`agsgtl evaluate RESULTS --trials` scores them).

    Returns:
        Columns experiment, method, pair, per_class, trials, chosen, chosen_macro_f1, oracle, oracle_macro_f1, regret; only
        studies all of whose complete trials have scores.
    """
    done = wholly_scored(trials)
    per_trial = done.groupby([*STUDY, "number"], dropna=False, as_index=False)[["record_score", "macro_f1"]].mean()
    count = per_trial.groupby(STUDY, dropna=False, as_index=False).agg(trials=("number", "size"))
    is_confirmed = per_trial.merge(_confirmed_trials(trials), how="left", indicator=True)["_merge"] == "both"
    by_rule = per_trial.assign(record_score=per_trial["record_score"].mask(is_confirmed, math.inf))
    chosen, oracle = best_trials(by_rule, "record_score"), best_trials(per_trial, "macro_f1")
    chosen = chosen.rename(columns={"number": "chosen", "macro_f1": "chosen_macro_f1"}).drop(columns="record_score")
    oracle = oracle.rename(columns={"number": "oracle", "macro_f1": "oracle_macro_f1"}).drop(columns="record_score")
    found = count.merge(chosen, on=STUDY).merge(oracle, on=STUDY)
    return found.assign(regret=found["oracle_macro_f1"] - found["chosen_macro_f1"])


def wholly_scored(frame: pd.DataFrame) -> pd.DataFrame:
    """The complete search trials of those studies in which each has test scores: an oracle that looks at some is none."""
    complete, scored = _complete_and_scored(frame)
    return complete[scored == 1.0]


def partly_scored(frame: pd.DataFrame) -> pd.DataFrame:
    """The complete search trials of those studies in which some have test scores: their search went on since."""
    complete, scored = _complete_and_scored(frame)
    return complete[(scored > 0.0) & (scored < 1.0)]


def _complete_and_scored(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The complete search trials, and beside each its study's share of those that have test scores."""
    complete = frame[(frame["kind"] == "search") & (frame["status"] == "complete")]
    keys = [complete[name] for name in STUDY]
    return complete, complete["macro_f1"].notna().groupby(keys, dropna=False).transform("mean")


def _confirmed_trials(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials whose configurations were confirmed: columns of `STUDY`, and number."""
    confirmed = frame[(frame["kind"] == "confirm") & frame["origin_trial"].notna()]
    return confirmed[[*STUDY, "origin_trial"]].rename(columns={"origin_trial": "number"}).drop_duplicates()


def best_trials(per_trial: pd.DataFrame, by: str) -> pd.DataFrame:
    """The best trial of each study by one column, a row each; of equals the one with the lowest number."""
    worst_first = per_trial.sort_values("number", ascending=False, kind="stable").sort_values(by, kind="stable")
    return worst_first.drop_duplicates(STUDY, keep="last").sort_values(STUDY)


def winners_curse(confirmed: pd.DataFrame) -> pd.DataFrame:
    """Score the search saw minus the same score on confirmation seeds, a row a tuned study, from the tidy frame.

    Returns:
        Columns experiment, method, pair, per_class, seen, confirmed, curse, low, high (t interval of the curse).
    """
    tuned = confirmed[(confirmed["kind"] == "confirm") & confirmed["origin_score"].notna() & confirmed["score"].notna()]
    by_seed = tuned.groupby([*STUDY, "number"], as_index=False)[["origin_score", "score"]].mean()
    rows = []
    for key, part in by_seed.groupby(STUDY):
        interval = t_interval((part["origin_score"] - part["score"]).tolist()) or (math.nan, math.nan)
        seen, again = float(part["origin_score"].mean()), float(part["score"].mean())
        rows.append([*key, seen, again, seen - again, *interval])
    return pd.DataFrame(rows, columns=[*STUDY, "seen", "confirmed", "curse", "low", "high"])


def pooled_importances(importances: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread (sd, ddof 1) over the studies of each method: columns method, path, mean, sd, studies.

    Args:
        importances: columns `study` (method/pair/k), `path` and `importance`.
    """
    by_method = importances.assign(method=importances["study"].astype("string").str.split("/").str[0])
    pooled = by_method.groupby(["method", "path"])["importance"].agg(["mean", "std", "size"]).reset_index()
    return pooled.rename(columns={"std": "sd", "size": "studies"}).sort_values(
        ["method", "mean"], ascending=[True, False], ignore_index=True
    )


def _noncentrality(t: float, df: int, probability: float) -> float:
    """The noncentrality at which a noncentral t variable lies below t with this probability."""
    if abs(t) > _LARGE_T:
        # SciPy's values are wrong there. The normal part is then nothing beside the noncentrality, and t over the latter
        # the inverse root of a chi-squared variable over its df.
        tail = probability if t > 0 else 1 - probability
        return t * math.sqrt(float(stats.chi2.isf(tail, df)) / df)
    span = 8.0 * math.sqrt(1 + t * t / (2 * df))

    def excess(noncentrality: float) -> float:
        below = float(special.nctdtr(df, noncentrality, t))
        # SciPy gives NaN in the far tails, where the answer is 0 or 1.
        return (below if math.isfinite(below) else float(noncentrality < t)) - probability

    return float(optimize.brentq(excess, t - span, t + span))

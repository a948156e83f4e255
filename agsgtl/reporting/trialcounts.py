"""How many trials were enough: what a search would have chosen after 5, 10, 20, ... of its trials, and what that was worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pandas as pd

from agsgtl.reporting.layout import Block, Document, Sentences, percent, words
from agsgtl.reporting.statistics import STUDY, best_trials
from agsgtl.reporting.tidy import k_text, split_by, study_name

FIRST_COUNT: Final = 5
"""Fewest trials that are looked at; each further count is twice the one before it."""

_NOTE: Final = (
    "Selection score / macro F1 on test (%) of the trial with the best selection score among the first so many asked, on "
    "the search's own seeds and before any finals, or of all where a search asked fewer; methods: mean over their studies, "
    "those that had no complete trial by then left out. Ties: complete trials that share a study's best score, of all complete ones."
)
_UNSCORED: Final = "Macro F1 on test is shown once `agsgtl evaluate RESULTS --trials` has scored the search trials."
_VALUES: Final = ["record_score", "macro_f1"]


def trial_tables(frame: pd.DataFrame) -> Document:
    """One line an experiment, method and k, the mean over its studies; then one line a study.

    Args:
        frame: the tidy frame; only its search trials are looked at.
    """
    trials = frame[frame["kind"] == "search"]
    complete = trials[trials["status"] == "complete"]
    per_trial = complete.groupby([*STUDY, "number"], dropna=False, as_index=False)[_VALUES].mean()
    counts = list(trial_counts(int(trials["number"].max()) + 1 if len(trials) else 0))
    chosen = _chosen(per_trial, counts)
    methods = [
        (experiment, method, k_text(per_class), *_texts(_means(found), counts))
        for (experiment, method, per_class), found in split_by(chosen, ["experiment", "method", "per_class"])
    ]
    ties = {key: _ties(found["record_score"]) for key, found in split_by(per_trial, STUDY)}
    studies = [
        (key[0], study_name(*key[1:]), *_texts(found.set_index("count")[_VALUES], counts), ties[key])
        for key, found in split_by(chosen, STUDY)
    ]
    header = tuple(f"{count} trials" for count in counts)
    title = "What the search had chosen after so many trials"
    blocks = (
        _block("trials", title, ("experiment", "method", "k", *header), methods),
        _block("trials:study", f"{title}, study by study", ("experiment", "study", *header, "ties"), studies),
    )
    notes = (_NOTE,) if per_trial["macro_f1"].notna().all() else (_NOTE, _UNSCORED)
    return Document(blocks, (Sentences("note", "", notes),))


def trial_counts(most: int) -> Iterator[int]:
    """5, 10, 20, ... as long as that is fewer than all trials, then all.

    >>> list(trial_counts(30)), list(trial_counts(3)), list(trial_counts(0))
    ([5, 10, 20, 30], [3], [])
    """
    count = FIRST_COUNT
    while count < most:
        yield count
        count *= 2
    if most:
        yield most


def _chosen(per_trial: pd.DataFrame, counts: Sequence[int]) -> pd.DataFrame:
    """A row a study and count, with a column `count`: the trial that the study had chosen by then."""
    by_then = [best_trials(per_trial[per_trial["number"] < count], "record_score") for count in counts]
    if not by_then:
        return per_trial.assign(count=0)
    return pd.concat([found.assign(count=count) for found, count in zip(by_then, counts, strict=True)])


def _means(chosen: pd.DataFrame) -> pd.DataFrame:
    """Means over studies by count; none where a study has no value, so that both means are over the same studies."""
    by_count = chosen.groupby("count")[_VALUES]
    return by_count.mean().where(by_count.count().eq(by_count.size(), axis=0))


def _texts(chosen: pd.DataFrame, counts: Sequence[int]) -> Iterator[str]:
    """From score and macro F1 by count."""
    for score, worth in chosen.reindex(list(counts)).itertuples(index=False):
        yield "–" if pd.isna(score) else percent(score) + ("" if pd.isna(worth) else f" / {percent(worth)}")


def _ties(scores: pd.Series) -> str:
    return f"{(scores == scores.max()).sum()} of {len(scores)}"


def _block(key: str, title: str, header: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> Block:
    """The lines; the experiment is named where there are several."""
    several = len({line[0] for line in lines}) > 1
    return Block(key, title, header if several else header[1:], tuple(words(*line[not several :]) for line in lines), 2)

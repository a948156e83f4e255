"""How many trials were enough: what a search would have chosen after 5, 10, 20, ... of its trials, and what that was worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from agsgtl.reporting.layout import Block, Document, Sentences, percent, words
from agsgtl.reporting.statistics import STUDY
from agsgtl.reporting.tidy import split_by, study_name

FIRST_COUNT: Final = 5
"""Fewest trials that are looked at; each further count is twice the one before it."""

_NOTE: Final = (
    "Selection score / macro F1 on test (%) of the trial with the best selection score among the first so many asked, on "
    "the search's own seeds and before any finals; methods: mean over their studies, those that had no complete trial by "
    "then left out. Ties: complete trials that share a study's best score, of all complete ones."
)
_UNSCORED: Final = "Macro F1 on test is shown once `agsgtl evaluate RESULTS --trials` has scored the search trials."
_VALUES: Final = ["record_score", "macro_f1"]


@dataclass(frozen=True)
class _Search:
    """What one study had chosen: `chosen` has a line a count of trials, and the columns of `_VALUES`."""

    name: str
    method: str
    k: str
    chosen: pd.DataFrame
    ties: str


def trial_tables(frame: pd.DataFrame) -> Document:
    """One line a method and k, the mean over its studies; then one line a study.

    Args:
        frame: the tidy frame; only its search trials are looked at.
    """
    trials = frame[frame["kind"] == "search"]
    counts = list(trial_counts(int(trials["number"].max()) + 1 if len(trials) else 0))
    complete = trials[trials["status"] == "complete"]
    per_trial = complete.groupby([*STUDY, "number"], dropna=False, as_index=False)[_VALUES].mean()
    searches = [_search(key, found, counts) for key, found in split_by(per_trial, STUDY)]
    methods = {
        (method, k): [search.chosen for search in searches if (search.method, search.k) == (method, k)]
        for method, k in sorted({(search.method, search.k) for search in searches})
    }
    pooled = {key: pd.concat(chosen).groupby(level=0).mean() for key, chosen in methods.items()}
    header = tuple(f"{count} trials" for count in counts)
    title = "What the search had chosen after so many trials"
    lines = tuple(words(*key, *_texts(found, counts)) for key, found in pooled.items())
    each = tuple(words(search.name, *_texts(search.chosen, counts), search.ties) for search in searches)
    blocks = (
        Block("trials", title, ("method", "k", *header), lines, 2),
        Block("trials:study", f"{title}, study by study", ("study", *header, "ties"), each),
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


def _search(key: tuple[Any, ...], trials: pd.DataFrame, counts: Sequence[int]) -> _Search:
    """A study's choices; of equal scores the lowest number, as a search takes it."""
    _, method, pair, per_class = key
    ordered = trials.sort_values("number", kind="stable").set_index("number")
    scores = ordered["record_score"]
    best = {count: scores[scores.index < count].idxmax() for count in counts if (scores.index < count).any()}
    chosen = ordered.loc[list(best.values()), _VALUES].set_axis(list(best))
    name = study_name(method, pair, per_class)
    return _Search(name, method, name.rpartition("/")[2], chosen, f"{(scores == scores.max()).sum()} of {len(scores)}")


def _texts(chosen: pd.DataFrame, counts: Sequence[int]) -> Iterator[str]:
    for score, worth in chosen.reindex(list(counts)).itertuples(index=False):
        yield "–" if pd.isna(score) else percent(score) + ("" if pd.isna(worth) else f" / {percent(worth)}")

"""Which of a search's finalists is the best: by the mean over the seeds of its trial and those of its final."""

from __future__ import annotations

from collections.abc import Mapping

from agsgtl.reporting.record import Record, by_score


def pooled_scores(scores: Mapping[int, float | None], seeds: int, finals: Mapping[int, Record]) -> dict[int, float]:
    """The finalists' mean scores over all their seeds by trial number, best first; ties go to the lower number.

    A finalist whose final has not ended is left out, and so is one whose final failed, since it fails on other seeds.

    Args:
        scores: of the finalists in the search, by trial number.
        seeds: how many seeds a trial had in the search.
        finals: the finals' records by trial number.
    """
    pooled = {}
    for number, score in scores.items():
        final = finals.get(number)
        if final is not None and final.status == "complete" and final.score is not None and score is not None:
            count = len(final.outcomes)
            pooled[number] = (score * seeds + final.score * count) / (seeds + count)
    return dict(sorted(pooled.items(), key=lambda entry: by_score(entry[1], entry[0])))

"""The finals of a study: its best few trials train on further seeds before one of them is chosen.

One seed's validation score is close to noise. More seeds for every trial cost as much again for each of them; here only the
trials that are still in the running get them, once all trials have ended. A final is a record of its own beside the
trials; what Optuna was told stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agsgtl.reporting.finalists import pooled_scores
from agsgtl.reporting.record import Ask, Record
from agsgtl.seeds import Seeds
from agsgtl.tuning.outcome import Outcome


def final_ask(ask: Ask, seeds: Sequence[int], lease: int) -> Ask:
    """The same settings as a trial's ask, on further seeds and with nothing that prunes."""
    return Ask(
        identity=ask.identity.model_copy(update={"kind": "final"}),
        seeds=tuple(Seeds(labels=seed, init=seed) for seed in seeds),
        select=ask.select,
        lease=lease,
        config=ask.config,
        pair_fingerprint=ask.pair_fingerprint,
        trainer_version=ask.trainer_version,
        sampled=ask.sampled,
    )


def decided(ranked: Sequence[Outcome], finals: Mapping[int, Record], seeds: int) -> list[Outcome]:
    """The finalists by their mean score over all their seeds, best first; ties go to the lower number.

    A finalist whose final failed is out, since it fails on other seeds; if all failed, the trials' own order stands.

    Args:
        ranked: the finalists as the search ranked them.
        finals: their finals' records by trial number.
        seeds: how many seeds a trial had in the search.
    """
    outcomes = {outcome.number: outcome for outcome in ranked}
    pooled = pooled_scores({number: outcome.score for number, outcome in outcomes.items()}, seeds, finals)
    return [replace(outcomes[number], score=score) for number, score in pooled.items()] or list(ranked)

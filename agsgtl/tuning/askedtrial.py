"""A trial as Optuna had it when it was asked, made again from its `ask.json`."""

from __future__ import annotations

from functools import cache
from typing import Self

from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from agsgtl.reporting.record import Ask

distribution_of = cache(json_to_distribution)
"""The distribution of a JSON text; a study's thousands of trials share few."""


class _OwnedTrial(FrozenTrial):
    """A trial that nobody else holds: Optuna's storage may take it as it is, a deep copy less for each of thousands."""

    def __deepcopy__(self, memo: object) -> Self:
        return self


def asked_trial(ask: Ask) -> FrozenTrial:
    """The running trial of an ask, to be added to a study once."""
    trial = create_trial(
        state=TrialState.RUNNING,
        params=dict(ask.sampled),
        distributions={path: distribution_of(text) for path, text in ask.distributions.items()},
        system_attrs=dict(ask.sampler_attributes),
    )
    trial.__class__ = _OwnedTrial
    return trial

from __future__ import annotations

from synthetic import make_record

from agsgtl.reporting.record import Identity
from agsgtl.seeds import Seeds
from benchmarks.headline import charged


def test_the_loop_does_not_pay_for_trials_that_fail() -> None:
    identity = Identity(experiment="e", kind="search", method="agsgtl", pair="p", per_class=3, number=0)
    seeds = (Seeds(labels=0, init=0),)
    records = [make_record(identity, seeds, status=status)[1] for status in ("complete", "pruned")]
    failed = make_record(identity, seeds, status="failed", reason="error")[1]
    assert charged([*records, failed]) == records

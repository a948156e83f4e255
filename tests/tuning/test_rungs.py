from __future__ import annotations

import pytest

from agsgtl.tuning.rungs import Rungs

HALVES = Rungs(grace=0.25, reduction=2)


def scores(*values: float) -> dict[int, float]:
    return dict(enumerate(values, start=1))


def test_rungs_are_fractions_of_a_trials_own_epochs() -> None:
    assert HALVES.fractions == (0.25, 0.5)
    assert HALVES.values(scores(0.1, 0.2, 0.3, 0.4), epochs=4) == {0.25: 0.1, 0.5: 0.2}
    assert HALVES.values(scores(*[0.1] * 8), epochs=8) == {0.25: 0.1, 0.5: 0.1}


def test_a_pruned_trial_counts_at_the_rungs_that_it_reached() -> None:
    assert HALVES.values(scores(0.1), epochs=4) == {0.25: 0.1}
    assert HALVES.values({}, epochs=4) == {}


def test_the_cutoff_lets_the_best_part_through() -> None:
    known = {0.25: [0.5, 0.1, 0.2, 0.3, 0.4]}
    assert HALVES.cutoffs_of(known, epochs=40) == {10: 0.3}
    assert Rungs(0.25, 4).cutoffs_of(known, epochs=40) == {10: 0.4}


def test_too_few_known_trials_cut_nothing() -> None:
    assert HALVES.cutoffs_of({0.25: [0.9]}, epochs=40) == {}


@pytest.mark.parametrize(
    ("grace", "epochs", "kept"), [(0.3, 8, [3]), (0.3, 9, [3]), (0.3, 10, [3, 9]), (0.33, 40, [14]), (0.3, 1, [])]
)
def test_no_rung_cuts_a_trial_that_trained_to_its_end(grace: float, epochs: int, kept: list[int]) -> None:
    rungs = Rungs(grace, reduction=3)
    known = {fraction: [0.1, 0.2, 0.6] for fraction in rungs.fractions}
    assert list(rungs.cutoffs_of(known, epochs)) == kept


@pytest.mark.parametrize(("fraction", "epochs", "epoch"), [(0.3, 40, 12), (0.3, 1, 1), (0.01, 10, 1), (0.34, 10, 4)])
def test_rung_epochs_round_up(fraction: float, epochs: int, epoch: int) -> None:
    assert Rungs.epoch(fraction, epochs) == epoch

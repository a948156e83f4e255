"""`agsgtl evaluate --trials` on a finished ledger that nobody trained: every look is logged once, and none before the decision."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
import yaml
from studies import finish

from agsgtl.data.mapped import unpack_pair
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.vaultlog import read_openings
from agsgtl.tuning.confirm import planned_cells, score_records
from agsgtl.tuning.evaluate import score_trials
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.lease import only_driver
from agsgtl.tuning.resolved import write_experiment as write_resolved
from experiments import SPACE, write_experiment

SCORES = {"search": {0: 0.5, 1: None, 2: 0.7}}
"""Trial 1 diverged."""


@pytest.fixture
def finished(tmp_path: Path) -> Ledger:
    """Three trials, two of them complete, and two confirmations with scores."""
    path = write_experiment(
        tmp_path, {"agsgtl": SPACE}, search__trials=3, search__seeds=[0], confirm__methods=["agsgtl"]
    )
    experiment, ledger = load_experiment(path), Ledger(tmp_path / "results")
    (pair,) = experiment.pairs.values()
    queue = JobQueue(experiment, ledger, concurrency=1)
    while job := queue.next():
        finish(queue, job, SCORES)
    for record in ledger.path.rglob("record.json"):
        np.save(record.with_name("class_map.npy"), np.ones((1, 12, 12), dtype=np.uint8))
    unpack_pair(pair, ledger.path)
    write_resolved(experiment, ledger, 1, 1, planned_cells(experiment, queue.choices), is_decided=True)
    with only_driver(ledger) as lease:
        assert score_records(ledger.confirmations(), ledger, experiment.pair_arguments, "confirm", lease) == 2
    return ledger


def evaluated(ledger: Ledger) -> list[str]:
    return [opening.record for opening in read_openings(ledger) if opening.purpose == "evaluate"]


def test_every_complete_trial_is_scored_and_logged_once(finished: Ledger) -> None:
    assert score_trials(finished.path) == 2
    assert evaluated(finished) == ["agsgtl/tiny/3/trials/0", "agsgtl/tiny/3/trials/2"]
    assert len(read_openings(finished)) == 2 + 2
    assert [len(folder.scores()) for folder in finished.trials("agsgtl/tiny/3")] == [1, 0, 1]
    assert score_trials(finished.path) == 0
    assert len(read_openings(finished)) == 2 + 2


def test_without_every_confirmation_no_trial_is_looked_at(finished: Ledger) -> None:
    folder = next(finished.confirmations())
    for name in ("record.json", "scores.json"):
        (folder.path / name).unlink()
    with pytest.raises(UserError, match="this sweep is not finished; test labels are opened after the decision"):
        score_trials(finished.path)
    assert evaluated(finished) == []


def test_trials_on_a_pair_that_was_taken_out_are_left_as_they_are(finished: Ledger) -> None:
    rmtree(finished.path / "confirm")  # as `sweep` sets it aside
    content = yaml.safe_load(finished.experiment_file.read_text())
    others = {"data": {"valley": "0123456789abcdef"}, "pair_files": {"valley": "valley.yaml"}, "confirm_cells": []}
    finished.experiment_file.write_text(yaml.safe_dump({**content, **others}))
    assert score_trials(finished.path) == 0
    assert evaluated(finished) == []


@pytest.mark.parametrize(
    ("factors", "scored"), [({}, 2), ({"labels.per_class": [3, 5]}, 2), ({"labels.per_class": [5]}, 0)]
)
def test_trials_of_a_label_count_that_was_taken_out_are_left_as_they_are(
    finished: Ledger, factors: dict[str, list[int]], scored: int
) -> None:
    content = yaml.safe_load(finished.experiment_file.read_text())
    content["search"]["factors"] = factors
    finished.experiment_file.write_text(yaml.safe_dump(content))
    assert score_trials(finished.path) == scored == len(evaluated(finished))


def test_while_a_search_is_extended_no_trial_is_looked_at(finished: Ledger) -> None:
    content = yaml.safe_load(finished.experiment_file.read_text())
    finished.experiment_file.write_text(yaml.safe_dump({**content, "is_decided": False}))  # as `sweep` says meanwhile
    with pytest.raises(UserError, match="this sweep is not finished"):
        score_trials(finished.path)
    assert evaluated(finished) == []


def test_a_test_pool_that_could_be_trained_on_scores_nothing(finished: Ledger) -> None:
    """As with a NumPy that draws other pools by the same seed, which the pair's fingerprint does not show."""
    file = finished.path / "pairs" / "tiny.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays["development_labels"] = np.roll(arrays["development_labels"], 1, axis=0)
    np.savez_compressed(file, **arrays)
    with pytest.raises(UserError, match=r"tiny: \d+ of 60 test pixels were in the development pool of what is scored"):
        score_trials(finished.path)
    assert [len(folder.scores()) for folder in finished.trials("agsgtl/tiny/3")] == [0, 0, 0]
    assert len(evaluated(finished)) == 1  # the look at the pool itself, and no further one

"""What `agsgtl status` says of a ledger, counted by hand."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from synthetic import PAIR, make_record, write_confirm, write_experiment, write_run, write_search

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Identity
from agsgtl.reporting.status import SILENT_AFTER_S, read_status, render_status, time_left_s
from agsgtl.seeds import Seeds

STUDY = f"agsgtl/{PAIR}/3"


def begin(folder: TrialFolder, silent_for_s: float) -> None:
    """Starts a trial whose only sign of life is an epoch some seconds ago."""
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.start_attempt().append_progress({"epoch": 1, "score": 0.1})
    then = time.time() - silent_for_s
    attempts = folder.path / "attempts.jsonl"
    attempts.write_text(attempts.read_text().replace(f'"time": {folder.attempts()[0]["time"]}', f'"time": {then}'))
    os.utime(folder.path / "progress.jsonl", (then, then))


def write_final(ledger: Ledger, number: int, score: float | None) -> None:
    """A final on seed 2; without a score it waits."""
    identity = Identity(experiment="e", kind="final", method="agsgtl", pair=PAIR, per_class=3, number=number)
    ask, record = make_record(identity, [Seeds(labels=2, init=2)], score or 0.0)
    write_run(ledger.folder(identity), ask, None if score is None else record)


def test_states_best_trial_and_time_left(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "demo")
    write_search(ledger.path, "agsgtl", [0.5, 0.7, 0.6, 0.9, 0.8])
    write_experiment(ledger.path, search={"trials": 6}, confirm_cells=[{}, {}, {}])
    write_confirm(ledger.path, "lda", {41: 0.7, 50: "diverged"})
    for trial in (2, 3, 4):
        (ledger.path / STUDY / f"trials/{trial}/record.json").unlink()
    begin(TrialFolder(ledger.path / STUDY / "trials/3"), silent_for_s=1)
    begin(TrialFolder(ledger.path / STUDY / "trials/4"), silent_for_s=SILENT_AFTER_S + 1)
    search, confirmations = read_status(ledger.path)
    assert search.counts == {"complete": 2, "waiting": 1, "running": 1, "silent": 1}
    assert (search.name, search.planned, search.ended, search.best_trial, search.best_score) == (STUDY, 6, 2, 1, 0.7)
    assert (confirmations.planned, confirmations.ended, confirmations.best_trial) == (3, 2, None)
    # Each training took 2 s; 4 of 6 trials and 1 of 3 confirmations are left, one at a time.
    assert time_left_s([search, confirmations]) == pytest.approx(2.0 * (4 + 1) / 1)
    assert render_status(ledger.path).splitlines()[1:] == [
        f"  {STUDY}: 2 of 6 complete, 1 running, 1 silent, 1 waiting; best 0.7000 (trial 1)",
        "  confirmations: 1 of 3 complete, 1 failed",
        "    50: diverged: ",
        "about 0 min left, by the trainings done so far",
    ]


def test_where_nothing_runs_the_time_left_is_not_known(tmp_path: Path) -> None:
    write_search(tmp_path, "agsgtl", [0.5])
    write_experiment(tmp_path, search={"trials": 2})
    assert time_left_s(read_status(tmp_path)) is None
    assert "min left" not in render_status(tmp_path)


def test_finals_are_those_of_the_trials_that_are_the_best_now(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "demo")
    write_search(ledger.path, "agsgtl", [0.5, 0.4, 0.8, 0.7])
    for number, score in ((0, 0.9), (1, 0.8), (2, None), (3, 0.6)):
        write_final(ledger, number, score)  # 0 and 1 were the best two of two trials
    write_experiment(ledger.path, search={"trials": 4, "seeds": [0, 1], "finalists": 2})
    _, finals, _ = read_status(ledger.path)
    assert (finals.counts, finals.planned, finals.best_trial) == ({"complete": 1, "waiting": 1}, 2, 3)
    assert not finals.is_chosen
    write_experiment(ledger.path, search={"trials": 5, "finalists": 2})  # the finalists are not known before trial 4
    assert [row.name for row in read_status(ledger.path)] == [STUDY, "confirmations"]


def test_the_chosen_finalist_is_the_best_over_the_seeds_of_trial_and_final(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "demo")
    write_search(ledger.path, "agsgtl", [0.5, 0.4, 0.8, 0.7])
    write_final(ledger, 2, 0.5)  # (2 x 0.8 + 0.5) / 3 = 0.7
    write_final(ledger, 3, 0.6)  # (2 x 0.7 + 0.6) / 3 = 0.6667, and the best of the finals alone
    write_experiment(ledger.path, search={"trials": 4, "seeds": [0, 1], "finalists": 2})
    assert render_status(ledger.path).splitlines()[1:3] == [
        f"  {STUDY}: 4 of 4 complete; best 0.8000 (trial 2)",
        f"  {STUDY}, finals: 2 of 2 complete; chosen: trial 2, 0.7000",
    ]


@pytest.mark.parametrize(
    ("search", "said"),
    [({}, "chosen: trial 1, 0.7000"), ({"objectives": "score_and_labels"}, "best 0.7000 (trial 1)")],
)
def test_without_finalists_the_best_trial_is_the_chosen_one(tmp_path: Path, search: dict[str, str], said: str) -> None:
    """With two objectives there is a front of winners, and no one trial is chosen."""
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.7])
    write_experiment(tmp_path / "demo", search={"trials": 2, **search})
    assert f"2 of 2 complete; {said}" in render_status(tmp_path / "demo")


def test_a_folder_without_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no experiment\.yaml"):
        read_status(tmp_path)

"""What failed from outside runs again when told to, and nothing else does."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from studies import asks_of, finish

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Reason
from agsgtl.trial import failed_record
from agsgtl.tuning.evaluate import score_trials
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import Job, JobQueue
from agsgtl.tuning.resolved import write_experiment as write_stored
from agsgtl.tuning.retry import FROM_OUTSIDE, failed_from_outside, hand_out_again
from agsgtl.tuning.searcher import LedgerSearcher
from agsgtl.tuning.study import StudyName
from agsgtl.tuning.sweep import Orders, print_end, sweep
from agsgtl.yamlfile import read_yaml
from experiments import SPACE, write_experiment

STUDY = StudyName("agsgtl", "tiny", 3)
METHODS = ("lda", "agsgtl")


def experiment_of(folder: Path, trials: int = 4) -> Experiment:
    changes = {"search__trials": trials, "search__seeds": [0], "search__finalists": 1, "search__final_seeds": [7]}
    return load_experiment(write_experiment(folder, {"agsgtl": SPACE}, **changes, confirm__methods=list(METHODS)))


def fail(queue: JobQueue, job: Job, reason: Reason) -> None:
    """Ends a job as a worker would that tried it twice in vain."""
    folder = TrialFolder(queue.ledger.path / job.folder)
    folder.start_attempt().append_failure(reason, "the first time")
    folder.write_record(failed_record(folder.ask(), reason, "made up"))
    queue.done(job)


def run(queue: JobQueue, failing: dict[str, Reason]) -> list[str]:
    """Ends all jobs, those with a key of `failing` in their folder's name by its reason; the folders of the trials among them."""
    ran = []
    while job := queue.next():
        reason = next((reason for part, reason in failing.items() if part in job.folder), None)
        if job.kind == "source_model":
            finish(queue, job, {})
            continue
        ran.append(job.folder)
        if reason:
            fail(queue, job, reason)
        else:
            finish(queue, job, {})
    assert queue.is_finished
    return ran


@pytest.mark.parametrize("reason", FROM_OUTSIDE)
def test_a_trial_a_final_and_a_confirmation_run_again_and_nothing_else(tmp_path: Path, reason: Reason) -> None:
    experiment, ledger = experiment_of(tmp_path), Ledger(tmp_path / "results")
    ran = run(JobQueue(experiment, ledger, 2), {"trials/1": reason, "/finals/": reason, "lda/tiny/3/50": reason})
    failed = {name for name in ran if name.endswith(("trials/1", "finals/0", "lda/tiny/3/50"))}
    assert len(failed) == 3
    before, asked = {folder: TrialFolder(ledger.path / folder).record() for folder in ran}, asks_of(ledger, STUDY)
    assert run(JobQueue(experiment, ledger, 2), {}) == []  # without being told
    assert len(hand_out_again(ledger, [str(STUDY)], METHODS)) == 3
    assert set(run(JobQueue(experiment, ledger, 2), {})) == failed
    assert asks_of(ledger, STUDY) == asked
    assert all(TrialFolder(ledger.path / name).record() == before[name] for name in set(ran) - failed)
    assert not list(failed_from_outside(ledger, [str(STUDY)], METHODS))
    for name in failed:
        moved = TrialFolder(ledger.path / "superseded/retried" / name)
        assert (moved.record(), len(moved.failures())) == (before[name], 1)
        assert TrialFolder(ledger.path / name).failures() == []  # so that each retry is allowed anew


def test_a_search_goes_on_from_what_a_trial_gave_at_last(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results")
    run(JobQueue(experiment_of(tmp_path), ledger, 2), {"trials/0": "timeout"})
    hand_out_again(ledger, [str(STUDY)], METHODS)
    run(JobQueue(experiment_of(tmp_path), ledger, 2), {"trials/0": "timeout"})
    hand_out_again(ledger, [str(STUDY)], METHODS)
    assert sorted(path.name for path in (ledger.path / "superseded/retried" / str(STUDY) / "trials").iterdir()) == [
        "0",
        "0-1",
    ]
    queue = JobQueue(experiment_of(tmp_path, trials=8), ledger, 2)
    run(queue, {})
    (study,) = queue.studies
    assert study.optuna.trials[0].state.name == "COMPLETE"
    assert len(study.outcomes) == 8


def test_what_would_end_so_again_stays(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results")
    run(JobQueue(experiment_of(tmp_path), ledger, 2), {"trials/1": "diverged"})
    assert hand_out_again(ledger, [str(STUDY)], METHODS) == []


def test_the_confirmation_of_a_method_that_was_taken_out_keeps_its_record(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results")
    run(JobQueue(experiment_of(tmp_path), ledger, 2), {"lda/tiny/3/50": "timeout"})
    assert hand_out_again(ledger, [str(STUDY)], ["agsgtl"]) == []
    assert TrialFolder(ledger.path / "confirm/lda/tiny/3/50").has_record()


def test_a_torn_record_is_left_to_the_queue_which_runs_its_trial_again_by_itself(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results")
    run(JobQueue(experiment_of(tmp_path), ledger, 2), {"trials/1": "timeout"})
    (ledger.path / str(STUDY) / "trials/2/record.json").write_text('{"schema')
    assert len(hand_out_again(ledger, [str(STUDY)], METHODS)) == 1
    assert sorted(name[-1] for name in run(JobQueue(experiment_of(tmp_path), ledger, 2), {})) == ["1", "2"]


def test_tables_are_told_that_trials_of_a_search_ran_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results")
    run(JobQueue(experiment_of(tmp_path), ledger, 2), {"trials/1": "timeout", "lda/tiny/3/50": "timeout"})
    write_stored(experiment_of(tmp_path), ledger, 2, 1, cells=[])
    before = read_yaml(ledger.experiment_file)["search"]["warnings"]
    hand_out_again(ledger, [str(STUDY)], METHODS)
    write_stored(experiment_of(tmp_path), ledger, 2, 1, cells=[])
    said = read_yaml(ledger.experiment_file)["search"]["warnings"]
    assert said[:-1] == before
    assert said[-1].endswith("ran again, after later ones were asked (--retry-failed): 1")


def test_test_labels_stay_closed_while_a_trial_that_is_run_again_has_no_record(tmp_path: Path) -> None:
    experiment, ledger = experiment_of(tmp_path), Ledger(tmp_path / "results")
    run(JobQueue(experiment, ledger, 2), {"trials/1": "timeout"})
    write_stored(experiment, ledger, 2, 1, cells=[], is_decided=True)
    for folder in ledger.confirmations():
        folder.write_scores(())
    hand_out_again(ledger, [str(STUDY)], METHODS)
    with pytest.raises(UserError, match="this sweep is not finished"):
        score_trials(ledger.path)


def test_a_sweep_names_the_option_where_it_helps_and_obeys_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing: dict[str, Reason] = {"lda/tiny/3/50": "timeout"}

    def run_jobs(searcher: LedgerSearcher, *rest: object) -> None:
        run(searcher.queue, failing)

    monkeypatch.setattr("agsgtl.tuning.sweep.ray_session", lambda address: nullcontext())
    monkeypatch.setattr("agsgtl.tuning.sweep.cluster_slots", lambda resources: 2)
    monkeypatch.setattr("agsgtl.tuning.sweep.run_jobs", run_jobs)
    monkeypatch.setattr("agsgtl.tuning.sweep.score_records", lambda *arguments: 0)
    experiment = Path(experiment_of(tmp_path).origin)
    print_end(sweep(experiment, tmp_path / "results"))
    assert "the same command with --retry-failed runs them again" in capsys.readouterr().err.splitlines()[-1]
    failing.clear()
    print_end(sweep(experiment, tmp_path / "results", Orders(retry_failed=True)))
    said = capsys.readouterr().err
    assert "confirm/lda/tiny/3/50: failed by timeout; runs again" in said
    assert "with --retry-failed" not in said

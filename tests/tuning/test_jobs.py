from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import scores_of

from agsgtl.durable import NotWritable
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import ScoresFile, write_document
from agsgtl.training.pretrain import source_model_file
from agsgtl.trial import failed_record
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.jobs import Job, JobQueue
from agsgtl.tuning.searcher import LedgerSearcher
from experiments import SPACE, write_experiment


@pytest.fixture
def queue(tmp_path: Path) -> JobQueue:
    experiment = load_experiment(
        write_experiment(
            tmp_path, {"agsgtl": SPACE}, search__trials=3, search__seeds=[0], confirm__methods=["lda", "agsgtl"]
        )
    )
    return JobQueue(experiment, Ledger(tmp_path / "results"), concurrency=2)


def folder_of(queue: JobQueue, job: Job) -> TrialFolder:
    return TrialFolder(queue.ledger.path / job.folder)


def finish(queue: JobQueue, job: Job) -> None:
    """Ends a job as a worker would, without training anything."""
    finish_without_telling(queue, job)
    queue.done(job)


def finish_without_telling(queue: JobQueue, job: Job) -> None:
    """Leaves behind what a worker would."""
    if job.kind == "source_model":
        file = source_model_file(queue.ledger.pretrained, job.folder)
        file.parent.mkdir(parents=True)
        file.touch()
    else:
        folder = folder_of(queue, job)
        ask = folder.ask()
        complete = {"status": "complete", "reason": None, "score": float(ask.identity.number)}
        folder.write_record(failed_record(ask, "error", "").model_copy(update=complete))


def first(queue: JobQueue, kind: str) -> Job:
    """The next job of a kind; those of the other kind are finished on the way."""
    while (job := queue.next()) and job.kind != kind:
        finish(queue, job)
    assert job is not None
    return job


def test_everything_runs_once_and_then_nothing_is_left(queue: JobQueue) -> None:
    done: list[str] = []
    while job := queue.next():
        done.append(job.key)
        finish(queue, job)
    assert queue.is_finished
    assert len(set(done)) == len(done)
    trials = [key for key in done if "/trials/" in key]
    confirmed = [key for key in done if key.startswith("confirm/")]
    assert (len(trials), len(confirmed)) == (3, 4)
    assert sum(key.startswith("pretrained/") for key in done) == 3  # search seed 0, confirmation seeds 41 and 50


def test_a_source_model_is_asked_for_once_and_its_trial_waits(queue: JobQueue) -> None:
    jobs = list(iter(queue.next, None))
    assert len({job.key for job in jobs}) == len(jobs)
    assert not any("/trials/" in job.key for job in jobs)
    (needed,) = [job for job in jobs if job.kind == "source_model" and job.seeds["labels"] == 0]
    finish(queue, needed)
    assert "/trials/" in queue.next().key


def test_a_source_model_that_fails_lets_its_trials_fail_for_themselves(queue: JobQueue) -> None:
    model = next(job for job in iter(queue.next, None) if job.kind == "source_model" and job.seeds["labels"] == 0)
    queue.done(model)  # no file was left
    assert "/trials/" in queue.next().key


@pytest.mark.parametrize(("allowed", "losses"), [(None, 3), (1, 2), (0, 1)])
def test_a_source_model_whose_worker_was_lost_is_issued_again_and_its_trials_wait(
    queue: JobQueue, allowed: int | None, losses: int
) -> None:
    queue.experiment.file.failures.retries["node_lost"] = allowed
    searcher = LedgerSearcher(queue, slots=9, before_each_write=lambda: None)
    running = list(iter(queue.next, None))
    model = next(job for job in running if job.kind == "source_model" and job.seeds["labels"] == 0)
    for lost in range(1, losses + 1):
        searcher.jobs["ray trial"] = model
        searcher.on_trial_complete("ray trial", error=True)
        handed_out = [job.key for job in iter(queue.next, None)]
        if lost < losses:
            assert handed_out == [model.key]
    assert all("/trials/" in key for key in handed_out)
    assert handed_out


@pytest.mark.parametrize("kind", ["source_model", "trial"])
def test_a_host_that_does_not_see_the_results_is_named_and_too_often_ends_the_sweep_but_no_trial(
    queue: JobQueue, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    searcher = LedgerSearcher(queue, slots=2, before_each_write=lambda: None)
    job = first(queue, kind)
    for times in (1, 2, 3):
        searcher.jobs["ray trial"] = job
        searcher.on_trial_complete("ray trial", result={"key": job.key, "out_of_sight": "host n7 does not see x.json"})
        if times < 3:
            assert queue.next().key == job.key
            assert f"host n7 does not see x.json, and gave {job.key} back; mount" in capsys.readouterr().err
    assert str(searcher.fatal).startswith(f"host n7 does not see x.json, and {job.key} came back 3 times for it; mount")
    assert searcher.suggest("another") == searcher.FINISHED
    assert (queue.failed_models, list(queue.ledger.path.rglob("failures.jsonl"))) == (set(), [])


def test_a_trial_without_a_record_is_issued_again(queue: JobQueue) -> None:
    job = first(queue, "trial")
    queue.done(job)
    assert queue.next().key == job.key


def test_out_of_memory_is_tried_again_alone(queue: JobQueue) -> None:
    job, other = first(queue, "trial"), first(queue, "trial")
    folder_of(queue, job).append_failure("out_of_memory", "made up")
    queue.done(job)
    assert queue.next() is None  # the other one still runs
    finish(queue, other)
    again = queue.next()
    assert (again.key, again.is_alone) == (job.key, True)
    assert queue.next() is None  # and nothing starts beside it
    finish(queue, again)
    assert queue.next() is not None


@pytest.mark.parametrize(("reason", "is_alone"), [("out_of_memory", True), ("node_lost", False)])
def test_out_of_memory_is_tried_again_alone_by_the_next_driver_too(
    queue: JobQueue, reason: str, is_alone: bool
) -> None:
    job = first(queue, "trial")
    folder_of(queue, job).append_failure("out_of_memory", "made up")
    folder_of(queue, job).append_failure(reason, "the last one counts")
    resumed = JobQueue(queue.experiment, queue.ledger, concurrency=2)
    again = next(again for again in iter(resumed.next, None) if again.key == job.key)
    assert again.is_alone is is_alone


def test_after_a_stop_nothing_is_handed_out(queue: JobQueue) -> None:
    queue.stop()
    assert queue.next() is None
    assert not queue.is_finished


@pytest.mark.parametrize(("epochs", "is_over"), [((0, 0, 0), True), ((1, 2, 3), False)])
def test_a_worker_that_dies_where_it_stands_is_the_trials_own_fault(
    queue: JobQueue, epochs: tuple[int, ...], is_over: bool
) -> None:
    searcher = LedgerSearcher(queue, slots=2, before_each_write=lambda: None)
    job = first(queue, "trial")
    folder = folder_of(queue, job)
    for attempt, epoch in enumerate(epochs):
        if epoch:
            folder.start_attempt().append_progress({"epoch": epoch, "epochs": 9, "score": 0.0})
        searcher.jobs["ray trial"] = job
        searcher.on_trial_complete("ray trial", error=True)
        if attempt < len(epochs) - 1:
            assert queue.next().key == job.key
    assert folder.has_record() is is_over
    if is_over:
        assert (folder.record().reason, "3 times" in folder.record().message) == ("node_lost", True)


def test_a_driver_that_was_taken_over_notes_no_death(queue: JobQueue) -> None:
    def taken_over() -> None:
        raise UserError("another driver has taken this sweep over")

    job = first(queue, "trial")
    searcher = LedgerSearcher(queue, slots=2, before_each_write=taken_over)
    searcher.jobs["ray trial"] = job
    searcher.on_trial_complete("ray trial", error=True)
    assert "taken this sweep over" in str(searcher.fatal)
    assert folder_of(queue, job).failures() == []


def test_a_driver_that_was_taken_over_plans_nothing_more(queue: JobQueue) -> None:
    def taken_over() -> None:
        raise UserError("another driver has taken this sweep over")

    while "/trials/2" not in (job := first(queue, "trial")).key:
        finish(queue, job)
    finish_without_telling(queue, job)
    before = set(queue.ledger.path.rglob("ask.json"))
    searcher = LedgerSearcher(queue, slots=2, before_each_write=taken_over)
    searcher.jobs["ray trial"] = job
    searcher.on_trial_complete("ray trial", result={})
    assert "taken this sweep over" in str(searcher.fatal)
    assert set(queue.ledger.path.rglob("ask.json")) == before  # the winner is the successor's to confirm


def test_a_confirmation_that_answers_another_ask_is_set_aside_with_its_scores(queue: JobQueue) -> None:
    while job := queue.next():
        finish(queue, job)
    folder = next(queue.ledger.confirmations())
    other = folder.record().model_copy(update={"config_hash": "0123456789abcdef"})
    (folder.path / "record.json").write_bytes(write_document(other))
    (folder.path / "scores.json").write_bytes(write_document(ScoresFile(scores=(scores_of(0.9),))))
    again = JobQueue(queue.experiment, queue.ledger, concurrency=2)
    assert again.take_notices() == [f"{folder.path}: the record answers another ask; set aside as record.json.damaged"]
    assert (folder.has_record(), folder.scores()) == (False, ())
    assert first(again, "trial").key == folder.path.relative_to(queue.ledger.path).as_posix()


@pytest.mark.parametrize("name", ["trials/*/ask.json", "trials/*/record.json", "50/ask.json", "50/record.json"])
@pytest.mark.parametrize(
    ("added", "said"),
    [
        ({"schema_version": 2}, r"newer agsgtl \(schema 2, this one reads up to 1\)"),
        ({"schema_version": 2, "since": 1, "status": "paused"}, r"newer agsgtl \(schema 2, "),
        (
            {"since": 1},
            "of this version: since is not known here; another agsgtl wrote it, or it was changed by hand: go on with the version",
        ),
        ({"select": "target_margin"}, "of this version: select has a value that is not known here; another agsgtl"),
    ],
)
def test_what_another_version_wrote_is_refused_and_stays(
    queue: JobQueue, name: str, added: dict[str, Any], said: str
) -> None:
    while job := queue.next():
        finish(queue, job)
    for path in queue.ledger.path.rglob(name):
        path.write_text(json.dumps(json.loads(path.read_text()) | added))
    before = {path: path.read_bytes() for path in queue.ledger.path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=said):
        JobQueue(queue.experiment, queue.ledger, concurrency=2)
    assert {path: path.read_bytes() for path in queue.ledger.path.rglob("*") if path.is_file()} == before


def test_what_becomes_of_a_lost_ask_is_said_when_it_is_made_again(queue: JobQueue) -> None:
    job = first(queue, "trial")
    finish_without_telling(queue, job)
    record, folder = folder_of(queue, job).record(), folder_of(queue, job)
    (folder.path / "record.json").write_bytes(write_document(record.model_copy(update={"config_hash": "0123abcd"})))
    (folder.path / "ask.json").unlink()
    for later in queue.ledger.trials("agsgtl/tiny/3")[1:]:
        (later.path / "ask.json").unlink()
        later.path.rmdir()
    again = JobQueue(queue.experiment, queue.ledger, concurrency=2)
    assert again.take_notices() == []
    first(again, "trial")
    (said,) = again.take_notices()
    assert said.startswith(f"{folder.path}: its ask was lost, and another is made; what was there is under ")


def test_a_death_is_noted_with_the_drivers_lease(queue: JobQueue) -> None:
    queue.lease = 4
    job = first(queue, "trial")
    searcher = LedgerSearcher(queue, slots=2, before_each_write=lambda: None)
    searcher.jobs["ray trial"] = job
    searcher.on_trial_complete("ray trial", error=True)
    (failure,) = folder_of(queue, job).failures()
    assert (failure["reason"], failure["lease"]) == ("node_lost", 4)


def test_a_torn_end_of_an_unfinished_trial_is_said_once(tmp_path: Path) -> None:
    experiment = load_experiment(write_experiment(tmp_path, {"fine_tune": SPACE}))
    ledger = Ledger(tmp_path / "results")
    job = first(JobQueue(experiment, ledger, concurrency=2), "trial")
    (ledger.path / job.folder / "progress.jsonl").write_bytes(b'{"epoch": 1, "sc')
    queue = JobQueue(experiment, ledger, concurrency=2)
    assert queue.take_notices() == [
        f"{ledger.path / job.folder / 'progress.jsonl'}: its last line is torn and is dropped"
    ]
    assert queue.take_notices() == []


@pytest.mark.parametrize("kind", ["source_model", "trial"])
def test_a_disk_that_a_worker_found_full_ends_the_sweep_and_fails_no_trial(queue: JobQueue, kind: str) -> None:
    searcher = LedgerSearcher(queue, slots=2, before_each_write=lambda: None)
    job = first(queue, kind)
    searcher.jobs["ray trial"] = job
    searcher.on_trial_complete("ray trial", result={"key": job.key, "not_writable": "model: cannot be written: full"})
    assert isinstance(searcher.fatal, NotWritable)
    assert str(searcher.fatal) == "model: cannot be written: full"
    assert searcher.suggest("another") == searcher.FINISHED
    if kind == "trial":
        assert not folder_of(queue, job).has_record()
        assert folder_of(queue, job).failures() == []

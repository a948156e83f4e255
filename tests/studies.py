"""Studies run without Ray on a made-up objective, for tests of what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agsgtl.config import configure
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Ask, Record, SeedOutcome
from agsgtl.training.pretrain import source_model_file
from agsgtl.trial import failed_record
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import Job, JobQueue
from agsgtl.tuning.study import Study, StudyName
from experiments import write_experiment

NAME = StudyName("agsgtl", "tiny", 3)
SPACES = {
    "agsgtl": {
        "adapt.target_learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "loss.entropy": {"type": "float", "low": 0.0, "high": 1.0},
        "attention.target": {"type": "categorical", "choices": [True, False]},
    }
}


def experiment_of(folder: Path, **changes: object) -> Experiment:
    return load_experiment(
        write_experiment(folder, SPACES, **{"search__trials": 14, "search__startup_trials": 4, **changes})
    )


def score_of(ask: Ask) -> float:
    """A made-up objective with its optimum inside."""
    return 1.0 - (ask.config["loss.entropy"] - 0.3) ** 2 - abs(ask.config["adapt.target_learning_rate"] - 3e-3) * 50


def end(folder: TrialFolder, ask: Ask) -> None:
    """Writes what a worker would have: progress and a record; every fifth trial fails, poor ones are pruned."""
    number, score = ask.identity.number, score_of(ask)
    if number % 5 == 4:
        folder.write_record(failed_record(ask, "diverged", "made up"))
        return
    epochs = configure(ask.config, origin="test").adapt.epochs
    attempt = folder.start_attempt()
    cut = next((epoch for epoch in sorted(ask.cutoffs) if score < ask.cutoffs[epoch]), None)
    for epoch in range(1, (cut or epochs) + 1):
        attempt.append_progress({"epoch": epoch, "epochs": epochs, "score": score})
    outcome = SeedOutcome(
        seeds=ask.seeds[0], score=score, epoch=1, epochs=cut or epochs, best_score=score, best_epoch=1
    )
    base = failed_record(ask, "error", "").model_dump() | {
        "status": "pruned" if cut else "complete",
        "reason": None,
        "message": None,
        "score": score,
        "outcomes": (outcome,),
    }
    folder.write_record(Record.model_validate(base))


def run(
    experiment: Experiment, ledger: Ledger, concurrency: int, stop_after: int | None = None, name: StudyName = NAME
) -> Study:
    """Runs a study without Ray: trials end in the order of their asks, `concurrency` at a time."""
    study = Study(name, experiment, ledger, concurrency)
    running = [(folder, folder.ask()) for folder in study.unfinished()]
    ended = 0
    while not study.is_done and (stop_after is None or ended < stop_after):
        while study.may_ask() and len(running) < concurrency:
            running.append(study.ask())
        folder, ask = running.pop(0)
        end(folder, ask)
        study.finish(folder)
        ended += 1
    return study


def asks_of(ledger: Ledger, name: StudyName = NAME) -> list[dict]:
    return [folder.ask().model_dump() for folder in ledger.trials(str(name))]


def finish(queue: JobQueue, job: Job, scores: Mapping[str, Mapping[int, float | None]]) -> None:
    """Ends a job as a worker would; `scores` by kind and number, else 0.5; a trial whose score is None diverges."""
    if job.kind == "source_model":
        file = source_model_file(queue.ledger.pretrained, job.folder)
        file.parent.mkdir(parents=True)
        file.touch()
    else:
        folder = TrialFolder(queue.ledger.path / job.folder)
        ask = folder.ask()
        score = scores.get(ask.identity.kind, {}).get(ask.identity.number, 0.5)
        ended = {"reason": "diverged"} if score is None else {"status": "complete", "reason": None, "score": score}
        ended["outcomes"] = tuple(
            SeedOutcome(seeds=seeds, score=score, epoch=1, epochs=1, best_score=score, best_epoch=1)
            for seeds in ask.seeds
        )
        folder.write_record(failed_record(ask, "error", "").model_copy(update=ended))
    queue.done(job)

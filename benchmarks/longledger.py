"""Ledgers of thousands of trials, made without training, as a long sweep leaves them.

python -m benchmarks.longledger FOLDER --trials 10000 --planned 10200 [--sampler random]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from synthetic import write_confirm

from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Ask, Record, SeedOutcome
from agsgtl.trial import failed_record
from agsgtl.tuning import resolved
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.study import Study, StudyName
from experiments import write_experiment

EPOCHS = 40
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
"""Of a process of its own: it imports the benchmarks from wherever it is started."""


def experiment_in(folder: Path, trials: int, sampler: str = "random") -> Experiment:
    """A search of `target_only`, which needs no source model, on the tiny pair."""
    space = {
        "adapt.target_learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "adapt.target_steps": {"type": "int", "low": 1, "high": 20},
        "model.width": {"type": "int", "low": 4, "high": 64},
    }
    search = {"search__trials": trials, "search__sampler": sampler, "search__order": "async"}
    path = write_experiment(folder, {"target_only": space}, confirm__methods=["lda", "target_only"], **search)
    return load_experiment(path)


def end_trial(folder: TrialFolder, ask: Ask) -> None:
    """What a worker leaves: a line an epoch and a record, here with a made-up score."""
    score = 1.0 - abs(float(ask.config["adapt.target_learning_rate"]) - 3e-3) * 50
    lines = (
        json.dumps({"epoch": epoch, "epochs": EPOCHS, "score": score * epoch / EPOCHS})
        for epoch in range(1, EPOCHS + 1)
    )
    (folder.path / "progress.jsonl").write_text("\n".join(lines) + "\n")
    outcomes = [
        SeedOutcome(seeds=seeds, score=score, epoch=EPOCHS, epochs=EPOCHS, best_score=score, best_epoch=EPOCHS)
        for seeds in ask.seeds
    ]
    changes = {"status": "complete", "reason": None, "message": None, "score": score, "outcomes": tuple(outcomes)}
    folder.write_record(Record.model_validate(failed_record(ask, "error", "").model_dump() | changes))


def make_ledger(folder: Path, trials: int, planned: int, sampler: str = "random") -> None:
    """A ledger with so many ended trials of the planned ones, as a sweep leaves it; nothing is synced, to make it fast."""
    experiment = experiment_in(folder, planned, sampler)
    ledger = Ledger(folder / "results" / "tiny")
    with mock.patch("os.fsync"):
        resolved.write_experiment(experiment, ledger, 64, 1, cells=[])
        for rank, method in enumerate(("lda", "target_only")):
            tuned = trials if method == "target_only" else None
            write_confirm(
                ledger.path,
                method,
                {seed: 0.5 + 0.1 * rank + seed / 1000 for seed in (41, 50)},
                pair="tiny",
                trials=tuned,
            )
        study = Study(StudyName("target_only", "tiny", 3), experiment, ledger, concurrency=64)
        while len(study.outcomes) < trials:
            trial, ask = study.ask()
            end_trial(trial, ask)
            study.finish(trial)


def make_elsewhere(folder: Path, trials: int, planned: int, sampler: str = "random") -> None:
    """The same in another process: a large parent's memory would count as its children's."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.longledger",
        str(folder),
        "--trials",
        str(trials),
        "--planned",
        str(planned),
    ]
    command += ["--sampler", sampler]
    subprocess.run(command, check=True, env=ENVIRONMENT)


def main() -> None:
    """Makes one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--planned", type=int, required=True)
    parser.add_argument("--sampler", default="random")
    chosen = parser.parse_args()
    make_ledger(chosen.folder, chosen.trials, chosen.planned, chosen.sampler)


if __name__ == "__main__":
    main()

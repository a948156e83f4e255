"""What a worker does with a job, here without Ray: the report that it makes at the end is caught."""

from __future__ import annotations

import dataclasses
import math
import threading
from pathlib import Path
from typing import Any

import pytest

from agsgtl.data.mapped import unpack_pair
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning import worker
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.resolved import write_experiment as write_resolved
from agsgtl.tuning.stopping import stop_file
from experiments import SPACE, write_experiment

Jobs = dict[str, dict[str, Any]]


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """A trial of LDA and a source model, as the driver hands them out."""
    experiment = load_experiment(write_experiment(tmp_path, {"agsgtl": SPACE}, confirm__methods=["lda", "agsgtl"]))
    ledger = Ledger(tmp_path / "results")
    unpack_pair(experiment.pairs["tiny"], ledger.path)
    write_resolved(experiment, ledger, 2, 1, cells=[])
    surroundings = {"gpu": 0.0, "results": str(ledger.path), "lease": 1, "retries": {}, "timeout_s": math.inf}
    handed_out = iter(JobQueue(experiment, ledger, concurrency=2).next, None)
    return {job.kind: {**dataclasses.asdict(job), **surroundings} for job in handed_out}


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was reported, last what became of the job."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr("agsgtl.tuning.worker.tune.report", found.append)
    return found


def result_of(job: dict[str, Any]) -> Path:
    if job["kind"] == "trial":
        return Path(job["results"]) / job["folder"] / "record.json"
    return Path(job["results"]) / "pretrained" / job["folder"] / "model.safetensors"


@pytest.mark.parametrize(("kind", "file"), [("trial", "{folder}/ask.json"), ("source_model", "experiment.yaml")])
def test_a_host_that_does_not_see_the_results_gives_the_job_back(
    kind: str, file: str, jobs: Jobs, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SIGHT_S", 0.0)
    elsewhere = {**jobs[kind], "results": jobs[kind]["results"] + "-not-mounted"}
    worker.work(elsewhere)
    missing = Path(elsewhere["results"]) / file.format(**elsewhere)
    assert reports[-1]["out_of_sight"].endswith(f"does not see {missing}")
    assert not Path(elsewhere["results"]).exists()
    worker.work(jobs[kind])
    assert "out_of_sight" not in reports[-1]
    assert result_of(jobs[kind]).exists()


def test_a_file_that_storage_shows_late_is_waited_for(jobs: Jobs, reports: list[dict[str, Any]]) -> None:
    ask = Path(jobs["trial"]["results"]) / jobs["trial"]["folder"] / "ask.json"
    hidden = ask.rename(ask.with_name("hidden"))
    threading.Timer(0.2, hidden.rename, [ask]).start()
    worker.work(jobs["trial"])
    assert result_of(jobs["trial"]).exists()


def test_a_pre_training_is_given_up_where_the_sweep_stops(jobs: Jobs, reports: list[dict[str, Any]]) -> None:
    model = jobs["source_model"]
    stop_file(Path(model["results"]), lease=1).touch()
    worker.work(model)
    assert not result_of(model).exists()
    stop_file(Path(model["results"]), lease=1).unlink()
    worker.work(model)
    assert result_of(model).exists()

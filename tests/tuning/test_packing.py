"""GPU packing without a GPU: what is measured, what share follows, and Ray holding trials to it on made-up GPUs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from agsgtl.provenance import GpuMemory
from agsgtl.tuning import packing
from agsgtl.tuning.cluster import ray_session, run_jobs
from agsgtl.tuning.experimentfile import Resources
from agsgtl.tuning.jobs import Job
from agsgtl.tuning.packing import FIRST_EPOCHS, Measured, Packing, fair_share, kind_of
from agsgtl.tuning.searcher import LedgerSearcher

KIND = ("agsgtl", "tiny")


def memory_of(used_mib: float, total_mib: float = 10_000.0) -> dict[str, float]:
    return GpuMemory(used_mib, total_mib).columns()


def test_the_share_holds_what_was_measured_and_never_less_than_the_file_says() -> None:
    packer = Packing(0.25)
    assert packer.share(KIND) == 0.25
    packer.learn(KIND, memory_of(1_000))
    assert packer.share(KIND) == 0.25
    packer.learn(KIND, memory_of(4_000))  # 4,400 with headroom: two fit, three do not
    assert packer.share(KIND) == 0.5
    packer.learn(KIND, memory_of(3_000))
    assert packer.share(KIND) == 0.5  # the most that any trial needed
    assert packer.share(("fine_tune", "tiny")) == 0.25


def test_the_smallest_gpu_decides() -> None:
    packer = Packing(0.1)
    packer.learn(KIND, memory_of(2_000, 40_000))
    packer.learn(("lda", "tiny"), memory_of(10, 5_000))
    assert packer.share(KIND) == 0.5  # 2,200 of 5,000


def test_out_of_memory_runs_alone_and_whole_gpus_and_none_stay_as_they_are() -> None:
    assert Packing(0.25).share(KIND, is_alone=True) == 1.0
    assert [Packing(gpu).share(KIND, is_alone=True) for gpu in (0.0, 1.0, 2.0)] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("needed", [0.01, 0.2, 0.26, 1 / 3, 0.5, 0.51, 0.99, 3.0])
def test_as_many_equal_shares_as_fit_and_no_more(needed: float) -> None:
    share = fair_share(needed)
    together = int(1 / share + 1e-9)
    assert together * share <= 1.0
    assert together * needed <= 1.0 + 1e-3 or together == 1
    assert (together + 1) * needed > 1.0 - 1e-3


def test_a_trial_is_measured_after_its_first_epochs_and_again_where_it_has_grown() -> None:
    held = iter([700.0, 700.0, 701.0, 900.0, 900.0])
    measured = Measured(lambda: GpuMemory(next(held), 8_000.0))
    columns = [measured(epoch) for epoch in range(1, FIRST_EPOCHS + 5)]
    assert [found.get("gpu_memory_mib") for found in columns] == [
        *[None] * (FIRST_EPOCHS - 1), 700.0, None, None, 900.0, None
    ]  # fmt: skip
    assert columns[FIRST_EPOCHS - 1]["gpu_total_mib"] == 8_000.0
    assert Measured(lambda: None)(FIRST_EPOCHS) == {}


def test_a_process_is_capped_at_its_share_and_measured_anew_and_gives_memory_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[Any] = []
    monkeypatch.setattr(packing, "gpu_memory", lambda: GpuMemory(0.0, 6_000.0, context_mib=600.0))
    monkeypatch.setattr(packing.torch.cuda, "set_per_process_memory_fraction", called.append)
    monkeypatch.setattr(packing.torch.cuda, "reset_peak_memory_stats", lambda: called.append("measured anew"))
    monkeypatch.setattr(packing.torch.cuda, "empty_cache", lambda: called.append("emptied"))
    with pytest.raises(RuntimeError), packing.held_to_share(0.5):
        raise RuntimeError("stopped early")
    assert called == [pytest.approx(0.4), "measured anew", "emptied"]


def test_jobs_are_of_one_kind_across_search_and_confirmation() -> None:
    job = {"kind": "trial", "pair": "ip/a_to_b", "folder": "agsgtl/ip/a_to_b/3/trials/7"}
    assert kind_of(job) == kind_of({**job, "folder": "confirm/agsgtl/ip/a_to_b/3/41"}) == ("agsgtl", "ip/a_to_b")
    assert kind_of({**job, "kind": "source_model", "folder": "abc"}) == ("source_model", "ip/a_to_b")


class Queue:
    """So many jobs of one kind, ready at once, as a searcher sees them."""

    def __init__(self, results: Path, jobs: int, gpu: float) -> None:
        self.ledger, self.lease, self.studies = SimpleNamespace(path=results), 1, []
        failures = SimpleNamespace(allowed={}, timeout_s=None)
        self.experiment = SimpleNamespace(file=SimpleNamespace(resources=Resources(gpu=gpu), failures=failures))
        self.left = [Job("source_model", str(n), "tiny", str(n)) for n in range(jobs)]
        self.running: dict[str, Job] = {}
        self.is_stopping = False

    @property
    def is_finished(self) -> bool:
        return not self.left and not self.running

    def next(self) -> Job | None:
        if not self.left:
            return None
        job = self.left.pop(0)
        self.running[job.key] = job
        return job

    def done(self, job: Job, is_lost: bool = False) -> None:
        del self.running[job.key]


JOBS = 16


def most_at_once(results: Path, used_mib: float) -> dict[float, int]:
    """By share: how many trials of that share were seen together on one of two made-up GPUs at most.

    A trial goes on until its GPU is as full as its share allows, or all trials have started.
    """

    def trial(config: dict[str, Any]) -> None:
        import os

        here, number, share = Path(config["job"]["results"]), config["job"]["key"], config["job"]["gpu"]
        gpu, most, end = os.environ["CUDA_VISIBLE_DEVICES"], 0, time.monotonic() + 60
        (here / f"started_{number}").touch()
        running = here / f"running_{gpu}_{share}_{number}"
        running.touch()
        while most < int(1 / share) and len(list(here.glob("started_*"))) < JOBS and time.monotonic() < end:
            most = max(most, len(list(here.glob(f"running_{gpu}_{share}_*"))))
            time.sleep(0.01)
        running.unlink()
        (here / f"ended_{number}").write_text(json.dumps([share, most]))
        tune.report({"ended_at": time.time(), **GpuMemory(used_mib, 10_000.0).columns()})

    results.mkdir(parents=True)
    searcher = LedgerSearcher(Queue(results, JOBS, gpu=0.25), slots=8, before_each_write=lambda: None)  # type: ignore[arg-type]
    run_jobs(searcher, Resources(cpu=1, gpu=0.25), results, [], trial)
    said = [json.loads(path.read_text()) for path in results.glob("ended_*")]
    assert len(said) == JOBS
    return {share: max(most for other, most in said if other == share) for share, _ in said}


@pytest.mark.faults
def test_no_more_trials_share_a_gpu_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agsgtl.tuning.cluster.usable_cpus", lambda: 8)
    with ray_session(None, gpus=2):
        small = most_at_once(tmp_path / "small", used_mib=2_000)
        large = most_at_once(tmp_path / "large", used_mib=4_000)
    assert small == {0.25: 4}  # the control: what needs less than its quarter is packed four to a GPU all along
    assert large == {0.25: 4, 0.5: 2}  # once the first has said that it needs two fifths, two share a GPU

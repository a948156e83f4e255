"""What a dry run counts, with the timing of epochs left out, and what it refuses."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from studies import finish

from agsgtl.config import Config
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.tuning import cluster, dryrun
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.jobs import JobQueue
from experiments import SPACE, write_experiment

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"


def test_every_study_and_every_confirmation_is_counted_at_each_k(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: Counter[tuple[str, str, int]] = Counter()

    def training_s(experiment: Any, method: str, pair: str, config: Config, notes: list[str]) -> float:
        timed[method, pair, config.labels.per_class] += 1
        return 60.0

    monkeypatch.setattr(dryrun, "_training_s", training_s)
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 1)
    said = dryrun.describe(EXPERIMENTS / "labels.yaml", tmp_path)
    pairs, counts = ("indian_pines/west_to_east", "indian_pines/south_to_north"), (3, 5)
    expected = {"fine_tune": 2, "agsgtl": 2, "lda": 1}  # a study and its winner; confirmed alone
    assert timed == {(method, pair, k): n for method, n in expected.items() for pair in pairs for k in counts}
    trainings = 8 * (40 + 3 * 2) + 12 * 10  # trials and finals, confirmations
    assert f"about {trainings} min with 1 trials" in said
    assert not any(tmp_path.iterdir())


def test_finals_that_have_ended_are_taken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dryrun, "_training_s", lambda *arguments: 60.0)
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 1)
    changes = {
        "search__trials": 3,
        "search__finalists": 2,
        "search__final_seeds": [7, 8, 9],
        "confirm__methods": ["lda"],
    }
    file = write_experiment(tmp_path, {"agsgtl": SPACE}, **changes)
    said = dryrun.describe(file, tmp_path / "results")
    assert "0 of 3 trials done, about 120 s each, then 2 finals of 180 s" in said
    assert f"about {3 * 2 + 2 * 3 + 2} min" in said
    queue = JobQueue(load_experiment(file), Ledger(tmp_path / "results" / "tiny"), concurrency=2)
    while job := queue.next():
        finish(queue, job, {})
    assert "about 2 min" in dryrun.describe(file, tmp_path / "results")


def test_a_training_that_diverges_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdversarialTraining, "train_epoch", lambda self, epoch: {"target": math.nan})
    file = write_experiment(tmp_path, {"agsgtl": SPACE}, confirm__methods=["lda", "agsgtl"])
    said = dryrun.describe(file, tmp_path / "results")
    assert said.count("note: agsgtl on tiny diverged while it was timed") == 1
    assert "epoch 1: a loss is not finite" in said
    assert "estimate: about" in said


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"cpu": 64}, "a trial needs 64 CPUs and 0 GPUs, but there are 2 and 0"),
        ({"gpu": 0.5}, "a trial needs 1 CPUs and 0.5 GPUs, but there are 2 and 0"),
    ],
)
def test_what_a_sweep_here_would_refuse_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resources: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 2)
    monkeypatch.setattr(dryrun.torch.cuda, "device_count", lambda: 0)
    with pytest.raises(
        UserError, match=f"{message}; lower `resources` in the experiment file, or go where there is more"
    ):
        dryrun.describe(write_experiment(tmp_path, resources=resources), tmp_path / "results")

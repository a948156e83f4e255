"""What a dry run counts, with the timing of epochs left out, and what it refuses."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from studies import finish, run

from agsgtl.config import Config
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.tuning import cluster, dryrun
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.resolved import remembered_concurrency
from agsgtl.tuning.resolved import write_experiment as write_resolved
from agsgtl.tuning.study import StudyName
from agsgtl.tuning.sweep import sweep
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


def test_what_a_changed_file_touches_is_a_note_and_counts_as_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dryrun, "_training_s", lambda *arguments: 60.0)
    ledger, fewer = Ledger(tmp_path / "results" / "tiny"), {"search__trials": 3}
    experiment = load_experiment(write_experiment(tmp_path, **fewer))
    for method in ("agsgtl", "fine_tune"):
        run(experiment, ledger, 2, name=StudyName(method, "tiny", 3))
    write_resolved(experiment, ledger, 2, 1, cells=[])
    before = sorted(tmp_path.rglob("*"))
    said = dryrun.describe(write_experiment(tmp_path, **fewer), tmp_path / "results")
    assert said.count("3 of 3 trials done") == 2
    assert "refuses" not in said
    entropy = {"loss.entropy": {"type": "float", "low": 0.0, "high": 1.0}}
    changed = write_experiment(tmp_path, {"agsgtl": SPACE | entropy, "fine_tune": SPACE}, **fewer)
    said = dryrun.describe(changed, tmp_path / "results")
    assert "agsgtl/tiny/3: 0 of 3 trials done" in said
    assert "fine_tune/tiny/3: 3 of 3 trials done" in said
    with pytest.raises(UserError) as refused:
        remembered_concurrency(load_experiment(changed), ledger, may_set_aside=False)
    assert f"note: the sweep refuses this file as it is: {refused.value}" in said.splitlines()
    assert sorted(tmp_path.rglob("*")) == before
    ledger.experiment_file.write_text("concurrency: [")
    with pytest.raises(UserError, match="the order of the trials depends on it; restore it from a copy"):
        dryrun.describe(changed, tmp_path / "results")


def test_a_folder_to_start_from_is_looked_for_while_a_study_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dryrun, "_training_s", lambda *arguments: 60.0)
    results = tmp_path / "results"
    file = write_experiment(tmp_path, {"agsgtl": SPACE}, search__warm_start=str(tmp_path / "nowhere"))
    for command in (dryrun.describe, sweep):
        with pytest.raises(UserError, match=r"search\.warm_start: .*nowhere holds no experiment\.yaml"):
            command(file, results)
    taken = results / "tiny/agsgtl/tiny/3/warm_start.json"
    taken.parent.mkdir(parents=True)
    taken.write_text('{"starts": []}')
    assert "0 of 5 trials done" in dryrun.describe(file, results)


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

"""How far studies ask ahead on many slots: far enough to keep them busy, and no farther; and what is said where that is far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from studies import SPACES, asks_of, run

from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning import cluster, dryrun, resolved
from agsgtl.tuning.concurrency import concurrency_of, follow_slots, warnings_of
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import JobQueue
from experiments import SPACE, write_experiment

SHIPPED = Path(__file__).parents[2] / "experiments"
TWO = {"target_only": SPACE, "source_and_target": SPACE}


def experiment_of(folder: Path, spaces: dict[str, dict[str, Any]] = TWO, **changes: object) -> Experiment:
    return load_experiment(write_experiment(folder, spaces, **{"search__trials": 40, **changes}))


@pytest.mark.parametrize(
    ("studies", "slots", "concurrency"),
    [(1, 1, 1), (1, 2, 2), (1, 16, 16), (2, 1, 1), (2, 2, 2), (2, 7, 4), (2, 16, 8)],
)
def test_studies_share_the_slots(tmp_path: Path, studies: int, slots: int, concurrency: int) -> None:
    experiment = experiment_of(tmp_path, dict(list(TWO.items())[:studies]))
    assert concurrency_of(experiment, slots) == concurrency


@pytest.mark.parametrize(("order", "ahead"), [("fixed", 2), ("async", 5)])
def test_the_slots_of_this_start_count_where_no_ask_depends_on_them(tmp_path: Path, order: str, ahead: int) -> None:
    queue = JobQueue(experiment_of(tmp_path, {"target_only": SPACE}, search__order=order), Ledger(tmp_path / "r"), 2)
    follow_slots(queue, 5)
    handed_out = [job.key for job in iter(queue.next, None)]
    assert sum("/trials/" in key for key in handed_out) == queue.concurrency == ahead


def test_two_slots_ask_as_they_always_did(tmp_path: Path) -> None:
    for name in ("quickstart", "indian_pines_two_seeds"):
        assert concurrency_of(load_experiment(SHIPPED / f"{name}.yaml"), slots=2) == 2


def test_without_a_fixed_order_a_study_may_take_every_slot(tmp_path: Path) -> None:
    assert concurrency_of(experiment_of(tmp_path, search__order="async"), slots=16) == 16


def test_all_slots_have_a_trial_from_the_start(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path)
    queue = JobQueue(experiment, Ledger(tmp_path / "results"), concurrency_of(experiment, slots=7))
    asked = [study.ask() for study in queue.studies for _ in range(7) if study.may_ask()]
    assert len(asked) >= 7


def test_a_study_that_shares_its_slots_asks_with_more_knowledge(tmp_path: Path) -> None:
    asks = {}
    for count, spaces in enumerate((SPACES, SPACES | {"fine_tune": SPACE}), start=1):
        experiment = load_experiment(write_experiment(tmp_path, spaces, search__trials=14, search__startup_trials=4))
        ledger = Ledger(tmp_path / f"{count} studies")
        run(experiment, ledger, concurrency_of(experiment, slots=14))
        asks[count] = asks_of(ledger)
    assert [bool(ask["cutoffs"]) for ask in asks[1]] == [False] * 14  # all fourteen are asked at once
    assert any(ask["cutoffs"] for ask in asks[2])


@pytest.mark.parametrize(
    ("concurrency", "changes", "warns"),
    [
        (10, {}, False),
        (11, {}, True),
        (11, {"search__order": "async"}, False),
        (11, {"search__sampler": "random"}, True),  # its rungs are blind
        (11, {"search__sampler": "random", "search__scheduler": "none"}, False),
        (2, {"search__trials": 4}, False),
        (3, {"search__trials": 4}, True),
    ],
)
def test_a_search_that_is_largely_blind_says_so(
    tmp_path: Path, concurrency: int, changes: dict[str, Any], warns: bool
) -> None:
    said = warnings_of(experiment_of(tmp_path, **changes), concurrency)
    assert bool(said) is warns
    if warns:
        assert (
            f"sees only trials that lie at least {concurrency} before it: the first {concurrency} of each study's"
            in said[0]
        )


def test_nothing_is_said_of_an_experiment_that_searches_nothing(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, {}, confirm__methods=["lda"])
    assert warnings_of(experiment, concurrency_of(experiment, slots=16)) == ()


def test_tables_are_told_and_the_dry_run_goes_by_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dryrun, "_training_s", lambda *arguments: 60.0)
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 2)
    experiment, ledger = experiment_of(tmp_path), Ledger(tmp_path / "results" / "tiny")
    file = Path(experiment.origin)
    assert "search.order fixed" not in dryrun.describe(file, tmp_path / "results")
    resolved.write_experiment(experiment, ledger, 16, 1, cells=[])
    (warning,) = yaml.safe_load(ledger.experiment_file.read_text())["search"]["warnings"]
    assert "at least 16 before it" in warning
    assert f"note: {warning}" in dryrun.describe(file, tmp_path / "results")
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 64)
    assert "at least 16 before it" in dryrun.describe(file, tmp_path / "results")
    assert "at least 32 before it" in dryrun.describe(file, tmp_path / "elsewhere")

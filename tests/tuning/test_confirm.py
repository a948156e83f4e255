"""Which confirmations stand: those that a choice asks for; the others are set aside, and come back when asked for again."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from studies import finish
from tiny import write_tiny_pair

from agsgtl.config import configure
from agsgtl.errors import UserError
from agsgtl.reporting.confirmed import read_confirmed
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.trial import Place, run_trial
from agsgtl.tuning.confirm import planned_cells, set_unasked_aside
from agsgtl.tuning.evaluate import score_trials
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.resolved import has_decided
from agsgtl.tuning.resolved import write_experiment as write_resolved
from agsgtl.tuning.searcher import LedgerSearcher
from agsgtl.tuning.sweep import sweep
from agsgtl.yamlfile import read_yaml
from experiments import SPACE, write_experiment

SAMPLED_K = {"agsgtl": {**SPACE, "labels.per_class": {"type": "int", "low": 1, "high": 4}}}


def experiment(folder: Path, spaces: dict | None = None, **changes: object) -> Experiment:
    settings = {"search__trials": 1, "search__seeds": [0], "confirm__methods": ["lda", "agsgtl"], **changes}
    spaces = {"agsgtl": SPACE} if spaces is None else spaces
    return load_experiment(write_experiment(folder, spaces, **settings))


def queue_of(folder: Path, spaces: dict | None = None, **changes: object) -> JobQueue:
    return JobQueue(experiment(folder, spaces, **changes), Ledger(folder / "results/tiny"), concurrency=1)


def run(queue: JobQueue, scores: dict[int, float] | None = None) -> list[str]:
    done = []
    while job := queue.next():
        finish(queue, job, {"search": scores or {}})
        done.append(job.key)
    assert queue.is_finished
    return done


def standing(ledger: Ledger) -> set[str]:
    return {folder.path.relative_to(ledger.path / "confirm").as_posix() for folder in ledger.confirmations()}


def set_aside(ledger: Ledger) -> set[str]:
    return {
        path.parent.as_posix().partition("/confirm/")[2] for path in ledger.path.glob("superseded/*/**/record.json")
    }


def test_a_seed_that_is_taken_out_stands_no_longer_and_comes_back_unchanged(tmp_path: Path) -> None:
    run(queue_of(tmp_path))
    ledger, all_of_them = (
        Ledger(tmp_path / "results/tiny"),
        {f"{m}/tiny/3/{s}" for m in ("lda", "agsgtl") for s in (41, 50)},
    )
    assert standing(ledger) == all_of_them
    assert run(queue_of(tmp_path, confirm__seeds=[41])) == []
    assert standing(ledger) == {"lda/tiny/3/41", "agsgtl/tiny/3/41"}
    assert set_aside(ledger) == {"lda/tiny/3/50", "agsgtl/tiny/3/50"}
    assert run(queue_of(tmp_path)) == []  # nothing runs again
    assert (standing(ledger), set_aside(ledger)) == (all_of_them, set())


def test_a_winner_at_another_k_takes_the_earlier_ones_place_once_it_is_known(tmp_path: Path) -> None:
    known = [{"labels.per_class": 1}, {"labels.per_class": 2}]
    run(queue_of(tmp_path, SAMPLED_K, search__enqueue=known[:1], confirm__seeds=[41]), {0: 0.5})
    ledger = Ledger(tmp_path / "results/tiny")
    before = standing(ledger)
    assert before == {"agsgtl/tiny/1/41", "lda/tiny/1/41", "lda/tiny/3/41"}  # 3 is the experiment's own k
    extended = queue_of(tmp_path, SAMPLED_K, search__enqueue=known, search__trials=2, confirm__seeds=[41])
    assert standing(ledger) == before
    run(extended, {1: 0.9})
    assert standing(ledger) == {"agsgtl/tiny/2/41", "lda/tiny/2/41", "lda/tiny/3/41"}
    assert set_aside(ledger) == {"agsgtl/tiny/1/41", "lda/tiny/1/41"}


def test_other_pairs_and_files_of_others_stay_where_they_are(tmp_path: Path) -> None:
    run(queue_of(tmp_path))
    ledger = Ledger(tmp_path / "results/tiny")
    for other in ("lda/tiny/east/3/50", "authors/tiny/3/41"):
        (ledger.path / "confirm" / other).mkdir(parents=True)
        (ledger.path / "confirm" / other / "ask.json").write_bytes(
            (ledger.path / "confirm/lda/tiny/3/50/ask.json").read_bytes()
        )
    set_unasked_aside(ledger, "lda", "tiny", asked=(), notices=[])
    assert standing(ledger) >= {"lda/tiny/east/3/50", "authors/tiny/3/41"}
    run(queue_of(tmp_path))
    assert "authors/tiny/3/41" in standing(ledger)
    assert "lda/tiny/east/3/50" not in standing(ledger)  # a pair that nobody lists


def two_pairs(folder: Path) -> list[str]:
    """The pair files of `tiny` and of a copy that is called `valley`."""
    copy = write_tiny_pair(folder / "valley")
    copy.write_text(copy.read_text().replace("name: tiny", "name: valley"))
    return ["tiny.yaml", "valley/tiny.yaml"]


def test_a_pair_that_is_taken_out_stands_no_longer_and_comes_back_unchanged(tmp_path: Path) -> None:
    pairs = two_pairs(tmp_path)
    run(queue_of(tmp_path, pairs=pairs))
    ledger = Ledger(tmp_path / "results/tiny")
    both = standing(ledger)
    of_valley = {name for name in both if "/valley/" in name}
    assert (len(both), len(of_valley)) == (8, 4)
    assert run(queue_of(tmp_path, pairs=pairs[:1])) == []
    assert (standing(ledger), set_aside(ledger)) == (both - of_valley, of_valley)
    assert run(queue_of(tmp_path, pairs=pairs)) == []  # nothing runs again
    assert (standing(ledger), set_aside(ledger)) == (both, set())


def test_a_pair_that_is_taken_out_before_it_was_scored_keeps_no_sweep_from_its_end(tmp_path: Path) -> None:
    pairs = two_pairs(tmp_path)
    queue = queue_of(tmp_path, {}, pairs=pairs, confirm__methods=["lda"])
    while job := queue.next():
        folder = TrialFolder(queue.ledger.path / job.folder)
        ask = folder.ask()
        run_trial(configure(ask.config, origin="test"), queue.experiment.pairs[job.pair], ask, Place(folder))
        queue.done(job)
    write_resolved(queue.experiment, queue.ledger, 1, 1, planned_cells(queue.experiment, queue.choices))
    copytree(queue.ledger.path / "confirm/lda/valley", queue.ledger.path / "confirm/authors/valley")  # nobody's job
    experiment(tmp_path, {}, pairs=pairs[:1], confirm__methods=["lda"])
    assert sweep(tmp_path / "experiment.yaml", tmp_path / "results").exit_code == 0
    rmtree(queue.ledger.path / "confirm/authors")
    assert read_confirmed([queue.ledger.path]).pairs == ("tiny",)


def planned(ledger: Ledger) -> dict[tuple[str, int], int | None]:
    """Of each planned confirmation, by method and seed, how many trials it was chosen from."""
    cells = read_yaml(ledger.experiment_file)["confirm_cells"]
    return {(cell["method"], cell["seed"]): cell.get("trials") for cell in cells}


def cut_short(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """Makes a sweep run without Ray, and end before the first job whose key holds a text."""

    def run_jobs(searcher: LedgerSearcher, *rest: object) -> None:
        while before not in (job := searcher.suggest("it")["job"])["key"]:
            finish(searcher.queue, searcher.jobs.pop("it"), {})
            assert job["lease"] == searcher.queue.lease

    monkeypatch.setattr("agsgtl.tuning.sweep.ray_session", lambda address: nullcontext())
    monkeypatch.setattr("agsgtl.tuning.sweep.cluster_slots", lambda resources: 1)
    monkeypatch.setattr("agsgtl.tuning.sweep.run_jobs", run_jobs)


def test_while_a_search_is_extended_its_earlier_confirmations_stay_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_of(tmp_path)
    run(queue)
    cells = planned_cells(queue.experiment, queue.choices)
    write_resolved(queue.experiment, queue.ledger, 1, 1, cells, is_decided=True)
    experiment(tmp_path, search__trials=2, confirm__seeds=[41, 61])
    cut_short(monkeypatch, before="/trials/1")
    assert sweep(tmp_path / "experiment.yaml", tmp_path / "results").is_interrupted
    assert planned(queue.ledger) == {("lda", 41): None, ("lda", 61): None, ("agsgtl", 41): 1}  # seed 50 was taken out
    with pytest.raises(UserError, match="this sweep is not finished"):
        score_trials(queue.ledger.path)
    cut_short(monkeypatch, before="confirm/agsgtl")
    assert sweep(tmp_path / "experiment.yaml", tmp_path / "results").is_interrupted
    new = {("agsgtl", 41): 2, ("agsgtl", 61): 2}
    assert planned(queue.ledger) == {("lda", 41): None, ("lda", 61): None, **new}


@pytest.mark.parametrize(
    ("content", "decided"),
    [
        ({"confirm_cells": [{"seed": 41}]}, True),  # an older version's file
        ({"confirm_cells": []}, False),
        ({"confirm_cells": [{"seed": 41}], "is_decided": False}, False),
        ({"confirm_cells": [], "is_decided": True}, True),
    ],
)
def test_an_older_experiment_is_decided_where_it_plans_anything(content: dict, decided: bool) -> None:
    assert has_decided(content) is decided

from __future__ import annotations

from pathlib import Path

import pytest
from studies import finish

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Ask
from agsgtl.reporting.status import read_status, render_status
from agsgtl.reporting.table import build_table
from agsgtl.reporting.vaultlog import VaultLog, count_asked, read_looks
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.resolved import write_experiment as write_resolved
from experiments import SPACE, write_experiment

SEARCHED = {0: 0.1, 1: 0.8, 2: 0.6, 3: 0.7}
"""Scores of the search's one seed: 1, 3 and 2 are the best three."""


def experiment(folder: Path, **changes: object) -> Experiment:
    settings = {"search__trials": 4, "search__seeds": [0], "search__finalists": 3, "search__final_seeds": [5, 6]}
    return load_experiment(
        write_experiment(folder, {"agsgtl": SPACE}, confirm__methods=["agsgtl"], **{**settings, **changes})
    )


def run(queue: JobQueue, final_scores: dict[int, float | None], stop_before: str = "nothing") -> list[str]:
    done = []
    while (job := queue.next()) and stop_before not in job.key:
        finish(queue, job, {"search": SEARCHED, "final": final_scores})
        done.append(job.key)
    return done


def confirmed(queue: JobQueue) -> tuple[int, float]:
    (ask, *_) = [folder.ask() for folder in queue.ledger.confirmations()]
    return ask.origin.trial, ask.origin.score


def finals(ledger: Ledger) -> dict[int, Ask]:
    folders = (TrialFolder(path.parent) for path in ledger.path.glob("agsgtl/tiny/*/finals/*/ask.json"))
    return {folder.ask().identity.number: folder.ask() for folder in folders}


def test_the_winner_is_the_best_finalist_over_all_its_seeds(tmp_path: Path) -> None:
    queue = JobQueue(experiment(tmp_path), Ledger(tmp_path / "results"), concurrency=2)
    done = run(queue, {1: 0.2, 2: 0.6, 3: 0.65})
    assert queue.is_finished
    trial, score = confirmed(queue)
    assert (trial, score) == (3, pytest.approx((0.7 + 2 * 0.65) / 3))  # trial 1: (0.8 + 2 * 0.2) / 3
    kinds = ["trials" if "/trials/" in key else "finals" if "/finals/" in key else "" for key in done]
    assert kinds.count("finals") == 3
    assert kinds.index("finals") > max(i for i, kind in enumerate(kinds) if kind == "trials")


def test_a_final_repeats_its_trials_settings_on_the_further_seeds_alone(tmp_path: Path) -> None:
    queue = JobQueue(experiment(tmp_path), Ledger(tmp_path / "results"), concurrency=2)
    run(queue, {})
    asked = finals(queue.ledger)
    assert asked.keys() == {1, 2, 3}
    for number, ask in asked.items():
        trial = TrialFolder(queue.ledger.path / f"agsgtl/tiny/3/trials/{number}").ask()
        assert (ask.config, ask.cutoffs) == (trial.config, {})
        assert [seeds.labels for seeds in ask.seeds] == [5, 6]


def test_a_finalist_that_fails_on_other_seeds_cannot_win(tmp_path: Path) -> None:
    queue = JobQueue(experiment(tmp_path), Ledger(tmp_path / "results"), concurrency=2)
    run(queue, {1: 0.9, 3: None, 2: 0.1})
    assert confirmed(queue)[0] == 1
    queue = JobQueue(experiment(tmp_path), Ledger(tmp_path / "others"), concurrency=2)
    run(queue, {1: None, 3: None, 2: None})
    assert confirmed(queue) == (1, 0.8)  # all failed: as the search saw it


def test_status_tells_of_finals(tmp_path: Path) -> None:
    queue = JobQueue(experiment(tmp_path), Ledger(tmp_path / "results"), concurrency=2)
    run(queue, {1: 0.9, 3: None, 2: 0.1})
    write_resolved(queue.experiment, queue.ledger, 2, 1, cells=[])
    rows = {row.name: row for row in read_status(queue.ledger.path)}
    assert rows["agsgtl/tiny/3"].counts == {"complete": 4}
    assert rows["agsgtl/tiny/3, finals"].counts == {"complete": 2, "failed": 1}
    assert "3: diverged" in render_status(queue.ledger.path)


@pytest.mark.parametrize("scores", [{1: 0.6, 2: 0.65, 3: 0.55}, {1: 0.2, 2: 0.6, 3: 0.65}, {1: None, 2: None, 3: None}])
def test_status_names_the_finalist_that_was_chosen(tmp_path: Path, scores: dict[int, float | None]) -> None:
    queue = JobQueue(experiment(tmp_path), Ledger(tmp_path / "results"), concurrency=2)
    run(queue, scores)
    write_resolved(queue.experiment, queue.ledger, 2, 1, cells=[])
    row = next(row for row in read_status(queue.ledger.path) if row.name == "agsgtl/tiny/3, finals")
    assert (row.is_chosen, (row.best_trial, row.best_score)) == (True, confirmed(queue))


def test_stopped_between_finals_goes_on_with_the_rest(tmp_path: Path) -> None:
    ledger, scores = Ledger(tmp_path / "results"), {1: 0.2, 2: 0.9, 3: 0.6}
    before = run(JobQueue(experiment(tmp_path), ledger, concurrency=2), scores, stop_before="/finals/2")
    again = JobQueue(experiment(tmp_path), ledger, concurrency=2)
    after = run(again, scores)
    ended = [[key[-1] for key in keys if "/finals/" in key] for keys in (before, after)]
    assert (sorted(ended[0] + ended[1]), "2" in ended[1]) == (["1", "2", "3"], True)
    assert confirmed(again)[0] == 2


def test_without_finalists_nothing_more_is_asked(tmp_path: Path) -> None:
    queue = JobQueue(experiment(tmp_path, search__finalists=0), Ledger(tmp_path / "results"), concurrency=2)
    run(queue, {})
    assert not finals(queue.ledger)
    assert confirmed(queue) == (1, 0.8)


def test_tables_say_how_the_winner_was_chosen(tmp_path: Path) -> None:
    (said,) = experiment(tmp_path).warnings
    assert said == "each winner was chosen among the best 3 trials of its search by the mean over 3 seeds"


def test_final_seeds_are_new_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"search\.final_seeds must be others than search\.seeds \[0\], got \[0, 5\]"):
        experiment(tmp_path, search__final_seeds=[0, 5])


def test_finals_on_other_seeds_after_a_look_count_as_an_extension(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results")
    run(JobQueue(experiment(tmp_path), ledger, concurrency=2), {})
    log = VaultLog(ledger)
    assert [log.append(folder, "confirm") for folder in ledger.confirmations()] == [True, True]
    assert read_looks(ledger).before_extension == 0
    run(JobQueue(experiment(tmp_path, search__final_seeds=[7, 8]), ledger, concurrency=2), {})
    assert len(list(ledger.path.glob("superseded/*/agsgtl/tiny/3/finals/*/ask.json"))) == 3
    assert count_asked(ledger, "tiny", "finals") == 6
    assert read_looks(ledger).before_extension == 2


def test_a_final_that_is_set_aside_counts_for_its_own_pair_alone(tmp_path: Path) -> None:
    (tmp_path / "superseded/0123456789abcdef/agsgtl/valley/west/3/finals/0").mkdir(parents=True)
    (tmp_path / "superseded/agsgtl/valley/west/3/finals/0").mkdir(parents=True)
    asked = {pair: count_asked(Ledger(tmp_path), pair, "finals") for pair in ("valley/west", "west")}
    assert asked == {"valley/west": 2, "west": 0}


def test_another_number_of_finalists_after_a_look_leaves_a_count_of_what_it_replaced(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results")
    first = JobQueue(experiment(tmp_path), ledger, concurrency=2)
    run(first, {1: 0.2, 2: 0.6, 3: 0.65})
    assert confirmed(first)[0] == 3
    log = VaultLog(ledger)
    assert [log.append(folder, "confirm") for folder in ledger.confirmations()] == [True, True]
    assert read_looks(ledger).replaced == 0
    fewer = JobQueue(experiment(tmp_path, search__finalists=0), ledger, concurrency=2)
    run(fewer, {})
    assert confirmed(fewer)[0] == 1
    looks = read_looks(ledger)
    assert (looks.before_extension, looks.replaced) == (0, 2)
    write_resolved(fewer.experiment, ledger, 2, 1, cells=[])
    assert any("stand in the results no more: 2;" in line for line in build_table([ledger.path]).note)
    run(JobQueue(experiment(tmp_path), ledger, concurrency=2), {})  # back to the first choice: its records come back
    assert read_looks(ledger).replaced == 0

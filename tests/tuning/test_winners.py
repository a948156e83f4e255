from __future__ import annotations

from pathlib import Path

import pytest
from quick import QUICK
from studies import SPACES, end, finish

from agsgtl.config import configure
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.plan import read_plan
from agsgtl.reporting.record import Ask
from agsgtl.tuning import resolved
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import JobQueue
from experiments import SPACE, write_experiment

TERM = "loss.entropy"
BASE = {path: value for path, value in QUICK.items() if path not in SPACES["agsgtl"]}


@pytest.fixture
def tuned(tmp_path: Path) -> Ledger:
    """An experiment whose searches have ended and whose winner is being confirmed."""
    experiment = load_experiment(write_experiment(tmp_path, SPACES, search__trials=4, search__seeds=[0]))
    ledger = Ledger(tmp_path / "results" / "tiny")
    resolved.write_experiment(experiment, ledger, concurrency=2, lease=0, cells=[])
    run(experiment, ledger)
    return ledger


def run(experiment: Experiment, ledger: Ledger) -> None:
    queue = JobQueue(experiment, ledger, concurrency=2)
    while job := queue.next():
        folder = TrialFolder(ledger.path / job.folder)
        if job.kind == "trial" and folder.ask().identity.kind == "search":
            end(folder, folder.ask())
            queue.done(job)
        else:
            finish(queue, job, {})
    assert queue.is_finished


def ablation(folder: Path, winners: Path, **changes: object) -> Experiment:
    settings = {"confirm__winners": str(winners), "confirm__methods": ["agsgtl", "lda"], "confirm__seeds": [41]}
    return load_experiment(write_experiment(folder, {}, name="ablation", **{**settings, **changes}))


def asks_of(ledger: Ledger) -> dict[str, Ask]:
    asks = [folder.ask() for folder in ledger.confirmations()]
    return {ask.identity.method: ask for ask in asks if ask.identity.number == 41}


def test_an_ablation_confirms_the_winner_with_its_own_settings_laid_over(tmp_path: Path, tuned: Ledger) -> None:
    ledger = Ledger(tmp_path / "results" / "ablation")
    experiment = ablation(tmp_path, tuned.path, trial={**BASE, TERM: 0.0})
    run(experiment, ledger)
    before, after = asks_of(tuned)["agsgtl"], asks_of(ledger)["agsgtl"]
    assert after.config == {**before.config, TERM: 0.0}
    assert after.origin == before.origin
    assert asks_of(ledger)["lda"].origin is None


def test_a_winner_is_confirmed_by_the_rule_that_chose_it(tmp_path: Path, tuned: Ledger) -> None:
    ledger = Ledger(tmp_path / "results" / "ablation")
    run(ablation(tmp_path, tuned.path, trial=BASE, search__select="source_validation"), ledger)
    assert {name: ask.select for name, ask in asks_of(ledger).items()} == {
        "agsgtl": "target_validation",
        "lda": "source_validation",
    }


def test_tables_know_what_the_search_chose_and_what_the_ablation_set(tmp_path: Path, tuned: Ledger) -> None:
    experiment = ablation(tmp_path, tuned.path, trial={**BASE, TERM: 0.0})
    ledger = Ledger(tmp_path / "results" / "ablation")
    resolved.write_experiment(experiment, ledger, concurrency=2, lease=0, cells=[])
    assert read_plan(ledger.path).searched("agsgtl") == set(SPACES["agsgtl"]) - {TERM}
    assert read_plan(tuned.path).searched("agsgtl") == set(SPACES["agsgtl"])


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_without_a_winner_is_refused_in_one_line(tmp_path: Path, exists: bool) -> None:
    other = tmp_path / "results" / "other"
    if exists:
        other.mkdir(parents=True)
        (other / "experiment.yaml").write_text("name: other\n")
    with pytest.raises(UserError, match=r"confirm\.winners: .* (no confirmed winner yet|holds no experiment\.yaml)"):
        ablation(tmp_path, other)


def test_a_label_count_that_was_not_tuned_is_refused(tmp_path: Path, tuned: Ledger) -> None:
    with pytest.raises(UserError, match="holds no winner of agsgtl on tiny with 2 labels a class"):
        ablation(tmp_path, tuned.path, trial={**BASE, "labels.per_class": 2})


def test_winners_of_another_test_pool_are_refused(tmp_path: Path, tuned: Ledger) -> None:
    file = write_experiment(tmp_path, {}, confirm__winners=str(tuned.path), confirm__methods=["lda", "agsgtl"])
    pair = tmp_path / "tiny.yaml"
    pair.write_text(pair.read_text() + "test_pool: {seed: 1}\n")
    with pytest.raises(UserError) as caught:
        load_experiment(file)
    assert "its winner of agsgtl on tiny was chosen on other data or another test pool" in str(caught.value)
    assert "experiment.yaml: confirm.winners: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def borrowed(tmp_path: Path, tuned: Ledger) -> Ledger:
    """An ablation of the tuned experiment whose winner is being confirmed."""
    experiment, ledger = ablation(tmp_path, tuned.path, trial={**BASE, TERM: 0.0}), Ledger(tmp_path / "results" / "one")
    resolved.write_experiment(experiment, ledger, concurrency=2, lease=0, cells=[])
    run(experiment, ledger)
    return ledger


def test_borrowed_winners_can_be_borrowed_again(tmp_path: Path, tuned: Ledger, borrowed: Ledger) -> None:
    again = ablation(tmp_path, borrowed.path, trial={**BASE, "attention.target": True})
    won = asks_of(tuned)["agsgtl"].config
    assert again.base_config("agsgtl", 3, "tiny") == configure({**won, TERM: 0.0, "attention.target": True}, origin="")
    assert again.searched("agsgtl") == set(SPACES["agsgtl"]) - {TERM, "attention.target"}


def test_a_borrowed_winner_that_is_not_there_is_no_default(tmp_path: Path, borrowed: Ledger) -> None:
    with pytest.raises(UserError, match="holds no winner of agsgtl on tiny with 2 labels a class"):
        ablation(tmp_path, borrowed.path, trial={**BASE, "labels.per_class": 2})


@pytest.fixture
def elsewhere(tmp_path: Path) -> Ledger:
    """Winners of an experiment on a GPU, with four threads and one validation pixel a class."""
    trial = {**QUICK, "runtime.threads": 4, "labels.validation_per_class": 1}
    changes = {"trial": trial, "resources": {"cpu": 4, "gpu": 1}, "search__trials": 2, "search__finalists": 1}
    experiment = load_experiment(write_experiment(tmp_path, SPACES, **changes))
    ledger = Ledger(tmp_path / "results" / "tiny")
    resolved.write_experiment(experiment, ledger, concurrency=2, lease=0, cells=[])
    run(experiment, ledger)
    return ledger


def test_what_all_methods_share_is_as_it_was_or_is_said(tmp_path: Path, elsewhere: Ledger) -> None:
    shared = {path: value for path, value in BASE.items() if path != "labels.validation_per_class"}
    with pytest.raises(
        UserError, match=r"of agsgtl on tiny was chosen with labels\.validation_per_class 1, .* here it is 5"
    ):
        ablation(tmp_path, elsewhere.path, trial=shared)
    shared["labels.validation_per_class"] = 1
    with pytest.raises(UserError, match=r"write `runtime\.threads: 4` under trial, or another value") as caught:
        ablation(tmp_path, elsewhere.path, trial=shared)
    assert "\n" not in str(caught.value)
    shared["runtime.threads"] = 2
    with pytest.raises(UserError, match=r"computes with runtime\.threads 2, but resources\.cpu gives it 1"):
        ablation(tmp_path, elsewhere.path, trial=shared)
    experiment = ablation(tmp_path, elsewhere.path, trial=shared, resources={"cpu": 2})
    configs = [experiment.base_config(name, 3, "tiny") for name in ("agsgtl", "lda")]
    assert {(c.runtime.device, c.runtime.threads, c.labels.validation_per_class) for c in configs} == {("cpu", 2, 1)}
    assert not ablation(tmp_path, elsewhere.path, trial=shared, resources={"cpu": 2}, search__finalists=1).warnings


def test_a_front_beside_borrowed_winners_needs_one_at_every_count(tmp_path: Path, tuned: Ledger) -> None:
    spaces = {"fine_tune": {**SPACE, "labels.per_class": {"type": "int", "low": 2, "high": 3}}}
    changes = {"name": "front", "trial": BASE, "confirm__winners": str(tuned.path)}
    with pytest.raises(
        UserError,
        match=r"beside fine_tune, whose labels\.per_class is sampled: holds no winner of agsgtl on tiny with 2",
    ):
        load_experiment(write_experiment(tmp_path, spaces, confirm__methods=["agsgtl", "fine_tune"], **changes))
    spaces["fine_tune"]["labels.per_class"] = {"type": "categorical", "choices": [3]}
    assert load_experiment(write_experiment(tmp_path, spaces, confirm__methods=["agsgtl", "fine_tune"], **changes))
    spaces["fine_tune"]["labels.per_class"] = {"type": "int", "low": 1, "high": 4}
    assert load_experiment(write_experiment(tmp_path, spaces, confirm__methods=["lda", "fine_tune"], **changes))


def test_seeds_on_which_the_winners_were_chosen_are_refused(tmp_path: Path, tuned: Ledger, borrowed: Ledger) -> None:
    for ledger in (tuned, borrowed):
        with pytest.raises(
            UserError, match=r"experiment\.yaml: confirm\.seeds .* behind confirm\.winners saw \[0\]"
        ) as caught:
            ablation(tmp_path, ledger.path, confirm__seeds=[0, 41])
        assert "\n" not in str(caught.value)


def test_the_seeds_of_finals_count_too(tmp_path: Path) -> None:
    changes = {"search__finalists": 1, "search__final_seeds": [7], "confirm__methods": ["agsgtl"]}
    experiment = load_experiment(write_experiment(tmp_path, SPACES, search__trials=2, search__seeds=[0], **changes))
    ledger = Ledger(tmp_path / "results" / "tiny")
    resolved.write_experiment(experiment, ledger, concurrency=2, lease=0, cells=[])
    run(experiment, ledger)
    with pytest.raises(UserError, match=r"behind confirm\.winners saw \[7\]"):
        ablation(tmp_path, ledger.path, confirm__seeds=[7, 41])


def test_an_old_folder_that_does_not_say_its_seeds_is_no_source(tmp_path: Path, borrowed: Ledger) -> None:
    lines = borrowed.experiment_file.read_text().replace("borrowed_seeds:\n- 0\n", "")
    borrowed.experiment_file.write_text(lines)
    with pytest.raises(UserError, match=r"does not say on which seeds .*; run `agsgtl sweep` on its experiment again"):
        ablation(tmp_path, borrowed.path)


def test_winners_are_found_beside_the_file_and_then_in_the_current_folder(
    tmp_path: Path, tuned: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tuned.path.relative_to(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ablation(tmp_path, where).winners.chosen
    monkeypatch.chdir(tmp_path)
    assert ablation(tmp_path / "elsewhere", where).winners.chosen

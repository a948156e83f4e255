from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studies import NAME, SPACES, asks_of, end, experiment_of, run

from agsgtl.data.mapped import unpack_pair
from agsgtl.data.pairing import load_pair
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.samplers import SAMPLERS
from agsgtl.tuning.study import Study, StudyName
from experiments import write_experiment

WHOLE = {"adapt.target_learning_rate": 3e-3, "loss.entropy": 0.3, "attention.target": True}
PART = {"loss.entropy": 0.9}


def other_ledger(folder: Path, trials: int = 12, **changes: object) -> Ledger:
    """A finished search of the same method on another pair."""
    experiment = experiment_of(folder, search__trials=trials, search__sampler="random", **changes)
    pair = replace(experiment.pairs["tiny"], name="other", fingerprint="0123456789abcdef")
    elsewhere = Experiment(experiment.origin, experiment.file, experiment.spaces, {"other": pair}, {"other": "other"})
    ledger = Ledger(folder / "results")
    ledger.path.mkdir()
    ledger.experiment_file.write_text("name: other\n")
    run(elsewhere, ledger, concurrency=1, name=StudyName("agsgtl", "other", 3))
    return ledger


def best(ledger: Ledger, study: str, count: int) -> list[dict]:
    complete = [folder for folder in ledger.trials(study) if folder.record().status == "complete"]
    ranked = sorted(complete, key=lambda folder: -folder.record().score)
    return [folder.ask().sampled for folder in ranked[:count]]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"loss.entrpy": 0.1}, "search.enqueue[0]: 'loss.entrpy' is no hyperparameter; did you mean 'loss.entropy'"),
        ({"loss.adversarial": 1.0}, "'loss.adversarial' is in no search space here; set it under `trial:`"),
        ({"loss.entropy": 2.0}, "search.enqueue[0]: 'loss.entropy' is 2.0, outside of 0 to 1 in"),
        ({"loss.entropy": "much"}, "input should be a valid number, got 'much'"),
        ({"attention.target": 1}, "input should be a valid boolean, got 1"),
        ({}, "no search space has all of nothing"),
    ],
)
def test_a_mistake_in_enqueue_is_one_line(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        experiment_of(tmp_path, search__enqueue=[entry])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_entry_over_two_spaces_and_too_many_entries_are_refused(tmp_path: Path) -> None:
    spaces = {"agsgtl": SPACES["agsgtl"], "fine_tune": {"adapt.keep": {"type": "categorical", "choices": ["last"]}}}
    entry = {"loss.entropy": 0.5, "adapt.keep": "last"}
    with pytest.raises(UserError, match=r"no search space has all of loss\.entropy, adapt\.keep; split the entry"):
        load_experiment(write_experiment(tmp_path, spaces, search__enqueue=[entry]))
    with pytest.raises(UserError, match=r"search\.enqueue lists 2 settings, more than search\.trials 1"):
        experiment_of(tmp_path, search__trials=1, search__enqueue=[PART, PART])


def test_enqueued_settings_are_asked_first_and_their_gaps_sampled(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    run(experiment_of(tmp_path, search__enqueue=[WHOLE, PART]), ledger, concurrency=2, stop_after=3)
    whole, part, free = asks_of(ledger)[:3]
    assert whole["sampled"] == WHOLE
    assert part["sampled"]["loss.entropy"] == part["config"]["loss.entropy"] == 0.9
    assert part["sampled"].keys() == WHOLE.keys()
    starts = [ask["sampler_attributes"].get("start") for ask in (whole, part, free)]
    assert starts == ["search.enqueue[0]", "search.enqueue[1]", None]


def test_a_study_asks_the_entries_of_its_own_space_alone(tmp_path: Path) -> None:
    rate = {"adapt.target_learning_rate": SPACES["agsgtl"]["adapt.target_learning_rate"]}
    path = write_experiment(
        tmp_path,
        {"agsgtl": SPACES["agsgtl"], "fine_tune": rate},
        search__enqueue=[WHOLE, {"adapt.target_learning_rate": 5e-4}],
    )
    _, ask = Study(StudyName("fine_tune", "tiny", 3), load_experiment(path), Ledger(tmp_path / "ledger"), 1).ask()
    assert ask.sampled == {"adapt.target_learning_rate": 5e-4}
    assert ask.sampler_attributes["start"] == "search.enqueue[1]"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_stopped_and_resumed_asks_equal_straight_ones(tmp_path: Path, sampler: str) -> None:
    other = other_ledger(tmp_path)
    changes = {"search__enqueue": [PART, WHOLE], "search__warm_start": str(other.path), "search__sampler": sampler}
    experiment = experiment_of(tmp_path, **changes)
    straight, stopped = Ledger(tmp_path / "straight"), Ledger(tmp_path / "stopped")
    run(experiment, straight, concurrency=3)
    for count in (1, 2, 5):
        run(experiment, stopped, concurrency=3, stop_after=count)
    run(experiment, stopped, concurrency=3)
    assert asks_of(stopped) == asks_of(straight)
    assert len(asks_of(straight)) == 14


def test_the_best_of_other_pairs_come_after_the_enqueued(tmp_path: Path) -> None:
    other = other_ledger(tmp_path)
    changes = {"search__enqueue": [WHOLE], "search__warm_start": str(other.path), "search__warm_start_trials": 3}
    ledger = Ledger(tmp_path / "ledger")
    run(experiment_of(tmp_path, **changes), ledger, concurrency=1, stop_after=5)
    asks = asks_of(ledger)
    assert [ask["sampled"] for ask in asks[1:4]] == best(other, "agsgtl/other/3", 3)
    assert f"{other.path}: agsgtl/other/3, trial" in asks[1]["sampler_attributes"]["start"]
    assert "start" not in asks[4]["sampler_attributes"]


def test_a_transfer_outlives_its_source(tmp_path: Path) -> None:
    other = other_ledger(tmp_path)
    experiment = experiment_of(tmp_path, search__warm_start=str(other.path))
    ledgers = [Ledger(tmp_path / name) for name in ("straight", "stopped")]
    run(experiment, ledgers[0], concurrency=1)
    run(experiment, ledgers[1], concurrency=1, stop_after=1)
    other.path.rename(tmp_path / "moved")
    run(experiment, ledgers[1], concurrency=1)
    assert asks_of(ledgers[1]) == asks_of(ledgers[0])


def test_own_pair_pruned_trials_and_settings_out_of_range_are_not_transferred(tmp_path: Path) -> None:
    other = other_ledger(tmp_path, trials=14, search__grace=0.5, search__reduction=2)
    run(experiment_of(tmp_path), other, concurrency=1)  # the same folder holds a study of our own pair too
    narrow = {"agsgtl": SPACES["agsgtl"] | {"loss.entropy": {"type": "float", "low": 0.0, "high": 0.5}}}
    path = write_experiment(
        tmp_path, narrow, search__trials=20, search__warm_start=str(other.path), search__warm_start_trials=20
    )
    study = Study(NAME, load_experiment(path), Ledger(tmp_path / "ledger"), 20)
    expected = [one for one in best(other, "agsgtl/other/3", 14) if one["loss.entropy"] <= 0.5]
    assert 0 < len(expected) < 14
    asks = [study.ask()[1] for _ in range(len(expected) + 1)]
    assert [ask.sampled for ask in asks[:-1]] == expected
    assert "start" not in asks[-1].sampler_attributes


@pytest.mark.parametrize("split", ["", "test_pool: {seed: 1}\n"])
def test_the_same_scenes_under_another_name_give_nothing(tmp_path: Path, split: str) -> None:
    other = other_ledger(tmp_path)
    experiment = experiment_of(tmp_path, search__warm_start=str(other.path))
    pair = tmp_path / "renamed.yaml"
    pair.write_text((tmp_path / "tiny.yaml").read_text().replace("name: tiny", "name: renamed") + split)
    renamed = load_pair(str(pair))
    assert (renamed.fingerprint == experiment.pairs["tiny"].fingerprint) is not bool(split)
    twin = replace(experiment_of(tmp_path), pairs={"renamed": renamed}, pair_arguments={"renamed": str(pair)})
    run(twin, other, concurrency=1, name=StudyName("agsgtl", "renamed", 3))
    if split:
        unpack_pair(renamed, other.path)
    _, ask = Study(NAME, experiment, Ledger(tmp_path / "ledger"), concurrency=1).ask()
    assert "agsgtl/other/3" in ask.sampler_attributes["start"]
    starts = (tmp_path / "ledger" / str(NAME) / "warm_start.json").read_text()
    assert "agsgtl/renamed" not in starts


def test_a_wrong_folder_to_start_from_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"search\.warm_start: .* holds no experiment\.yaml"):
        Study(NAME, experiment_of(tmp_path, search__warm_start=str(tmp_path / "no")), Ledger(tmp_path / "own"), 1).ask()
    with pytest.raises(UserError, match="is this experiment's own folder"):
        Study(NAME, experiment_of(tmp_path, search__warm_start=str(tmp_path)), Ledger(tmp_path), 1).ask()


def test_tables_say_that_a_search_did_not_begin_from_nothing(tmp_path: Path) -> None:
    enqueue, warm = experiment_of(tmp_path, search__enqueue=[PART], search__warm_start="results/other").warnings
    assert "settings that were known before (1 in search.enqueue)" in enqueue
    assert "up to 5 of the best settings, by validation score, that results/other had found on other pairs" in warm


def test_enqueue_steers_the_sampler_like_any_other_trial(tmp_path: Path) -> None:
    study = Study(NAME, experiment_of(tmp_path, search__enqueue=[WHOLE]), Ledger(tmp_path / "ledger"), concurrency=1)
    for _ in range(2):
        folder, ask = study.ask()
        end(folder, ask)
        study.finish(folder)
    assert study.optuna.trials[0].state.name == "COMPLETE"
    assert study.optuna.trials[0].params == WHOLE

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import cmaes
import numpy as np
import pytest
from optuna.samplers import CmaEsSampler
from optuna.trial import create_trial
from studies import NAME, asks_of, end, experiment_of, run

from agsgtl.config import configure, flatten
from agsgtl.errors import UserError
from agsgtl.laststate import LAST
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.record import Record, outcome_hash
from agsgtl.training import checkpoint
from agsgtl.trial import failed_record
from agsgtl.tuning.confirm import tuned_choices
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.samplers import CONSTRAINED, SAMPLERS, require_harmless
from agsgtl.tuning.study import Study, StudyName
from experiments import SPACE, write_experiment


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stops", [(1,), (6, 3), (2, 2, 2, 2)])
def test_stopped_and_resumed_asks_equal_straight_ones(tmp_path: Path, sampler: str, stops: tuple[int, ...]) -> None:
    experiment = experiment_of(tmp_path, search__sampler=sampler)
    straight, stopped = Ledger(tmp_path / "straight"), Ledger(tmp_path / "stopped")
    run(experiment, straight, concurrency=3)
    for count in stops:
        run(experiment, stopped, concurrency=3, stop_after=count)
    run(experiment, stopped, concurrency=3)
    assert asks_of(stopped) == asks_of(straight)
    assert len(asks_of(straight)) == 14


def test_an_ask_stores_what_it_adds_to_the_study_and_nothing_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    run(experiment_of(tmp_path, search__sampler="nsga2", search__trials=40), ledger, concurrency=1)
    stored = [name for ask in asks_of(ledger) for name in ask["study_attributes"]]
    assert len(stored) >= 2  # NSGA-II keeps the parents of each generation of four
    assert len(set(stored)) == len(stored)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_fresh_sampler_does_not_repeat_its_first_points(tmp_path: Path, sampler: str) -> None:
    ledger = Ledger(tmp_path / "ledger")
    run(experiment_of(tmp_path, search__sampler=sampler, search__scheduler="none"), ledger, concurrency=2)
    sampled = [json.dumps(ask["sampled"]) for ask in asks_of(ledger)]
    assert len(set(sampled)) >= len(sampled) - 2  # NSGA-II may cross two parents into a copy of one


@pytest.mark.parametrize("order", ["fixed", "async"])
def test_no_more_than_the_concurrency_is_asked_ahead(tmp_path: Path, order: str) -> None:
    study = Study(NAME, experiment_of(tmp_path, search__order=order), Ledger(tmp_path / "ledger"), concurrency=3)
    asked = []
    while study.may_ask():
        asked.append(study.ask())
    assert len(asked) == 3
    end(*asked[1])
    study.finish(asked[1][0])
    assert study.may_ask() is (order == "async")  # fixed: trial 3 waits for trial 0


def test_fixed_order_hides_what_finished_early(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path)
    ledgers = [Ledger(tmp_path / name) for name in ("one", "two")]
    for ledger, order in zip(ledgers, ([0, 1, 2], [0, 2, 1]), strict=True):
        study = Study(NAME, experiment, ledger, concurrency=3)
        asked = [study.ask() for _ in range(3)]
        for number in order[:2]:
            end(*asked[number])
            study.finish(asked[number][0])
        study.ask()
    assert asks_of(ledgers[0])[3] == asks_of(ledgers[1])[3]


def test_optuna_is_told_what_each_trial_deserves(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    experiment = experiment_of(tmp_path, search__grace=0.5, search__reduction=2)
    study = run(experiment, ledger, concurrency=1)
    for number in range(13):
        if number not in study._told:
            study._tell(number)
    states = {trial.number: trial.state.name for trial in study.optuna.trials[:13]}
    expected = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    assert states == {number: expected[study.outcomes[number].status] for number in range(13)}
    assert {"COMPLETE", "PRUNED", "FAIL"} == set(states.values())
    pruned = next(trial for trial in study.optuna.trials if trial.state.name == "PRUNED")
    assert pruned.value == pytest.approx(study.outcomes[pruned.number].score)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_out_of_memory_is_a_violated_constraint(tmp_path: Path, sampler: str) -> None:
    study = Study(NAME, experiment_of(tmp_path, search__sampler=sampler), Ledger(tmp_path / "ledger"), concurrency=1)
    for number in range(8):
        folder, ask = study.ask()
        if number == 2:
            folder.write_record(failed_record(ask, "out_of_memory", "made up"))
        else:
            end(folder, ask)
        study.finish(folder)
    study.ask()
    told = study.optuna.trials[2]
    expected = ("COMPLETE", {"memory": 1.0}) if sampler in CONSTRAINED else ("FAIL", {})
    assert (told.state.name, told.constraints) == expected
    assert 2 not in {outcome.number for outcome in study.winners()}


def test_the_winner_is_complete_and_the_earliest_of_the_best(tmp_path: Path) -> None:
    study = run(experiment_of(tmp_path), Ledger(tmp_path / "ledger"), concurrency=2)
    (winner,) = study.winners()
    complete = [outcome for outcome in study.outcomes.values() if outcome.status == "complete"]
    assert winner.score == max(outcome.score for outcome in complete)


def test_the_front_has_the_best_of_each_count_that_pays(tmp_path: Path) -> None:
    spaces = {"agsgtl": {**SPACE, "labels.per_class": {"type": "int", "low": 1, "high": 4}}}
    path = write_experiment(tmp_path, spaces, search__objectives="score_and_labels", search__scheduler="none")
    study = Study(StudyName("agsgtl", "tiny", None), load_experiment(path), Ledger(tmp_path / "ledger"), 5)
    asked = [study.ask() for _ in range(5)]
    for (folder, ask), (k, score) in zip(asked, [(1, 0.5), (2, 0.4), (3, 0.7), (3, 0.8), (4, 0.8)], strict=False):
        record = failed_record(ask, "error", "").model_dump()
        record |= {
            "status": "complete",
            "reason": None,
            "score": score,
            "config": {**ask.config, "labels.per_class": k},
        }
        folder.write_record(Record.model_validate(record))
        study.finish(folder)
    assert [(outcome.per_class, outcome.score) for outcome in study.winners()] == [(1, 0.5), (3, 0.8)]


def test_a_whole_number_for_a_real_hyperparameter_is_one(tmp_path: Path) -> None:
    enqueue = [{"loss.entropy": 1, "attention.target": True}]  # YAML's 1, as a user writes it
    experiment, ledger = experiment_of(tmp_path, search__trials=1, search__enqueue=enqueue), Ledger(tmp_path / "r")
    study = Study(NAME, experiment, ledger, 1)
    folder, ask = study.ask()
    assert repr(ask.config["loss.entropy"]) == "1.0"
    trained = configure(ask.config, origin="test")
    assert outcome_hash(ask, flatten(trained), ask.pair_fingerprint, ask.trainer_version) == ask.config_hash
    end(folder, ask)
    assert Study(NAME, experiment, ledger, 1).is_done


def test_a_search_cut_short_ends_with_the_trials_that_were_asked(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "r")
    run(experiment_of(tmp_path, search__trials=6), ledger, concurrency=4, stop_after=1)  # four or more asked, one ended
    shorter = experiment_of(tmp_path, search__trials=2)
    study = Study(NAME, shorter, ledger, 4)
    assert not study.is_done
    assert study.remaining == study.asked - 1
    study = run(shorter, ledger, concurrency=4)
    assert len(study.outcomes) == study.asked > 2
    (choice,) = tuned_choices(study)
    assert choice.origin.trials == study.asked


def test_a_ledger_of_another_trainer_is_refused(tmp_path: Path) -> None:
    experiment, ledger = experiment_of(tmp_path), Ledger(tmp_path / "ledger")
    folder, ask = Study(NAME, experiment, ledger, 1).ask()
    (folder.path / "ask.json").write_text(ask.model_copy(update={"trainer_version": 0}).model_dump_json())
    with pytest.raises(UserError, match="another version of the trainer"):
        Study(NAME, experiment, ledger, 1)


def test_a_trial_killed_before_its_ask_is_asked_again(tmp_path: Path) -> None:
    experiment, ledger = experiment_of(tmp_path), Ledger(tmp_path / "ledger")
    run(experiment, ledger, 1, stop_after=2)
    (ledger.path / str(NAME) / "trials" / "2").mkdir()
    assert Study(NAME, experiment, ledger, 1).asked == 2


@pytest.mark.parametrize("number", [3, 7])
@pytest.mark.parametrize("has_record", [True, False])
def test_a_trial_whose_ask_is_lost_and_made_otherwise_leaves_its_folder_whole(
    tmp_path: Path, number: int, has_record: bool
) -> None:
    experiment, ledger = experiment_of(tmp_path, search__order="async", search__trials=8), Ledger(tmp_path / "ledger")
    run(experiment, ledger, 4)
    folder = ledger.trials(str(NAME))[number]
    before, record, reports = folder.ask(), folder.path / "record.json", (folder.path / "progress.jsonl").read_bytes()
    checkpoint.save(folder.checkpoint / LAST, {}, {"outcome_hash": before.config_hash})
    (folder.path / "ask.json").write_text("{")
    if not has_record:
        record.unlink()
    study = run(experiment, ledger, 1)
    assert folder.ask().config_hash == folder.record().config_hash != before.config_hash
    assert study.is_done
    assert study.outcomes[number].score == folder.record().score
    assert not folder.checkpoint.exists()  # the new trial would be refused for it
    place = tmp_path / "ledger/superseded" / before.config_hash / str(NAME) / "trials" / str(number)
    assert (place / "record.json").exists() is has_record
    assert ((place / "progress.jsonl").read_bytes(), (place / "checkpoint" / LAST).exists()) == (reports, True)
    assert f"{folder.path}: its ask was lost, and another is made; what was there is under {place}" in study.notices


def test_reports_of_a_lost_ask_do_not_count_for_the_next_one(tmp_path: Path) -> None:
    experiment, ledger = experiment_of(tmp_path, search__order="async"), Ledger(tmp_path / "ledger")
    folder, _ = Study(NAME, experiment, ledger, 1).ask()
    folder.start_attempt().append_progress({"epoch": 1, "epochs": 4, "score": 0.5})
    (folder.path / "ask.json").unlink()
    Study(NAME, experiment, ledger, 1).ask()
    assert (folder.progress(), len(folder.attempts())) == ([], 1)


def test_a_record_of_another_ask_never_counts(tmp_path: Path) -> None:
    study = Study(NAME, experiment_of(tmp_path), Ledger(tmp_path / "ledger"), 1)
    folder, ask = study.ask()
    end(folder, ask.model_copy(update={"config": {**ask.config, "loss.entropy": 0.3}}))
    with pytest.raises(UserError, match=r"0/record\.json: must answer the ask beside it, .*; start the sweep again"):
        study.finish(folder)
    assert not study.outcomes


@pytest.mark.parametrize("content", [b"", b'{"epoch": 1, "epochs": 4, "score": 0.5}\n{"ep'])
def test_no_trial_is_asked_from_one_whose_reports_are_lost(tmp_path: Path, content: bytes) -> None:
    experiment, ledger = experiment_of(tmp_path), Ledger(tmp_path / "ledger")
    run(experiment, ledger, 1, stop_after=4)
    trial = ledger.trials(str(NAME))[1].path
    (trial / "progress.jsonl").write_bytes(content)
    study = Study(NAME, experiment_of(tmp_path, search__trials=4), ledger, 1)
    assert study.is_done  # what was decided stays decided
    study = Study(NAME, experiment, ledger, 1)
    with pytest.raises(UserError, match=rf"{trial}/progress\.jsonl: must hold the report of epoch \d+, a rung that"):
        study.ask()
    (trial / "record.json").unlink()
    study = run(experiment, ledger, 1)  # the remedy it names
    straight = Ledger(tmp_path / "straight")
    run(experiment, straight, 1)
    assert asks_of(ledger) == asks_of(straight)


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (open, (str(self.mark), "w"))


class ObjectsAsNumbers:
    """A dtype of objects that says of itself that it holds none: numpy would take bytes for their addresses."""

    def __reduce__(self) -> tuple:
        return np.dtype, ("f8", False, True), (3, "|", None, None, None, 8, 8, 63)


def optimiser(**others: object) -> cmaes.CMA:
    made = cmaes.CMA(mean=np.zeros(2), sigma=1.0)
    vars(made).update(others)
    return made


def cut(content: object, name: str = "cma:optimizer:{}") -> dict[str, str]:
    """The attributes that Optuna cuts a pickle into; bytes are a pickle already."""
    text = (content if isinstance(content, bytes) else pickle.dumps(content)).hex()
    return {name.format(at // 2045): text[at : at + 2045] for at in range(0, len(text), 2045)}


def restore_if_harmless(attributes: dict[str, str]) -> object:
    """What Optuna unpickles at the next ask, once the guard lets it."""
    require_harmless(attributes, "ask.json")
    trial = create_trial(value=0.0, system_attrs=attributes)
    return CmaEsSampler()._restore_optimizer([trial])


def test_the_state_of_cma_es_passes_the_guard(tmp_path: Path) -> None:
    assert isinstance(restore_if_harmless(cut(optimiser())), cmaes.CMA)
    ledger = Ledger(tmp_path / "ledger")
    changes = {"search__sampler": "cmaes", "search__scheduler": "none", "search__trials": 30}
    run(experiment_of(tmp_path, **changes), ledger, concurrency=1)
    stored = [ask["sampler_attributes"] for ask in asks_of(ledger)]
    assert any("cma:optimizer:1" in attributes for attributes in stored)
    assert Study(NAME, experiment_of(tmp_path, **changes), ledger, concurrency=1).asked == 30


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (cut, r"it asks for \w+\.open"),
        (lambda evil: {"cma:optimizer": "".join(cut(evil).values())}, "cma:optimizer is no part of one"),
        (lambda evil: cut(evil, "cma:optimizer:0{}"), "cma:optimizer:00 is no part"),
        (lambda evil: cut(evil) | cut(optimiser(), "cma:a:optimizer:{}"), "cma:a:optimizer:0 is no part"),
        (lambda evil: cut(evil) | cut(optimiser(), "cma.optimizer:{}"), r"cma\.optimizer:0 is no part"),
        (lambda evil: cut(evil) | cut(optimiser(), "cma:optimizer:-{}"), "cma:optimizer:-0 is no part"),
        (lambda evil: cut(optimiser()) | cut(evil, "sepcma:optimizer:{}"), "sepcma:optimizer:0 is no part"),
        (lambda evil: cut(pickle.dumps(optimiser()) + pickle.dumps(evil)), r"\d+ bytes follow its end"),
        (lambda evil: cut(optimiser(_mean=evil)), r"it asks for \w+\.open"),
        (lambda evil: cut(optimiser(ask=np.dtype)), "its ask is no number and no array"),
        (lambda evil: cut(optimiser(_mean=ObjectsAsNumbers())), "an array must hold plain numbers"),
        (lambda evil: cut(np.zeros(2)), "it is something else"),
        (lambda evil: {"cma:optimizer:0": ""}, "no CMA-ES optimiser"),
    ],
)
def test_a_pickle_from_outside_is_never_built(
    tmp_path: Path, others: Callable[[Malicious], dict[str, str]], said: str
) -> None:
    mark = tmp_path / "owned"
    with pytest.raises(UserError, match=r"ask\.json: its sampler state is no CMA-ES optimiser \(") as caught:
        restore_if_harmless(others(Malicious(mark)))
    assert re.search(said, str(caught.value))
    assert not mark.exists()


def test_a_sampled_combination_that_makes_no_sense_does_not_end_the_sweep(tmp_path: Path) -> None:
    spaces = {"agsgtl": {"attention.floor": {"type": "float", "low": 5.0, "high": 9.0}}}
    with pytest.raises(UserError, match=r"attention\.floor must be below attention\.ceiling"):
        load_experiment(write_experiment(tmp_path, spaces))  # its very centre makes no sense
    spaces = {"agsgtl": {"attention.floor": {"type": "float", "low": 0.0, "high": 3.9}}}
    study = Study(NAME, load_experiment(write_experiment(tmp_path, spaces)), Ledger(tmp_path / "ledger"), concurrency=5)
    floors = [study.ask()[1].config["attention.floor"] for _ in range(5)]
    assert max(floors) > 2.0  # above the ceiling, and asked all the same: the trial will say what is wrong

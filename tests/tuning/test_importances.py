"""Importances and dashboards are rebuilt from the ledger alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution, distribution_to_json
from synthetic import PAIR, make_record, write_run

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.record import Identity
from agsgtl.reporting.statistics import pooled_importances
from agsgtl.reporting.statviews import importance_gaps
from agsgtl.reporting.tidy import collect
from agsgtl.seeds import Seeds
from agsgtl.tuning import importances
from agsgtl.tuning.dashboard import frozen_trials, rebuild_storage
from agsgtl.tuning.importances import measure_importances

STUDY = f"agsgtl/{PAIR}/3"


def write_study(
    folder: Path, trials: int, failed: int = 0, score: Callable[[float], float] = lambda entropy: entropy
) -> Path:
    """Scores that depend on loss.entropy alone; loss.adversarial is noise."""
    rng = np.random.default_rng(0)
    space = {"loss.entropy": FloatDistribution(0.0, 1.0), "loss.adversarial": FloatDistribution(0.0, 1.0)}
    for number in range(trials):
        identity = Identity(experiment="demo", kind="search", method="agsgtl", pair=PAIR, per_class=3, number=number)
        values = {path: float(rng.random()) for path in space}
        status = "failed" if number < failed else "complete"
        ask, record = make_record(
            identity,
            [Seeds(labels=0, init=0)],
            score(values["loss.entropy"]),
            values,
            status,
            "diverged" if failed > number else None,
        )
        distributions = {path: distribution_to_json(entry) for path, entry in space.items()}
        write_run(Ledger(folder).folder(identity), ask.model_copy(update={"distributions": distributions}), record)
    return folder


@pytest.mark.parametrize("evaluator", ["ped_anova", "fanova"])
def test_what_decides_the_score_is_what_matters(tmp_path: Path, evaluator: str) -> None:
    found = measure_importances(collect([write_study(tmp_path / "demo", 40)]), evaluator)  # type: ignore[arg-type]
    weights = found.set_index("path")["importance"]
    assert weights["loss.entropy"] > 0.8
    assert weights.sum() == pytest.approx(1)
    assert set(found["study"]) == {STUDY}
    assert set(found["trials"]) == {40}


@pytest.mark.parametrize("evaluator", ["ped_anova", "fanova"])
def test_a_study_whose_trials_all_score_the_same_has_none_and_is_named(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, evaluator: Literal["ped_anova", "fanova"]
) -> None:
    found = measure_importances(collect([write_study(tmp_path / "demo", 20, score=lambda _: 1.0)]), evaluator)
    assert found.empty
    assert not recwarn.list
    (gap,) = importance_gaps(found, [STUDY])
    assert STUDY in gap


def test_a_study_whose_best_trials_do_not_stand_out_has_none(tmp_path: Path) -> None:
    score = {True: 1.0, False: 0.9}
    study = write_study(tmp_path / "demo", 20, score=lambda entropy: score[entropy > 0.97])
    assert measure_importances(collect([study])).empty


def test_a_large_study_is_measured_on_a_part_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importances, "MOST_TRIALS", 30)
    found = measure_importances(collect([write_study(tmp_path / "demo", 60)]))
    assert found["importance"][found["path"] == "loss.entropy"].item() > 0.8
    assert set(found["trials"]) == {60}
    assert set(found["measured"]) == {30}
    (line,) = importance_gaps(found, [STUDY])
    assert line == f"Importances of {STUDY} rest on 30 of its 60 complete trials, evenly by number."


def test_few_trials_say_nothing(tmp_path: Path) -> None:
    assert measure_importances(collect([write_study(tmp_path / "demo", 12, failed=5)])).empty


def test_importances_are_pooled_with_their_spread(tmp_path: Path) -> None:
    one = measure_importances(collect([write_study(tmp_path / "demo", 40)]))
    two = one.assign(study="agsgtl/toy/b_to_a/3", importance=[0.6, 0.4])
    pooled = pooled_importances(pd.concat([one, two])).set_index("path")
    first = one.set_index("path")["importance"].iloc[0]
    assert pooled["studies"].tolist() == [2, 2]
    assert pooled.loc[one["path"].iloc[0], "mean"] == pytest.approx((first + 0.6) / 2)
    assert pooled.loc[one["path"].iloc[0], "sd"] == pytest.approx(abs(first - 0.6) / 2**0.5)


def test_trials_come_back_with_states_and_attributes(tmp_path: Path) -> None:
    trials = list(frozen_trials(Ledger(write_study(tmp_path / "demo", 4, failed=1)), STUDY))
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert trials[0].user_attrs["reason"] == "diverged"
    assert trials[0].value is None
    assert trials[1].value == trials[1].params["loss.entropy"]
    assert trials[1].user_attrs["pair"] == PAIR


def test_the_storage_holds_every_study_and_is_made_anew(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "demo", 4)
    for _ in range(2):
        url = rebuild_storage(folder, tmp_path / "optuna.sqlite3")
    study = optuna.load_study(study_name=STUDY, storage=url)
    assert len(study.trials) == 4
    assert study.user_attrs == {"method": "agsgtl", "pair": PAIR, "k": "3", "seeds": [0]}
    with pytest.raises(UserError, match="no search trial"):
        rebuild_storage(tmp_path / "nothing", tmp_path / "other.sqlite3")

"""Which hyperparameters matter: Optuna's importances of every study in a ledger, as a plain frame for reporting."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.statistics import FEWEST_TRIALS
from agsgtl.tuning.dashboard import frozen_trials

Evaluator = Literal["ped_anova", "fanova"]


def hyperparameter_importances(results: Sequence[Path], evaluator: Evaluator = "ped_anova") -> pd.DataFrame:
    """The importances of the sampled hyperparameters, by study.

    PED-ANOVA: Watanabe et al. 2023, doi:10.24963/ijcai.2023/488; fANOVA: Hutter et al. 2014, ICML 32.

    Args:
        results: folders that sweeps wrote.
        evaluator: how importance is measured.

    Returns:
        Columns `study` (method/pair/k), `path`, `importance` (sums to 1 within a study) and `trials`; studies with
        fewer than 10 complete trials or with one hyperparameter only have no row.
    """
    rows = []
    for path in results:
        ledger = Ledger(path)
        for name in ledger.studies():
            weights, trials = _of_study(ledger, name, evaluator)
            rows += [(name, parameter, weight, trials) for parameter, weight in weights.items()]
    return pd.DataFrame(rows, columns=["study", "path", "importance", "trials"])


def _of_study(ledger: Ledger, name: str, evaluator: Evaluator) -> tuple[dict[str, float], int]:
    study = optuna.create_study(direction="maximize")
    trials = [trial for trial in frozen_trials(ledger, name) if trial.state == optuna.trial.TrialState.COMPLETE]
    study.add_trials(trials)
    varied = {path for trial in trials for path in trial.params if len({t.params.get(path) for t in trials}) > 1}
    if len(trials) < FEWEST_TRIALS or len(varied) < 2:
        return {}, len(trials)
    chosen = PedAnovaImportanceEvaluator() if evaluator == "ped_anova" else FanovaImportanceEvaluator(seed=0)
    with warnings.catch_warnings():
        # Optuna calls its own evaluators experimental, at every use.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        weights = get_param_importances(study, evaluator=chosen, params=sorted(varied))
    return {path: float(weight) for path, weight in weights.items()}, len(trials)

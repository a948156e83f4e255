"""Which hyperparameters matter: Optuna's importances of every study in a tidy frame, as a plain frame for reporting."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import json_to_distribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from agsgtl.reporting.ledger import TrialFolder
from agsgtl.reporting.statistics import FEWEST_TRIALS, MOST_TRIALS, STUDY
from agsgtl.reporting.tidy import split_by, study_names

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it would say is in the ledger

Evaluator = Literal["ped_anova", "fanova"]


def measure_importances(frame: pd.DataFrame, evaluator: Evaluator = "ped_anova") -> pd.DataFrame:
    """The importances of the sampled hyperparameters, by study.

    PED-ANOVA: Watanabe et al. 2023, doi:10.24963/ijcai.2023/488; fANOVA: Hutter et al. 2014, ICML 32.

    Args:
        frame: the tidy frame; the distributions are read from the first ask of each study.
        evaluator: how importance is measured.

    Returns:
        Columns `study` (method/pair/k, with the experiment where there are several), `path`, `importance` (sums to 1
        within a study), `trials` and `measured`, how many of them were used: evenly chosen by number where there are more
        than 2,000. Studies with fewer than 10 complete trials, with one hyperparameter only, or whose scores tell no trial
        from the others have no row.
    """
    rows = []
    search = frame[frame["kind"] == "search"]
    named = search.assign(study=study_names(search)).drop_duplicates([*STUDY, "number"])
    complete = named[(named["status"] == "complete") & named["record_score"].notna()]
    for (study, *_), outcomes in split_by(complete, ["study", *STUDY]):
        trials = outcomes.sort_values("number")
        used = trials.iloc[np.unique(np.linspace(0, len(trials) - 1, min(len(trials), MOST_TRIALS)).astype(int))]
        for path, weight in _weigh(used, evaluator).items():
            rows.append((study, path, weight, len(trials), len(used)))
    return pd.DataFrame(rows, columns=["study", "path", "importance", "trials", "measured"])


def _weigh(trials: pd.DataFrame, evaluator: Evaluator) -> dict[str, float]:
    """By hyperparameter its importance in one study; empty where that cannot be said."""
    if len(trials) < FEWEST_TRIALS or trials["record_score"].nunique() < 2:
        return {}
    first = trials.iloc[0]
    ask = TrialFolder(Path(first["results"]) / first["record"]).ask()
    distributions = {path: json_to_distribution(text) for path, text in ask.distributions.items()} if ask else {}
    varied = sorted(path for path in distributions if trials[path].nunique() > 1)
    if len(varied) < 2:
        return {}
    values = zip(*(trials[path].tolist() for path in distributions), strict=True)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        create_trial(params=dict(zip(distributions, sampled, strict=True)), distributions=distributions, value=score)
        for sampled, score in zip(values, trials["record_score"].tolist(), strict=True)
    )
    chosen = PedAnovaImportanceEvaluator() if evaluator == "ped_anova" else FanovaImportanceEvaluator(seed=0)
    with warnings.catch_warnings():
        # Optuna calls its own evaluators experimental, at every use.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # PED-ANOVA compares the best trials with all; where those are the same it would call all equally important.
        warnings.filterwarnings("error", "Target and region quantiles", UserWarning)
        try:
            weights = get_param_importances(study, evaluator=chosen, params=varied)
        except UserWarning:
            return {}
    return {path: float(weight) for path, weight in weights.items()}

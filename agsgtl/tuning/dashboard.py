"""The ledger's studies as Optuna trials again, for optuna-dashboard; the ledger is only read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Ask, Record

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it would say is in the ledger

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def frozen_trials(ledger: Ledger, study: str) -> Iterator[FrozenTrial]:
    """The asked trials of a study (`<method>/<pair>/<k>`) with score, curve and user attributes, by number."""
    for folder in ledger.trials(study):
        ask = folder.ask()
        if ask is not None:
            yield _frozen(ask, folder.record(), folder)


def rebuild_storage(results: Path, storage: Path) -> str:
    """Writes all studies of a ledger into an SQLite file, in the place of an earlier one; its URL.

    Raises:
        UserError: the ledger holds no search trial.
    """
    ledger = Ledger(results)
    names = ledger.studies()
    if not names:
        raise UserError(f"{results}: holds no search trial; `agsgtl sweep EXPERIMENT` makes some")
    storage.parent.mkdir(parents=True, exist_ok=True)
    storage.unlink(missing_ok=True)
    url = f"sqlite:///{storage}"
    for name in names:
        study = optuna.create_study(study_name=name, storage=url, direction="maximize")
        trials = list(frozen_trials(ledger, name))
        method, _, rest = name.partition("/")
        pair, _, k = rest.rpartition("/")
        seeds = trials[0].user_attrs["seeds"] if trials else []
        for key, value in {"method": method, "pair": pair, "k": k, "seeds": seeds}.items():
            study.set_user_attr(key, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(["selection score"])
        study.add_trials(trials)
    return url


def serve_dashboard(results: Path, port: int = 8080) -> None:
    """Rebuilds the studies into `RESULTS/tables/optuna.sqlite3` and serves optuna-dashboard on localhost until Ctrl-C.

    Raises:
        UserError: optuna-dashboard is not installed, or as `rebuild_storage`.
    """
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise UserError("optuna-dashboard is not installed; pip install 'agsgtl[dashboard]'") from None
    url = rebuild_storage(results, results / "tables" / "optuna.sqlite3")
    run_server(url, host="127.0.0.1", port=port)


def _frozen(ask: Ask, record: Record | None, folder: TrialFolder) -> FrozenTrial:
    state = TrialState.RUNNING if record is None else _STATES[record.status]
    if record is not None and record.status == "complete" and record.score is None:
        state = TrialState.FAIL
    identity = ask.identity
    attributes = {
        "method": identity.method,
        "pair": identity.pair,
        "k": ask.config["labels.per_class"],
        "seeds": [seeds.labels for seeds in ask.seeds],
        "status": record.status if record else "running",
        "reason": record.reason if record else None,
        "config_hash": ask.config_hash,
    }
    return create_trial(
        state=state,
        value=record.score if record is not None and state == TrialState.COMPLETE else None,
        params=dict(ask.sampled),
        distributions={path: json_to_distribution(text) for path, text in ask.distributions.items()},
        user_attrs=attributes,
        intermediate_values={
            int(line["epoch"]): float(line["score"]) for line in folder.progress() if line.get("score") is not None
        },
    )

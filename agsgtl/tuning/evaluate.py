"""Test scores of search trials, after the decision: the only source of `oracle` rows and of regret."""

from __future__ import annotations

from pathlib import Path

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, pair_of
from agsgtl.tuning.confirm import score_records
from agsgtl.tuning.lease import only_driver
from agsgtl.tuning.resolved import has_decided
from agsgtl.yamlfile import read_yaml


def score_trials(results: Path) -> int:
    """Scores every complete search trial that has no scores yet; how many. Each look is logged before it is taken.

    Trials on a pair that was taken out of the experiment are left as they are.

    Raises:
        UserError: the folder holds no experiment, a sweep of it is running or unfinished, or the pair's files changed.
    """
    ledger = Ledger(results.resolve())
    if not ledger.experiment_file.exists():
        raise UserError(f"{results}: holds no experiment.yaml; name a folder that `agsgtl sweep` wrote")
    content = read_yaml(ledger.experiment_file)
    unscored = [folder.path for folder in ledger.confirmations() if not folder.scores() and not folder.has_record()]
    if unscored or not has_decided(content):
        raise UserError(
            f"{results}: this sweep is not finished; test labels are opened after the decision: run `agsgtl sweep` first"
        )
    with only_driver(ledger) as lease:
        listed = [name for name in ledger.studies() if pair_of(name) in content["data"]]
        folders = [folder for name in listed for folder in ledger.trials(name)]
        return score_records(folders, ledger, dict(content.get("pair_files", {})), "evaluate", lease)

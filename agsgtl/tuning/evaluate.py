"""Test scores of search trials, after the decision: the only source of `oracle` rows and of regret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agsgtl.config import configure
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, pair_of
from agsgtl.tuning.confirm import score_records
from agsgtl.tuning.lease import only_driver
from agsgtl.tuning.resolved import has_decided
from agsgtl.yamlfile import read_yaml

_UNFINISHED: Final = (
    "{}: this sweep is not finished; test labels are opened after the decision: run `agsgtl sweep` first"
)


def score_trials(results: Path) -> int:
    """Scores every complete search trial that has no scores yet; how many. Each look is logged before it is taken.

    Trials on a pair, and of a k, that was taken out of the experiment are left as they are.

    Raises:
        UserError: the folder holds no experiment, a sweep of it is running or unfinished, or the pair's files changed.
    """
    ledger = Ledger(results.resolve())
    if not ledger.experiment_file.exists():
        raise UserError(f"{results}: holds no experiment.yaml; name a folder that `agsgtl sweep` wrote")
    content = read_yaml(ledger.experiment_file)
    unscored = [folder.path for folder in ledger.confirmations() if not folder.scores() and not folder.has_record()]
    if unscored or not has_decided(content):
        raise UserError(_UNFINISHED.format(results))
    with only_driver(ledger) as lease:
        listed = [name for name in ledger.studies() if _is_listed(name, content)]
        folders = [folder for name in listed for folder in ledger.trials(name)]
        if not all(folder.has_record() for folder in folders):  # handed out again since, by --retry-failed
            raise UserError(_UNFINISHED.format(results))
        return score_records(folders, ledger, dict(content.get("pair_files", {})), "evaluate", lease)


def _is_listed(study: str, content: Mapping[str, Any]) -> bool:
    """Whether a study is still of the experiment: its pair, and its k where that is not sampled."""
    fixed = configure(content.get("trial") or {}, origin="experiment.yaml").labels.per_class
    counts = (content["search"].get("factors") or {}).get("labels.per_class", [fixed])
    return pair_of(study) in content["data"] and study.rpartition("/")[2] in {"sampled", *map(str, counts)}

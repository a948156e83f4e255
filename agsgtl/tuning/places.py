"""Where the files and folders lie that an experiment file names: beside it, or else in the current folder."""

from __future__ import annotations

from pathlib import Path

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger

_YAML = (".yaml", ".yml")


def find_space(experiment: Path, where: str) -> Path:
    """The file of a search space: a path, or the name of one in a folder `search_spaces`.

    Raises:
        UserError: there is none; it says where it was looked for.
    """
    if where.endswith(_YAML):
        candidates = [experiment.parent / where, Path(where)]
    else:
        folders = (experiment.parent.parent / "search_spaces", Path("search_spaces"), experiment.parent)
        candidates = [folder / f"{where}.yaml" for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = ", ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise UserError(f"{experiment}: search.spaces: there is no search space '{where}'; looked for {looked}")


def find_pair_file(experiment: Path, pair: str) -> str:
    """The path of a user's own pair file; a name of the catalog as it is."""
    beside = experiment.parent / pair
    return str(beside) if pair.endswith(_YAML) and beside.is_file() else pair


def lasting(pair: str) -> str:
    """The path of a user's own pair file as it holds in any folder; a name of the catalog as it is.

    Links stay, since the pair's other files are looked for beside the link.
    """
    return str(Path(pair).absolute()) if pair.endswith(_YAML) else pair


def find_results(experiment: Path, where: str) -> Path:
    """Another experiment's results folder; where neither place holds one, the current folder's, for the error."""
    beside = experiment.parent / where
    return beside if Ledger(beside).experiment_file.exists() else Path(where)

"""What an experiment meant to do, as far as tables need it: its planned cells, tuned methods and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agsgtl.config import describe_errors
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.yamlfile import read_yaml

TUNABLE_BASELINES = ("fine_tune", "target_only", "source_and_target")


class PlannedCell(BaseModel):
    """One confirmation that the experiment meant to run; `trials` are those that its configuration was chosen from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    method: str
    pair: str
    per_class: int
    seed: int
    trials: int | None = None


@dataclass(frozen=True)
class Plan:
    """The parts of `experiment.yaml` that tables speak of; empty where the file or a part of it is not there."""

    experiment: str
    cells: tuple[PlannedCell, ...] = ()
    methods: tuple[str, ...] = ()
    tuned: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    content: Any = None

    @property
    def tunable_but_untuned(self) -> tuple[str, ...]:
        """Baselines that could have been tuned and were not."""
        return tuple(method for method in self.methods if method in TUNABLE_BASELINES and method not in self.tuned)

    @property
    def borrows_winners(self) -> bool:
        """Whether it confirms another experiment's winners with something changed (`confirm.winners`)."""
        return bool(_mapping(_mapping(self.content).get("confirm")).get("winners"))

    def searched(self, method: str) -> frozenset[str]:
        """The hyperparameters that a search of the method chose, here or for `confirm.winners`; empty where it was not tuned."""
        content = _mapping(self.content)
        here = _mapping(_mapping(content.get("distributions")).get(method))
        return frozenset(here) | frozenset(_mapping(content.get("searched")).get(method) or ())


def read_plan(results: Path) -> Plan:
    """The plan of one experiment's results.

    Raises:
        UserError: the folder does not exist, or `experiment.yaml` is no valid YAML or lists cells wrongly.
    """
    if not results.is_dir():
        raise UserError(f"{results}: there is no such folder of results; `agsgtl sweep EXPERIMENT` makes one")
    path = Ledger(results).experiment_file
    if not path.exists():
        return Plan(results.resolve().name)
    content = read_yaml(path)
    search, confirm = _mapping(content.get("search")), _mapping(content.get("confirm"))
    return Plan(
        experiment=str(content.get("name", results.resolve().name)),
        cells=_cells(content.get("confirm_cells") or [], path),
        methods=tuple(confirm.get("methods") or ()),
        tuned=tuple(_mapping(search.get("spaces"))),
        warnings=tuple(str(line) for line in search.get("warnings") or ()),
        content=content,
    )


def _mapping(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _cells(listed: Any, path: Path) -> tuple[PlannedCell, ...]:
    try:
        return tuple(PlannedCell.model_validate(cell) for cell in listed)
    except ValidationError as error:
        raise UserError(f"{path}: confirm_cells: {describe_errors(error)[0]}") from None

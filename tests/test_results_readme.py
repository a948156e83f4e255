"""`results/README.md` says what is true of settings and columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic import write_ledger

from agsgtl.config import HYPERPARAMETERS, Hyperparameter, Value
from agsgtl.reporting.tidy import collect

README = Path(__file__).parents[1] / "results" / "README.md"


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its header."""
    (text,) = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", README.read_text(), re.M | re.S)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def spelled(value: Value) -> str:
    """As the table has it: no `.0`, no capital letter, no exponent from 1 on."""
    if isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    return str(int(value)) if value == int(value) else f"{value:g}"


def range_of(known: Hyperparameter) -> str:
    if known.choices:
        return ", ".join(map(spelled, known.choices))
    assert known.low is not None
    return f"from {spelled(known.low)}" if known.high is None else f"{spelled(known.low)} to {spelled(known.high)}"


def test_the_table_of_hyperparameters_is_that_of_the_settings() -> None:
    told = {
        f"`{known.path}`": [known.type.__name__, spelled(known.default), range_of(known), known.meaning, known.source]
        for known in HYPERPARAMETERS.values()
    }
    assert {path: cells for path, *cells in rows("Hyperparameters")} == told


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return set(collect([write_ledger(tmp_path_factory.mktemp("readme") / "demo", trials=1)]).columns)


def test_the_columns_are_those_of_the_tidy_frame(columns: set[str]) -> None:
    named = {name for first, _ in rows("Columns of the tidy frame") for name in re.findall(r"`([^`]+)`", first)}
    families = {name.partition(":")[0] for name in named if ":" in name}
    assert {name for name in named if ":" not in name} == {
        name for name in columns - set(HYPERPARAMETERS) if ":" not in name
    }
    assert {name.partition(":")[0] for name in columns if ":" in name} <= families
    assert families == {"f1", "validation", "loss", "version"}

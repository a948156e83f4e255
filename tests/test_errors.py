"""Errors stay one short line, whatever a file holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_pair

from agsgtl.data.catalog import find_pair
from agsgtl.errors import UserError
from agsgtl.training.methods import METHODS
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.space import load_space
from experiments import write_experiment


def unfolding(levels: int) -> str:
    """A few lines' worth of YAML that stand for ten to the power of `levels` words."""
    text = "[" + ", ".join(["lol"] * 10) + "]"
    for level in range(1, levels):
        text = f"[&a{level} {text}" + f", *a{level}" * 9 + "]"
    return text


def in_a_pair(folder: Path, value: str) -> Any:
    file = write_tiny_pair(folder)
    file.write_text(file.read_text().partition("classes:")[0] + f"classes: {value}\n")
    return find_pair(str(file), None)


def in_an_experiment(folder: Path, value: str) -> Any:
    file = write_experiment(folder, pairs="HERE")
    file.write_text(file.read_text().replace("HERE", value))
    return load_experiment(file)


def in_a_space(folder: Path, value: str) -> Any:
    (folder / "space.yaml").write_text(f"loss.entropy: {value}\n")
    return load_space(folder / "space.yaml", METHODS["agsgtl"])


@pytest.mark.parametrize("read", [in_a_pair, in_an_experiment, in_a_space])
@pytest.mark.parametrize(
    "value", [unfolding(9), str(list(range(10_000)))], ids=["what unfolds without end", "a long list"]
)
def test_a_wrong_value_is_shown_by_its_beginning(tmp_path: Path, read: Callable[[Path, str], Any], value: str) -> None:
    with pytest.raises(UserError, match="got ") as error:
        read(tmp_path, value)
    assert len(str(error.value).replace(str(tmp_path), "")) < 1000
    assert "\n" not in str(error.value)


def test_of_many_mistakes_the_first_are_told_and_how_many_more(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classes\.0: .*got 1; .*classes\.5: .*got 6; and 4 more$"):
        in_a_pair(tmp_path, "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")

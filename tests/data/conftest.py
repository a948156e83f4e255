"""Tiny pairs: `tiny_file` is a user's pair file, `tiny` the loaded pair, `edit_pair` a pair file with a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import write_tiny_pair

from agsgtl.data.pairing import DomainPair, load_pair

EditPair = Callable[[str, str], str]


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    return write_tiny_pair(tmp_path / "scenes")


@pytest.fixture
def tiny(tiny_file: Path) -> DomainPair:
    return load_pair(str(tiny_file))


@pytest.fixture
def edit_pair(tiny_file: Path) -> EditPair:
    """Replace one text in the pair file, which must be there; returns the file's name."""

    def edit(old: str, new: str) -> str:
        text = tiny_file.read_text()
        assert old in text
        tiny_file.write_text(text.replace(old, new, 1))
        return str(tiny_file)

    return edit

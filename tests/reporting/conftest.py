"""Ledgers that several tests only read, and a quiet garbage collector.

statsmodels collects garbage at every Holm adjustment; with a test session's objects frozen that costs nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic import write_ledger


@pytest.fixture(autouse=True, scope="session")
def _frozen_garbage() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger of `synthetic.write_ledger`, named demo; a test that writes into it makes its own."""
    return write_ledger(tmp_path_factory.mktemp("shared") / "demo")

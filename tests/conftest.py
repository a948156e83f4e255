"""A tiny pair that every test may share, and single-threaded torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import settings
from sweeps import no_driver_outlives_its_test as no_driver_outlives_its_test  # noqa: PLC0414 - fixtures of every test
from sweeps import undisturbed as undisturbed  # noqa: PLC0414
from sweeps import undisturbed_sweep as undisturbed_sweep  # noqa: PLC0414
from tiny import write_tiny_pair

from agsgtl.data.pairing import DomainPair, load_pair

settings.register_profile("without deadlines", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("without deadlines")


@pytest.fixture(scope="session")
def tiny_pair_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_pair(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_pair(tiny_pair_file: Path) -> DomainPair:
    return load_pair(str(tiny_pair_file))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)

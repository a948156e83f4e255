"""Sweeps in processes of their own, watched through their ledgers: what the tests of sweeps and faults share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agsgtl.reporting.ledger import Ledger, TrialFolder
from experiments import write_experiment

WAIT_S = 200.0

_started: list[subprocess.Popen[str]] = []


def start(experiment: Path, results: Path, *options: str) -> subprocess.Popen[str]:
    """A driver in a process group of its own, which ends with the test at the latest."""
    command = [sys.executable, "-m", "agsgtl", "sweep", str(experiment), "--results", str(results), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}  # else others starve its workers
    driver = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    _started.append(driver)
    return driver


def run(experiment: Path, results: Path, *options: str) -> tuple[int, str, str]:
    """Exit code, the table, and what was said on stderr."""
    driver = start(experiment, results, *options)
    try:
        table, said = driver.communicate(timeout=WAIT_S)
    except BaseException:
        _end(driver)
        raise
    return driver.returncode, table, said


@pytest.fixture(autouse=True)
def no_driver_outlives_its_test() -> Iterator[None]:
    yield
    while _started:
        _end(_started.pop())


def _end(driver: subprocess.Popen[str]) -> None:
    """Kills what is left of a driver's process group; Ray's daemons are in it, or end with the driver."""
    with suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


def wait_until(condition: Callable[[], object], driver: subprocess.Popen[str]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert driver.poll() is None, f"the driver ended before the moment came: {driver.stderr.read()}"
        assert time.monotonic() < end, "the ledger never came to this point"
        time.sleep(0.01)


def folders(results: Path) -> Iterable[TrialFolder]:
    ledger = Ledger(results / "tiny")
    return [*ledger.confirmations(), *(folder for study in ledger.studies() for folder in ledger.trials(study))]


def outcomes(results: Path) -> dict[str, dict | None]:
    """Every trial's outcome by its folder; None where it has no record."""
    found = {}
    for folder in folders(results):
        record = folder.record()
        found[folder.path.relative_to(results / "tiny").as_posix()] = record.outcome() if record else None
    return found


def written(results: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of every record: a record that is written again has another."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in results.rglob("record.json")}


@pytest.fixture(scope="session")
def undisturbed_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, str]:
    """An experiment on the tiny pair, the results of its undisturbed sweep, the table, and what was said; not to be changed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    experiment = write_experiment(folder)
    code, table, said = run(experiment, folder / "results")
    assert code == 0, said
    return experiment, folder / "results", table, said


@pytest.fixture(scope="session")
def undisturbed(undisturbed_sweep: tuple[Path, Path, str, str]) -> tuple[Path, Path, str]:
    """The same without what was said."""
    return undisturbed_sweep[:3]

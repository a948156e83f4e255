"""What `agsgtl sweep` tells a shell when it is not Tune that runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.lease import only_driver
from experiments import write_experiment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SIGNALLED = """
import os, sys
from unittest import mock
from agsgtl.cli import main

moment, number, *sys.argv[1:] = sys.argv[1:]
with mock.patch(moment, side_effect=lambda *arguments, **options: os.kill(os.getpid(), int(number))):
    main()
"""
"""A command that gets a signal in the place of one of its steps."""


def signalled(moment: str, number: signal.Signals, experiment: Path, results: Path) -> subprocess.CompletedProcess[str]:
    command = [moment, str(number.value), "sweep", str(experiment), "--results", str(results)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", SIGNALLED, *command], capture_output=True, text=True, check=False, env=environment
    )


def require_interrupted(ended: subprocess.CompletedProcess[str], results: Path) -> None:
    assert (ended.returncode, ended.stdout) == (130, ""), ended.stderr
    assert ended.stderr.splitlines()[-1] == "interrupted"
    with only_driver(Ledger(results / "tiny")):  # the lease was let go
        pass


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("agsgtl.tuning.sweep.unpack_pair", signal.SIGUSR1),
        ("ray._private.worker.connect", signal.SIGTERM),  # within `ray.init`
        ("agsgtl.tuning.sweep.check_cluster", signal.SIGTERM),
        ("agsgtl.tuning.sweep.check_cluster", signal.SIGUSR1),
    ],
)
def test_a_signal_before_the_first_trial_is_130(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, {}, confirm__methods=["lda"])
    require_interrupted(signalled(moment, number, experiment, tmp_path / "results"), tmp_path / "results")


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("agsgtl.tuning.sweep.score_records", signal.SIGTERM),
        ("agsgtl.tuning.sweep.score_records", signal.SIGUSR1),
        ("agsgtl.reporting.table.build_table", signal.SIGUSR1),
    ],
)
def test_a_signal_after_the_last_trial_is_130(
    moment: str, number: signal.Signals, undisturbed: tuple[Path, Path, str], tmp_path: Path
) -> None:
    shutil.copytree(undisturbed[1], tmp_path / "results")
    require_interrupted(signalled(moment, number, undisturbed[0], tmp_path / "results"), tmp_path / "results")

"""What `agsgtl sweep` tells a shell when it is not Tune that runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from studies import finish

from agsgtl.cli.sweep import sweep
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.lease import only_driver
from agsgtl.tuning.searcher import LedgerSearcher
from experiments import SPACE, write_experiment

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


def test_where_no_trial_completed_nothing_is_confirmed_and_the_exit_code_is_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_jobs(searcher: LedgerSearcher, *rest: object) -> None:
        while isinstance(searcher.suggest("it"), dict):
            finish(searcher.queue, searcher.jobs.pop("it"), {"search": {0: None, 1: None}})

    monkeypatch.setattr("agsgtl.tuning.sweep.ray_session", lambda address: nullcontext())
    monkeypatch.setattr("agsgtl.tuning.sweep.cluster_slots", lambda resources: 1)
    monkeypatch.setattr("agsgtl.tuning.sweep.run_jobs", run_jobs)
    settings = {"search__trials": 2, "search__seeds": [0], "confirm__methods": ["agsgtl"]}
    experiment = write_experiment(tmp_path, {"agsgtl": SPACE}, **settings)
    assert sweep(experiment, results=tmp_path / "results") == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.splitlines()[-1] == "missing: agsgtl/tiny/3: no trial completed, nothing to confirm"

"""Whole sweeps with real Ray on the tiny pair; the driver is killed for real in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agsgtl.config import configure
from agsgtl.data.vault import LabelVault
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.vaultlog import read_openings
from agsgtl.trial import Place, run_trial
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.lease import only_driver
from agsgtl.tuning.sweep import sweep
from experiments import SPACE, write_experiment

pytestmark = pytest.mark.slow

WAIT_S = 120.0


def start(experiment: Path, results: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "agsgtl", "sweep", str(experiment), "--results", str(results)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def run(experiment: Path, results: Path) -> tuple[int, str, str]:
    driver = start(experiment, results)
    table, said = driver.communicate(timeout=WAIT_S)
    return driver.returncode, table, said


def wait_until(condition: Callable[[], bool], driver: subprocess.Popen) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert driver.poll() is None, f"the driver ended before it could be killed: {driver.stderr.read()}"
        assert time.monotonic() < end, "the ledger never came to this point"
        time.sleep(0.01)


def outcomes(results: Path) -> dict[str, dict]:
    ledger = Ledger(results / "tiny")
    folders = [*ledger.confirmations(), *(folder for study in ledger.studies() for folder in ledger.trials(study))]
    return {folder.path.relative_to(ledger.path).as_posix(): folder.record().outcome() for folder in folders}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    experiment = write_experiment(folder)
    code, table, said = run(experiment, folder / "results")
    assert code == 0, said
    return experiment, folder / "results", table


def test_a_sweep_ends_with_the_table(undisturbed: tuple[Path, Path, str]) -> None:
    _, results, table = undisturbed
    assert all(method in table for method in ("source_only", "lda", "fine_tune", "agsgtl"))
    records = outcomes(results)
    assert len(records) == 2 * 5 + 4 * 2
    assert {record["status"] for record in records.values()} <= {"complete", "pruned"}


def test_again_is_nothing_to_do_and_the_same_bytes(undisturbed: tuple[Path, Path, str]) -> None:
    experiment, results, table = undisturbed
    before = {path: path.stat().st_mtime_ns for path in results.rglob("record.json")}
    code, again, said = run(experiment, results)
    assert (code, again) == (0, table)
    assert "nothing is left to do" in said
    assert before == {path: path.stat().st_mtime_ns for path in results.rglob("record.json")}


@pytest.mark.parametrize("moment", ["search", "confirm"])
def test_a_killed_driver_loses_and_repeats_nothing(undisturbed: tuple[Path, Path, str], tmp_path: Path, moment: str) -> None:
    experiment, undisturbed_results, table = undisturbed
    driver = start(experiment, tmp_path)
    pattern = {"search": "*/tiny/*/trials/*/record.json", "confirm": "confirm/*/tiny/*/*/record.json"}[moment]
    wait_until(lambda: len(list((tmp_path / "tiny").glob(pattern))) >= 2, driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")}
    code, resumed, said = run(experiment, tmp_path)
    assert code == 0, said
    assert resumed == table
    assert outcomes(tmp_path) == outcomes(undisturbed_results)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())


def test_extending_reruns_nothing_that_holds(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    experiment, results, _ = undisturbed
    subprocess.run(["cp", "-r", str(results), str(tmp_path / "results")], check=True)
    subprocess.run(["cp", "-r", str(experiment.parent), str(tmp_path / "files")], check=True)
    grown = tmp_path / "files" / "experiment.yaml"
    grown.write_text(grown.read_text().replace("trials: 5", "trials: 7").replace("- 50\n", "- 50\n  - 61\n"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("trials/*/record.json")}
    code, _, said = run(grown, tmp_path / "results")
    assert code == 0, said
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert len(list((tmp_path / "results").rglob("trials/*/record.json"))) == len(before) + 4
    assert len(list((tmp_path / "results" / "tiny" / "confirm" / "lda").rglob("scores.json"))) == 3


def test_another_order_of_asks_replays_each_record(tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, {"agsgtl": SPACE}, search__order="async", search__sampler="random")
    assert sweep(experiment, tmp_path / "results").exit_code == 0
    pair = load_experiment(experiment).pairs["tiny"]
    ledger = Ledger(tmp_path / "results" / "tiny")
    for folder in ledger.trials("agsgtl/tiny/3"):
        ask = folder.ask()
        assert run_trial(configure(ask.config, origin="ask"), pair, ask, Place()).outcome() == folder.record().outcome()


def test_label_counts_as_a_factor_are_studies_of_their_own(tmp_path: Path) -> None:
    experiment = write_experiment(
        tmp_path, {"agsgtl": SPACE}, search__factors={"labels.per_class": [1, 3]}, search__trials=2, confirm__methods=["lda", "agsgtl"]
    )
    code, table, said = run(experiment, tmp_path / "results")
    assert code == 0, said
    assert Ledger(tmp_path / "results" / "tiny").studies() == ["agsgtl/tiny/1", "agsgtl/tiny/3"]
    assert "k = 1" in table
    assert "k = 3" in table


def test_two_objectives_confirm_the_front(tmp_path: Path) -> None:
    spaces = {"agsgtl": {**SPACE, "labels.per_class": {"type": "int", "low": 1, "high": 4}}}
    experiment = write_experiment(
        tmp_path,
        spaces,
        search__objectives="score_and_labels",
        search__scheduler="none",
        search__sampler="nsga2",
        confirm__methods=["lda", "agsgtl"],
    )
    code, _, said = run(experiment, tmp_path / "results")
    assert code == 0, said
    confirm = tmp_path / "results" / "tiny" / "confirm"
    tuned, fixed = ({int(path.parent.parent.name) for path in (confirm / name).rglob("scores.json")} for name in ("agsgtl", "lda"))
    assert tuned
    assert fixed == tuned | {3}  # the baselines meet every front at its k, and stand at the experiment's own


def test_no_file_of_the_search_holds_a_test_label(undisturbed: tuple[Path, Path, str]) -> None:
    experiment, results, _ = undisturbed
    pair = load_experiment(experiment).pairs["tiny"]
    test = LabelVault(str(experiment.parent / "tiny.yaml")).test_labels()
    for path in (results / "tiny" / "pairs").glob("*.npz"):
        with np.load(path, allow_pickle=False) as file:
            development = file["development_labels"]
            assert not np.any((development > 0) & (test > 0))
            assert {array.shape for array in file.values() if array.ndim == 2} == {development.shape, pair.source_labels.shape}
    openings = read_openings(Ledger(results / "tiny"))
    assert {opening.record.split("/")[0] for opening in openings} == {"confirm"}
    assert len(openings) == 8


def test_a_second_driver_is_refused_by_host_and_process(tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path)
    with only_driver(Ledger(tmp_path / "results" / "tiny")), pytest.raises(UserError, match=f"process {os.getpid()}"):
        sweep(experiment, tmp_path / "results")


def test_a_changed_meaning_is_refused_and_named(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, results, _ = undisturbed
    changed = write_experiment(tmp_path, search__select="source_validation")
    with pytest.raises(UserError, match=r"search.select is 'source_validation', but .* records made with 'target_validation'"):
        sweep(changed, results)


def test_failed_trials_and_missing_cells_exit_with_two(tmp_path: Path) -> None:
    spaces = {"agsgtl": {"adapt.target_learning_rate": {"type": "float", "low": 1.0, "high": 1.0}}}
    trial = {"loss.target_segmentation": 1e4, "data.normalisation": "none", "adapt.epochs": 3, "pretrain.epochs": 1}
    experiment = write_experiment(tmp_path, spaces, trial={**trial, "labels.per_class": 3, "runtime.device": "cuda"}, search__trials=1)
    code, _, said = run(experiment, tmp_path / "results")
    assert code == 2, said
    assert "missing: agsgtl/tiny/3: no trial completed" in said
    assert "failed: agsgtl/tiny/3, trial 0: bad_input" in said


def test_progress_is_json_lines_where_there_is_no_terminal(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    experiment, _, _ = undisturbed
    code, _, said = run(experiment, tmp_path)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert code == 0
    assert lines[-1]["done"] == lines[-1]["planned"] == 18

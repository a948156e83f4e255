"""Whole sweeps with real Ray on the tiny pair."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from sweeps import outcomes, run

from agsgtl.config import configure
from agsgtl.data.vault import LabelVault
from agsgtl.durable import NotWritable
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.vaultlog import read_openings
from agsgtl.trial import Place, run_trial
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.lease import only_driver
from agsgtl.tuning.searcher import LedgerSearcher
from agsgtl.tuning.sweep import sweep
from agsgtl.yamlfile import read_yaml
from experiments import SPACE, write_experiment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


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


def test_how_far_studies_ask_ahead_is_stored_and_a_blind_search_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spaces, methods = {"target_only": SPACE, "source_and_target": SPACE}, ["target_only"]
    experiment = write_experiment(tmp_path, spaces, search__trials=4, confirm__methods=methods, confirm__seeds=[41])
    monkeypatch.setattr("agsgtl.tuning.sweep.cluster_slots", lambda resources: 6)
    assert sweep(experiment, tmp_path / "results").exit_code == 0
    assert "the first 3 of each study's 4 trials knew no score" in capsys.readouterr().err
    stored = read_yaml(tmp_path / "results" / "tiny" / "experiment.yaml")
    assert stored["concurrency"] == 3
    assert "the first 3 of each study's 4 trials" in stored["search"]["warnings"][0]


def test_label_counts_as_a_factor_are_studies_of_their_own(tmp_path: Path) -> None:
    experiment = write_experiment(
        tmp_path,
        {"agsgtl": SPACE},
        search__factors={"labels.per_class": [1, 3]},
        search__trials=2,
        confirm__methods=["lda", "agsgtl"],
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
    tuned, fixed = (
        {int(path.parent.parent.name) for path in (confirm / name).rglob("scores.json")} for name in ("agsgtl", "lda")
    )
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
            assert {array.shape for array in file.values() if array.ndim == 2} == {
                development.shape,
                pair.source_labels.shape,
            }
    openings = read_openings(Ledger(results / "tiny"))
    assert {opening.record.split("/")[0] for opening in openings} == {"confirm"}
    assert len(openings) == 8


def test_a_second_driver_is_refused_by_host_and_process(tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path)
    with only_driver(Ledger(tmp_path / "results" / "tiny")), pytest.raises(UserError, match=f"process {os.getpid()}"):
        sweep(experiment, tmp_path / "results")


def test_a_changed_meaning_is_named_and_set_aside_only_when_told(
    undisturbed: tuple[Path, Path, str], tmp_path: Path
) -> None:
    experiment, results, _ = undisturbed
    subprocess.run(["cp", "-r", str(results), str(tmp_path / "results")], check=True)
    subprocess.run(["cp", "-r", str(experiment.parent), str(tmp_path / "files")], check=True)
    changed = tmp_path / "files" / "experiment.yaml"
    space = tmp_path / "files" / "fine_tune_space.yaml"
    space.write_text("adapt.target_steps: {type: int, low: 1, high: 3}\n")
    kept = {path for path in (tmp_path / "results").rglob("record.json") if "fine_tune" not in path.parts}
    code, table, said = run(changed, tmp_path / "results")
    assert (code, table) == (1, "")
    assert "distributions.fine_tune" in said
    assert "5 trials of fine_tune/tiny/3 were asked under the old file" in said
    assert "agsgtl/tiny/3 keeps its records" in said
    code, _, said = run(changed, tmp_path / "results", "--yes")
    assert code == 0, said
    assert len(list((tmp_path / "results/tiny/superseded/fine_tune").rglob("record.json"))) == 5
    assert all(path.exists() for path in kept)


def test_failed_trials_and_missing_cells_exit_with_two(tmp_path: Path) -> None:
    spaces = {"agsgtl": {"attention.floor": {"type": "float", "low": 0.0, "high": 3.0}}}
    no_gate = [{"attention.floor": 2.5}]  # above the ceiling
    changes = {"search__trials": 1, "search__enqueue": no_gate, "confirm__methods": ["lda", "agsgtl"]}
    experiment = write_experiment(tmp_path, spaces, **changes)
    code, _, said = run(experiment, tmp_path / "results")
    assert code == 2, said
    assert "missing: agsgtl/tiny/3: no trial completed" in said
    assert "failed: agsgtl/tiny/3, trial 0: bad_input" in said


def test_a_sweep_that_goes_on_reads_its_ledger_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    class Counted(JobQueue):
        def __init__(self, *arguments: object) -> None:
            built.append(1)
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("agsgtl.tuning.sweep.JobQueue", Counted)
    monkeypatch.setattr("agsgtl.tuning.sweep.ray_session", lambda address: nullcontext())
    monkeypatch.setattr("agsgtl.tuning.sweep.cluster_slots", lambda resources: 2)
    monkeypatch.setattr("agsgtl.tuning.sweep.run_jobs", lambda searcher, *rest: searcher.suggest("first"))
    experiment = write_experiment(tmp_path, {"agsgtl": SPACE})
    for starts in (1, 2):
        assert sweep(experiment, tmp_path / "results").is_interrupted
        assert len(built) == starts


def test_what_ended_a_sweep_is_said_and_not_what_tune_stumbles_over_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out_of_disk(searcher: LedgerSearcher, *rest: object) -> None:
        searcher.fatal = NotWritable("record.json: cannot be written")
        raise EOFError("Ran out of input")  # as Tune, from its own torn file

    monkeypatch.setattr("agsgtl.tuning.sweep.ray_session", lambda address: nullcontext())
    monkeypatch.setattr("agsgtl.tuning.sweep.cluster_slots", lambda resources: 2)
    monkeypatch.setattr("agsgtl.tuning.sweep.run_jobs", run_out_of_disk)
    with pytest.raises(NotWritable, match=r"record\.json: cannot be written"):
        sweep(write_experiment(tmp_path, {"agsgtl": SPACE}), tmp_path / "results")


def test_progress_is_json_lines_where_there_is_no_terminal(undisturbed_sweep: tuple[Path, Path, str, str]) -> None:
    lines = [json.loads(line) for line in undisturbed_sweep[3].splitlines() if line.startswith("{")]
    assert lines[-1]["done"] == lines[-1]["planned"] == 18

"""What an experiment file names is found beside it from any folder, and what it stores is found again from another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from quick import QUICK

from agsgtl.data.pairing import load_pair
from agsgtl.data.vault import LabelVault
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning import resolved
from agsgtl.tuning.experiment import load_experiment
from agsgtl.tuning.places import find_results
from experiments import write_experiment


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_a_stored_pair_file_is_found_from_another_folder(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiment(tmp_path)
    monkeypatch.chdir(tmp_path)
    experiment, ledger = load_experiment(Path("experiment.yaml")), Ledger(tmp_path / "results" / "tiny")
    resolved.write_experiment(experiment, ledger, 2, 1, cells=[])
    monkeypatch.chdir(elsewhere)
    stored = yaml.safe_load(ledger.experiment_file.read_text())["pair_files"]["tiny"]
    assert load_pair(stored).fingerprint == experiment.pairs["tiny"].fingerprint
    assert LabelVault(stored).test_labels().any()


def test_a_linked_pair_file_keeps_the_folder_of_its_link(tmp_path: Path, elsewhere: Path) -> None:
    file = write_experiment(tmp_path)
    (tmp_path / "tiny.yaml").rename(elsewhere / "moved.yaml")
    (tmp_path / "tiny.yaml").symlink_to(elsewhere / "moved.yaml")
    experiment = load_experiment(file)
    assert load_pair(experiment.pair_arguments["tiny"]).fingerprint == experiment.pairs["tiny"].fingerprint


def test_a_pair_of_the_catalog_is_stored_by_its_name(tmp_path: Path) -> None:
    name = "indian_pines/west_to_east"
    experiment = load_experiment(write_experiment(tmp_path, pairs=[name], trial=dict(QUICK)))
    assert experiment.pair_arguments == {name: name}


def test_results_are_looked_for_beside_the_file_and_then_here(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_experiment(tmp_path, search__warm_start="results/other")
    monkeypatch.chdir(elsewhere)
    assert load_experiment(file).warm_start == Path("results/other")  # in neither place: the error names this one
    for folder in (elsewhere, tmp_path):
        (folder / "results" / "other").mkdir(parents=True)
        (folder / "results" / "other" / "experiment.yaml").write_text("name: other\n")
        found = load_experiment(file).warm_start
        assert found is not None
        assert found.resolve() == folder / "results" / "other"
    assert find_results(file, str(elsewhere)) == elsewhere

"""Every number leads back to its records, seeds and commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import PAIR, write_confirm, write_experiment

from agsgtl.errors import UserError
from agsgtl.reporting.explain import explain_cell
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.vaultlog import VaultLog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_experiment(tmp_path / "demo", commit="abc123", data={"indian_pines.npz": "sha-of-data"})
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5, 50: 0.6}, trials=30, config={"loss.entropy": 0.25})
    write_confirm(tmp_path / "demo", "lda", {41: "diverged"})
    ledger = Ledger(tmp_path / "demo")
    for opened in ledger.confirmations():
        VaultLog(ledger).append(opened, "confirm")
    return tmp_path / "demo"


def test_a_cell_is_traced_to_records_seeds_data_and_commit(folder: Path) -> None:
    text = explain_cell([folder], f"agsgtl:{PAIR}")
    assert text.startswith(f"agsgtl, {PAIR}, Macro F1: 55.0 ± 7.1")
    assert f"50.0  {folder}/confirm/agsgtl/{PAIR}/3/41" in text
    assert "labels 50, init 50" in text
    assert "trial 0 of 30" in text
    assert "fingerprint 0123456789abcdef" in text
    assert "torch 2.13.0" in text
    assert "commit: abc123" in text
    assert "sha-of-data" in text
    assert "record unchanged since" in text


def test_the_command_holds_every_setting_that_is_no_default(folder: Path) -> None:
    (command,) = [line for line in explain_cell([folder], f"agsgtl:{PAIR}").splitlines() if "--seed 41" in line]
    expected = "--select target_validation --set labels.per_class=3 --set loss.entropy=0.25"
    assert command.endswith(f"agsgtl run {PAIR} --method agsgtl --seed 41 {expected}")


def test_the_command_of_paper_holds_what_a_pairs_authors_may_have_set(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "paper", {41: 0.5}, config={"adapt.epochs": 200})  # Botswana's authors: 500
    assert "--set adapt.epochs=200" in explain_cell([tmp_path / "demo"], f"paper:{PAIR}")


def test_a_users_own_pair_is_named_by_its_file(tmp_path: Path) -> None:
    write_experiment(tmp_path / "demo", pair_files={"mine": "pairs/mine.yaml"})
    write_confirm(tmp_path / "demo", "lda", {41: 0.5}, pair="mine", init=1)
    assert "agsgtl run pairs/mine.yaml --method lda --seed 41 --init-seed 1041" in explain_cell(
        [tmp_path / "demo"], "lda:mine"
    )


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (PAIR, f"--pair {PAIR} --results {{folder}}    # FILE: the authors' pickled weights"),
        (
            "mine",
            "--pair PAIR.yaml --results {folder}    # FILE: the authors' pickled weights; PAIR.yaml: that of mine",
        ),
    ],
)
def test_imported_weights_are_imported_again(pair: str, said: str, tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "authors", {41: 0.5}, pair=pair)
    text = explain_cell([tmp_path / "demo"], f"authors:{pair}")
    assert f"again: agsgtl import-weights FILE {said.format(folder=tmp_path / 'demo')}\n" in text
    assert "agsgtl run" not in text


def test_a_method_that_is_no_more_has_no_command(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "dann", {41: 0.5})
    text = explain_cell([tmp_path / "demo"], f"dann:{PAIR}")
    assert "again: # 'dann' is no method of this version: no command makes it again" in text


def test_a_record_changed_after_it_was_scored_is_called_out(folder: Path) -> None:
    path = folder / "confirm/agsgtl" / PAIR / "3/41/record.json"
    path.write_text(path.read_text().replace('"epoch": 8', '"epoch": 7'))
    assert "RECORD CHANGED" in explain_cell([folder], f"agsgtl:{PAIR}")


def test_failures_and_averages_are_explained_too(folder: Path) -> None:
    assert "failed: diverged" in explain_cell([folder], f"lda:{PAIR}")
    assert "60.0  " in explain_cell([folder], "agsgtl:average:macro_f1")


def test_an_average_with_a_failed_seed_does_not_say_that_it_has_no_record(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.6})
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: "diverged"}, pair="toy/other")
    text = explain_cell([tmp_path / "demo"], "lda:average")
    assert "1 planned seeds failed" in text
    assert "no record yet" not in text


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("agsgtl", "reads ROW:COLUMN"),
        ("agsgt:average", "is no row of the table; did you mean 'agsgtl'"),
        ("agsgtl:avrage", "is no column of the table; did you mean 'average'"),
        ("agsgtl:average:f2", "is no metric"),
    ],
)
def test_a_wrong_cell_is_named_with_the_nearest(folder: Path, cell: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        explain_cell([folder], cell)

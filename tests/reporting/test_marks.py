"""Best, second and dagger, and the note's words about them, against differences made by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic import PAIR, write_confirm, write_experiment, write_search

from agsgtl.reporting.cells import AVERAGE, Cell, Table
from agsgtl.reporting.confirmed import read_confirmed
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.marks import compare_with_best
from agsgtl.reporting.rows import Row
from agsgtl.reporting.table import build_table
from agsgtl.reporting.vaultlog import VaultLog

SEEDS = (41, 50, 61, 70, 81, 90, 101, 200, 301, 400)


def marks(table: Table, name: str, column: str = PAIR, metric: str = "macro_f1") -> set[str]:
    """The marks of a cell."""
    (row,) = [row for row in table.rows if row.name == name]
    return set(table.marks.get((metric, row, column), frozenset()))


def write_rows(folder: Path, **bases: float) -> Path:
    """Ten seeds a method; every method's seeds wobble alike but for a little of its own."""
    for rank, (method, base) in enumerate(bases.items()):
        values = {seed: base + 0.02 * (i % 3) + 0.001 * ((i * (rank + 3)) % 7) for i, seed in enumerate(SEEDS)}
        write_confirm(folder, method, values)
    return folder


def test_best_second_and_what_cannot_be_told_from_the_best(tmp_path: Path) -> None:
    table = build_table([write_rows(tmp_path / "demo", lda=0.5, paper=0.7, agsgtl=0.7005)])
    assert marks(table, "agsgtl") == {"best"}
    assert marks(table, "paper") == {"second", "dagger"}
    assert marks(table, "lda") == set()  # 10 seeds of one sign: p = 2 / 1024, thrice that by Holm over all three pairs
    assert marks(table, "agsgtl", AVERAGE) == {"best"}
    (lda,) = [c for c in table.comparisons if c.other.name == "lda"]
    assert lda.p_holm == pytest.approx(3 * 2 / 1024)
    assert lda.test is not None
    assert lda.test.n == 10


def test_daggers_stand_in_the_first_metric_only_so_that_holm_covers_all_of_them(tmp_path: Path) -> None:
    table = build_table([write_rows(tmp_path / "demo", paper=0.7, agsgtl=0.7005)])
    assert marks(table, "paper") == {"second", "dagger"}
    assert marks(table, "paper", metric="mean_iou") == {"second"}
    assert {c.column for c in table.comparisons} == {PAIR}
    assert len(table.comparisons) == 1


def test_three_seeds_cannot_tell_anything_and_the_note_says_so(demo: Path) -> None:
    table = build_table([demo])
    assert marks(table, "source_only") == {"dagger"}
    note = " ".join(table.note)
    assert ".25 at n = 3" in note
    assert "no difference could fall below .05" in note
    assert len(table.comparisons) == 2 * 3  # two others in each of two pairs and the average


def test_the_adjustment_is_over_all_pairs_of_rows_that_might_have_been_compared(tmp_path: Path) -> None:
    table = build_table([write_rows(tmp_path / "demo", lda=0.5, paper=0.7, target_only=0.6, agsgtl=0.7005)], "macro_f1")
    assert [(c.best.name, c.other.name) for c in table.comparisons] == [
        ("agsgtl", "target_only"),
        ("agsgtl", "lda"),
        ("agsgtl", "paper"),
    ]
    assert {c.family for c in table.comparisons} == {6}
    assert "over the 6 comparisons of two methods in a column at one k, since the best is chosen" in " ".join(
        table.note
    )


def test_the_note_gives_up_where_the_whole_family_is_too_large_for_the_seeds(tmp_path: Path) -> None:
    """Seven seeds give p = 2 / 128 at least: times 3 comparisons with the best that is below .05, times all 6 it is not."""
    for rank, method in enumerate(("lda", "paper", "target_only", "agsgtl")):
        write_confirm(tmp_path / "demo", method, dict.fromkeys(SEEDS[:7], 0.1 + 0.2 * rank))
    table = build_table([tmp_path / "demo"], "macro_f1")
    assert {c.p_holm for c in table.comparisons} == {6 * 2 / 128}
    assert "no difference could fall below .05" in " ".join(table.note)


def test_a_method_named_beforehand_is_adjusted_over_its_own_comparisons(tmp_path: Path) -> None:
    confirmed = read_confirmed([write_rows(tmp_path / "demo", lda=0.5, paper=0.7, agsgtl=0.7005)])
    found = compare_with_best(confirmed.rows, (PAIR, AVERAGE), confirmed.cells("macro_f1"), "lda")
    assert {(c.best.name, c.p_holm, c.family) for c in found} == {("lda", 2 * 2 / 1024, 2)}


def test_six_equal_methods_are_told_apart_in_five_of_a_hundred_tables_at_most() -> None:
    """With the adjustment over the five comparisons with the best it is ten of a hundred."""
    rng = np.random.default_rng(1)
    rows = [Row(f"method {index}", 3, "", f"method {index}") for index in range(6)]

    def tells_some_apart() -> bool:
        cells = {(row, PAIR): Cell(dict(enumerate(rng.normal(size=10))), 10, {}, 10) for row in rows}
        return any(found.p_holm < 0.05 for found in compare_with_best(rows, (PAIR, AVERAGE), cells))

    assert np.mean([tells_some_apart() for _ in range(400)]) <= 0.06


def test_an_incomplete_cell_is_never_best(tmp_path: Path) -> None:
    write_experiment(tmp_path / "demo", confirm_cells=[{"method": "lda", "pair": PAIR, "per_class": 3, "seed": 99}])
    write_rows(tmp_path / "demo", lda=0.9, paper=0.7, agsgtl=0.6)
    table = build_table([tmp_path / "demo"])
    assert marks(table, "paper") == {"best"}
    assert "best" not in marks(table, "lda")


def test_an_oracle_row_is_never_best(tmp_path: Path) -> None:
    write_rows(tmp_path / "demo", paper=0.7, agsgtl=0.6)
    write_search(tmp_path / "demo", "agsgtl", [0.5], test=[[0.95, 0.97]])
    table = build_table([tmp_path / "demo"])
    assert marks(table, "paper") == {"best"}
    assert marks(table, "agsgtl, oracle choice (search seeds)") == set()


def test_one_method_alone_has_no_marks(tmp_path: Path) -> None:
    table = build_table([write_rows(tmp_path / "demo", lda=0.5)])
    assert table.marks == {}
    assert table.comparisons == ()


def test_methods_without_a_common_seed_cannot_be_told_apart(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {1: 0.2, 2: 0.2})
    write_confirm(tmp_path / "demo", "paper", {3: 0.9, 4: 0.9})
    table = build_table([tmp_path / "demo"])
    assert "dagger" in marks(table, "lda")
    assert table.comparisons[0].test is None


def test_ranks_below_the_needed_pairs_are_called_description(tmp_path: Path) -> None:
    for pair in ("toy/a", "toy/b", "toy/c"):
        write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.5}, pair)
        write_confirm(tmp_path / "demo", "paper", {41: 0.6, 50: 0.6}, pair)
    note = " ".join(build_table([tmp_path / "demo"]).note)
    assert "paper 1.0 and lda 2.0; description only, a test of 2 methods needs 6 pairs" in note
    assert "not independent" in note


def test_the_note_counts_looks_and_those_before_an_extension(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    write_search(folder, "lda", [0.5])
    write_confirm(folder, "lda", {41: 0.5, 50: 0.6})
    ledger = Ledger(folder)
    for opened in ledger.confirmations():
        VaultLog(ledger).append(opened, "confirm")
    note = " ".join(build_table([folder]).note)
    assert "2 distinct records, by a log whose chain of hashes is whole; looks before a search" in note
    assert "was extended: 0." in note
    assert "no more" not in note
    write_search(folder, "lda", [0.5, 0.6])
    write_confirm(folder, "lda", {61: 0.5})
    note = " ".join(build_table([folder]).note)
    assert "looks before a search on that pair was extended: 2." in note
    assert "1 scored records are not in the vault's log" in note


def test_search_trials_that_were_scored_without_a_look_are_told(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.9, 0.5], test=[[0.60, 0.62], [0.70, 0.74]])
    write_confirm(tmp_path / "demo", "agsgtl", {41: None}, trials=2)
    assert "2 scored records are not in the vault's log" in " ".join(build_table([tmp_path / "demo"]).note)


def test_only_rows_with_the_same_number_of_labels_are_compared(tmp_path: Path) -> None:
    for k, bases in ((1, {"lda": 0.3, "paper": 0.4}), (10, {"lda": 0.7, "paper": 0.6})):
        for method, base in bases.items():
            write_confirm(tmp_path / "demo", method, {41: base, 50: base + 0.01}, per_class=k)
    table = build_table([tmp_path / "demo"])
    assert marks(table, "paper, k = 1") == {"best"}
    assert marks(table, "lda, k = 10") == {"best"}
    assert [(c.best.name, c.other.name) for c in table.comparisons] == [
        ("paper, k = 1", "lda, k = 1"),
        ("lda, k = 10", "paper, k = 10"),
    ]


def test_a_copy_of_a_ledger_adds_no_look_to_the_note(tmp_path: Path) -> None:
    folder, copy = tmp_path / "demo", tmp_path / "copy"
    write_search(folder, "lda", [0.5])
    write_confirm(folder, "lda", {41: 0.5, 50: 0.6})
    ledger = Ledger(folder)
    for opened in ledger.confirmations():
        VaultLog(ledger).append(opened, "confirm")
    write_search(folder, "lda", [0.5, 0.6])
    shutil.copytree(folder, copy)
    alone = build_table([folder]).note
    assert "for 2 distinct records" in " ".join(alone)
    assert "was extended: 2." in " ".join(alone)
    assert build_table([folder, copy]).note == build_table([folder, folder]).note == alone

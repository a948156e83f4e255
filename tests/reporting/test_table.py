"""The table says what the records say: means, gaps, names and cautions, against a truth made by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from synthetic import PAIR, write_confirm, write_experiment, write_ledger, write_search

from agsgtl.data.pools import BY_DRAW, TEST_POOL
from agsgtl.errors import UserError
from agsgtl.reporting.cells import AVERAGE, Cell, Table
from agsgtl.reporting.layout import lay_out
from agsgtl.reporting.record import Reason
from agsgtl.reporting.table import build_table
from agsgtl.reporting.views import build_view

OTHER = "toy/b_to_a"


def cell(table: Table, name: str, column: str, metric: str = "macro_f1") -> Cell:
    """The cell of the row with this name."""
    (row,) = [row for row in table.rows if row.name == name]
    return table.cells[metric, row, column]


def names(table: Table) -> list[str]:
    """The rows' names in order."""
    return [row.name for row in table.rows]


def test_a_cell_is_mean_and_sample_sd_over_seeds(demo: Path) -> None:
    table = build_table([demo])
    found = cell(table, "agsgtl", PAIR)
    assert (found.n, found.planned, found.state) == (3, 3, "complete")
    assert found.mean == pytest.approx(0.71)
    assert found.sd == pytest.approx(0.01)  # of .70 .71 .72 with ddof 1
    assert cell(table, "agsgtl", PAIR, "mean_iou").mean == pytest.approx(0.69)
    assert table.metrics == ("macro_f1", "balanced_accuracy", "mean_iou", "overall_accuracy")


def test_the_average_pairs_seeds_before_it_takes_the_sd(tmp_path: Path) -> None:
    # Seed 41: (.5 + .7) / 2 = .6; seed 50: (.7 + .5) / 2 = .6. Cells spread by .14, averages not at all.
    write_confirm(tmp_path / "a", "lda", {41: 0.5, 50: 0.7})
    write_confirm(tmp_path / "a", "lda", {41: 0.7, 50: 0.5}, OTHER)
    found = cell(build_table([tmp_path / "a"]), "lda", AVERAGE)
    assert found.mean == pytest.approx(0.6)
    assert found.sd == pytest.approx(0.0)


def test_a_method_without_every_pair_has_no_average(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo")
    write_confirm(folder, "lda", {41: 0.5, 50: 0.5, 61: 0.5})
    table = build_table([folder])
    assert cell(table, "lda", AVERAGE).state == "absent"
    assert cell(table, "lda", OTHER).state == "absent"


def test_missing_failed_and_incomplete_cells_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    planned = [
        {"method": m, "pair": PAIR, "per_class": 3, "seed": s}
        for m in ("lda", "paper", "agsgtl", "fine_tune")
        for s in (41, 50)
    ]
    write_experiment(folder, confirm_cells=planned)
    write_confirm(folder, "lda", {41: 0.5})
    write_confirm(folder, "paper", {41: "diverged", 50: "diverged"})
    write_confirm(folder, "agsgtl", {41: None, 50: None})
    table = build_table([folder])
    assert cell(table, "fine_tune", PAIR).state == "missing"
    assert cell(table, "paper", PAIR).state == "failed"
    assert cell(table, "paper", PAIR).failures == {"diverged": 2}
    assert cell(table, "agsgtl", PAIR).state == "incomplete"
    assert cell(table, "agsgtl", PAIR).n == 0
    assert (cell(table, "lda", PAIR).n, cell(table, "lda", PAIR).planned) == (1, 2)
    assert any("unequal" not in line and "not run" in line for line in table.note)


def test_unscored_and_search_records_never_enter_a_cell(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    write_confirm(folder, "agsgtl", {41: 0.5, 50: None})
    write_search(folder, "agsgtl", [0.9], test=[[0.95, 0.95]])
    assert cell(build_table([folder]), "agsgtl", PAIR).values == {41: 0.5}


def test_a_schedule_other_than_houstons_is_in_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    short = {"adapt.epochs": 25, "pretrain.epochs": 50}
    for method in ("source_only", "target_only", "lda", "paper"):
        write_confirm(folder, method, {41: 0.5}, config=short)
    write_confirm(folder, "agsgtl", {41: 0.5}, config={"adapt.epochs": 25})
    write_confirm(folder, "agsgtl", {41: 0.5}, OTHER, config={"adapt.epochs": 30})
    assert names(build_table([folder])) == [
        "source_only, 50 pre-training epochs",
        "target_only, 25 epochs",
        "lda",
        "paper, 25 epochs, 50 pre-training epochs",
        "agsgtl, 25 to 30 epochs",
    ]


def test_several_k_are_several_rows(tmp_path: Path) -> None:
    for k in (10, 3):
        write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5 + k / 100}, per_class=k, config={"labels.per_class": k})
    table = build_table([tmp_path / "demo"])
    assert names(table) == ["agsgtl, k = 3", "agsgtl, k = 10"]
    assert cell(table, "agsgtl, k = 10", PAIR).mean == pytest.approx(0.6)
    assert any("3 + 5 or 10 + 5" in line for line in table.note)


def test_the_note_says_who_was_tuned_and_how_much(demo: Path) -> None:
    note = " ".join(build_table([demo]).note)
    assert "agsgtl (10) and fine_tune (10)" in note
    assert "Transductive" in note
    assert "3 + 5" in note
    assert "n = 3" in note
    assert "unequal" not in note
    assert "could have been tuned" not in note


def test_unequal_trials_and_untuned_rivals_are_cautioned_about(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    methods = ["lda", "fine_tune", "target_only", "agsgtl"]
    write_experiment(
        folder, search={"spaces": {"agsgtl": "losses", "fine_tune": "fine_tune"}}, confirm={"methods": methods}
    )
    write_confirm(folder, "agsgtl", {41: 0.5}, trials=30)
    write_confirm(folder, "fine_tune", {41: 0.5}, trials=10)
    write_confirm(folder, "target_only", {41: 0.5})
    note = " ".join(build_table([folder]).note)
    assert "unequal numbers of trials (10 to 30)" in note
    assert "target_only could have been tuned too and was not" in note
    assert "lda could" not in note


def test_unequal_seed_sets_are_cautioned_about(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.6})
    write_confirm(tmp_path / "demo", "paper", {41: 0.5, 61: 0.6})
    assert any("unequal sets of seeds" in line for line in build_table([tmp_path / "demo"]).note)


def test_the_note_says_how_test_pixels_were_chosen_and_how_a_pair_was_made(tmp_path: Path) -> None:
    matched = "bands matched by wavelength"
    write_confirm(tmp_path / "demo", "lda", {41: 0.5}, notes=(matched, f"{TEST_POOL}blocks; 30 pixels unused"))
    write_confirm(tmp_path / "demo", "lda", {41: 0.5}, OTHER, notes=(matched,))
    note = build_table([tmp_path / "demo"]).note
    assert note[0].startswith("Percent on the fixed test pool, ")
    random = (
        "Test pool: pixels drawn at random, which lie among pixels that may train: optimistic for areas without labels"
    )
    assert note[1:4] == (
        "Bands matched by wavelength.",
        f"Test pool: blocks; 30 pixels unused ({PAIR}).",
        f"{random} ({OTHER}).",
    )


def test_a_pool_of_what_runs_do_not_draw_is_called_no_fixed_one(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5}, notes=(BY_DRAW,))
    note = build_table([tmp_path / "demo"]).note
    assert note[0].startswith("Percent on each run's test pixels, ")
    assert note[1] == "Test pool: every labelled pixel that a run does not draw (authors)."


@pytest.mark.parametrize("stored", ["k was free, F1 its one objective", "K was free, F1 its one objective."])
def test_warnings_of_the_search_stand_in_the_note_as_sentences(tmp_path: Path, stored: str) -> None:
    write_experiment(tmp_path / "demo", search={"warnings": [stored]})
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    assert "K was free, F1 its one objective." in build_table([tmp_path / "demo"]).note


def test_an_oracle_row_is_the_best_trial_on_test_and_marked(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo", trials=2)
    for method in ("agsgtl", "fine_tune"):
        shutil.rmtree(folder / method)
    write_search(
        folder, "agsgtl", [0.9, 0.5], test=[[0.60, 0.62], [0.70, 0.74]]
    )  # best on test is not best on validation
    table = build_table([folder])
    found = cell(table, "agsgtl, oracle choice (search seeds)", PAIR)
    assert found.mean == pytest.approx(0.72)
    assert cell(table, "agsgtl, oracle choice (search seeds)", AVERAGE).state == "absent"
    assert any("not a result of selection" in line for line in table.note)
    (block, *_) = lay_out(table, intervals=True).blocks
    assert not any("[" in text.text for line in block.lines if "oracle" in line[0].text for text in line)


def test_a_search_that_went_on_after_it_was_scored_has_no_oracle_row_and_says_so(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.8}, trials=3)
    write_search(tmp_path / "demo", "agsgtl", [0.9, 0.5, 0.95], test=[[0.60, 0.62], [0.70, 0.74], []])
    table = build_table([tmp_path / "demo"])
    assert not any(row.oracle for row in table.rows)
    (said,) = (line for line in table.note if "no oracle" in line)
    assert said.startswith("Caution: 2 outcomes of search trials")
    assert f"agsgtl/{PAIR}/3" in said
    assert build_view([tmp_path / "demo"], "selection").lists[0].lines[-1] == said


def test_several_initialisations_of_a_seed_are_one_value(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.7})
    write_confirm(tmp_path / "demo", "lda", {41: 0.6, 50: "diverged"}, init=1)
    found = cell(build_table([tmp_path / "demo"]), "lda", PAIR)
    assert found.values == pytest.approx({41: 0.55})
    assert found.planned == 2


def test_a_seed_without_one_of_its_initialisations_is_not_whole(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.7})
    write_confirm(tmp_path / "demo", "lda", {41: 0.6}, init=1)
    found = cell(build_table([tmp_path / "demo"]), "lda", PAIR)
    assert found.values == pytest.approx({41: 0.55})
    assert found.state == "incomplete"


def test_an_average_over_pairs_without_a_common_seed_is_not_called_not_run(tmp_path: Path) -> None:
    for method in ("lda", "paper"):
        write_confirm(tmp_path / "demo", method, {41: 0.5, 50: 0.7})
        write_confirm(tmp_path / "demo", method, {61: 0.5, 70: 0.7}, OTHER)
    table = build_table([tmp_path / "demo"], "macro_f1")
    assert cell(table, "lda", AVERAGE).state == "absent"
    assert not any("not run" in line for line in table.note)
    assert any("no seed has a number on every pair" in line for line in table.note)
    comparison = lay_out(table).lists[0]
    assert comparison.lines[0].startswith("no two methods have an average over all pairs")


def test_two_experiments_that_ran_one_method_differently_get_two_rows(tmp_path: Path) -> None:
    write_confirm(tmp_path / "with", "agsgtl", {41: 0.5})
    write_confirm(tmp_path / "without", "agsgtl", {41: 0.4}, config={"attention.discriminator": False})
    write_confirm(tmp_path / "without", "lda", {41: 0.3}, OTHER)
    table = build_table([tmp_path / "with", tmp_path / "without"])
    assert names(table) == ["lda", "agsgtl (with)", "agsgtl (without)"]
    assert cell(table, "agsgtl (without)", PAIR).mean == pytest.approx(0.4)


@pytest.mark.parametrize("twin", [None, "diverged"])
def test_of_two_copies_of_a_run_the_scored_one_counts(tmp_path: Path, twin: Reason | None) -> None:
    """The experiment whose name comes first has the copy without a score."""
    write_confirm(tmp_path / "a", "lda", {41: twin, 50: 0.6})
    write_confirm(tmp_path / "b", "lda", {41: 0.5, 50: twin})
    table = build_table([tmp_path / "a", tmp_path / "b"], "macro_f1")
    found = cell(table, "lda", PAIR)
    assert found.values == {41: 0.5, 50: 0.6}
    assert (found.state, found.failures) == ("complete", {})


def test_two_experiments_on_other_pairs_share_a_row_whatever_their_searches_chose(tmp_path: Path) -> None:
    for name, pair, entropy, score in (("one", PAIR, 0.0, 0.5), ("two", OTHER, 0.1, 0.7)):
        write_experiment(tmp_path / name, distributions={"agsgtl": {"loss.entropy": "FloatDistribution(...)"}})
        write_confirm(tmp_path / name, "agsgtl", {41: score}, pair, config={"loss.entropy": entropy}, trials=4)
    table = build_table([tmp_path / "one", tmp_path / "two"])
    assert names(table) == ["agsgtl"]
    assert cell(table, "agsgtl", AVERAGE).mean == pytest.approx(0.6)


def test_two_experiments_on_other_pairs_with_other_settings_are_two_rows(tmp_path: Path) -> None:
    for name, pair, epochs in (("one", PAIR, 40), ("two", OTHER, 60)):
        write_confirm(tmp_path / name, "agsgtl", {41: 0.5}, pair, config={"adapt.epochs": epochs})
        write_confirm(tmp_path / name, "paper", {41: 0.5}, pair, config={"adapt.epochs": epochs})  # its authors' choice
    table = build_table([tmp_path / "one", tmp_path / "two"])
    assert names(table) == ["paper, 40 to 60 epochs", "agsgtl (one), 40 epochs", "agsgtl (two), 60 epochs"]


def test_one_pair_with_two_test_pools_is_refused(tmp_path: Path) -> None:
    write_confirm(tmp_path / "one", "agsgtl", {41: 0.5})
    write_confirm(tmp_path / "two", "lda", {41: 0.7}, fingerprint="another")
    with pytest.raises(UserError, match="different data or test pools"):
        build_table([tmp_path / "one", tmp_path / "two"])


def test_metrics_are_chosen_by_name(demo: Path) -> None:
    folder = demo
    assert build_table([folder], "kappa").metrics == ("kappa",)
    with pytest.raises(UserError, match="did you mean 'macro_f1'"):
        build_table([folder], "macro_f")


def test_nothing_confirmed_and_nothing_planned_is_said(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.5])
    with pytest.raises(UserError, match="no confirmed record"):
        build_table([tmp_path / "demo"])
    with pytest.raises(UserError, match="no such folder"):
        build_table([tmp_path / "nowhere"])


def test_a_plan_without_any_record_is_a_table_of_cells_not_run(tmp_path: Path) -> None:
    write_experiment(tmp_path / "demo", confirm_cells=[{"method": "lda", "pair": PAIR, "per_class": 3, "seed": 41}])
    table = build_table([tmp_path / "demo"])
    assert cell(table, "lda", PAIR).state == "missing"
    assert "No confirmed record" in table.note[0]


def test_records_of_two_trainers_are_two_rows(tmp_path: Path) -> None:
    write_confirm(tmp_path / "old", "lda", {41: 0.8, 50: 0.8})
    write_confirm(tmp_path / "new", "lda", {41: 0.6, 50: 0.6})
    for file in (tmp_path / "new").rglob("record.json"):
        file.write_text(file.read_text().replace('"trainer_version": 1', '"trainer_version": 2'))
    table = build_table([tmp_path / "old", tmp_path / "new"], "macro_f1")
    assert [row.name for row in table.rows] == ["lda (new)", "lda (old)"]


def test_the_number_of_trials_is_the_one_the_experiment_knows_now(tmp_path: Path) -> None:
    """The search was extended from 2 trials to 4 and kept its winner, whose records say 2."""
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.8, 50: 0.8}, trials=2)
    cell = {"method": "agsgtl", "pair": PAIR, "per_class": 3, "seed": 41, "trials": 4}
    write_experiment(tmp_path / "demo", confirm_cells=[cell, {**cell, "seed": 50}])
    (row,) = build_table([tmp_path / "demo"], "macro_f1").rows
    assert row.tuned_trials == (4,)

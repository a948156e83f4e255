"""Per-class tables, tables by labelled count and ablations, against values made by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from optuna.distributions import FloatDistribution, distribution_to_json
from synthetic import PAIR, write_confirm, write_experiment, write_search

from agsgtl.data.schema import WORDS_OF_TABLES
from agsgtl.errors import UserError
from agsgtl.reporting.layout import Block, lay_out
from agsgtl.reporting.table import build_table
from agsgtl.reporting.tidy import collect
from agsgtl.reporting.views import build_view
from agsgtl.tuning.importances import measure_importances


def texts(block: Block) -> dict[str, list[str]]:
    """The lines of a block by their first word."""
    return {line[0].text: [text.text for text in line[1:]] for line in block.lines}


def test_classes_stand_above_the_summary_in_the_remote_sensing_habit(demo: Path) -> None:
    block = build_view([demo], "classes").blocks[0]
    assert block.header == ("class", "source_only", "fine_tune", "agsgtl")
    lines = texts(block)
    summary = ["Overall accuracy", "Balanced accuracy", "Macro F1", "Mean IoU", "Kappa"]
    assert list(lines) == ["corn", "oats", "woods", *summary]
    assert lines["corn"] == ["31.0 ± 1.0", "51.0 ± 1.0", "61.0 ± 1.0"]  # .1 below macro F1
    assert lines["Kappa"] == ["37.0 ± 1.0", "57.0 ± 1.0", "67.0 ± 1.0"]
    assert block.lines[0][3].marks == {"best"}
    assert block.lines[0][2].marks == {"second"}


def test_what_stands_beside_the_pairs_in_a_header_is_no_pairs_name(tmp_path: Path) -> None:
    write_confirm(tmp_path / "whole", "agsgtl", {41: 0.50})
    write_confirm(tmp_path / "no_attention", "agsgtl", {41: 0.45}, config={"attention.discriminator": False})
    folders = [tmp_path / "whole", tmp_path / "no_attention"]
    documents = [lay_out(build_table(folders)), build_view(folders, "ablation")]
    headers = {word for document in documents for block in document.blocks for word in block.header}
    assert headers - {PAIR} == WORDS_OF_TABLES


def test_labelled_counts_are_columns(tmp_path: Path) -> None:
    for k in (1, 5):
        write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5 + k / 100}, per_class=k)
    write_confirm(tmp_path / "demo", "lda", {41: 0.3}, per_class=5)
    block = build_view([tmp_path / "demo"], "labels").blocks[0]
    assert block.header == ("method", "k = 1", "k = 5")
    assert texts(block) == {"agsgtl": ["51.0", "55.0"], "lda": ["–", "30.0"]}


def test_an_ablation_names_what_differs_and_tests_it_paired(tmp_path: Path) -> None:
    write_confirm(tmp_path / "whole", "agsgtl", {41: 0.50, 50: 0.60})
    write_confirm(tmp_path / "no_attention", "agsgtl", {41: 0.45, 50: 0.53}, config={"attention.discriminator": False})
    found = build_view([tmp_path / "whole", tmp_path / "no_attention"], "ablation", reference="whole")
    lines = texts(found.blocks[0])
    assert lines["agsgtl"][:2] == ["whole: reference", "55.0 ± 7.1"]
    changed = "no_attention: attention.discriminator: true → false"
    assert lines["agsgtl, attention off"][:2] == [changed, "49.0 ± 5.7"]
    (sentence,) = found.lists[0].lines
    assert sentence.startswith(f"{PAIR}: agsgtl − agsgtl, attention off = 6.0 [-6.7, 18.7]")
    assert "p = .5" in sentence


def test_ablations_are_named_as_a_paper_names_them(tmp_path: Path) -> None:
    whole = {"loss.target_segmentation": 1.0, "loss.entropy": 0.1}
    for name, changed in (
        ("whole", {}),
        ("no_attention", {"attention.discriminator": False}),
        ("no_segmentation", {"loss.target_segmentation": 0.0}),
        ("neither", {"attention.discriminator": False, "loss.target_segmentation": 0.0}),
        ("kept", {"adapt.keep": "best_validation"}),
    ):
        values = {41: 0.5 - 0.01 * len(changed), 50: 0.6}
        write_confirm(tmp_path / name, "agsgtl", values, config=whole | changed)
        write_confirm(tmp_path / name, "agsgtl", values, "toy/b_to_a", config=whole | changed)
    folders = [tmp_path / name for name in ("whole", "kept", "neither", "no_attention", "no_segmentation")]
    found = build_view(folders, "ablation")
    assert [line[0].text for line in found.blocks[0].lines] == [
        "agsgtl",
        "agsgtl, keep best_validation",
        "agsgtl, segmentation term off, attention off",
        "agsgtl, attention off",
        "agsgtl, segmentation term off",
    ]
    assert found.blocks[0].header == ("method", "settings", PAIR, "toy/b_to_a", "average")
    assert len(found.lists[0].lines) == 4 * 3  # two pairs and the average


def test_what_both_searches_tuned_is_no_ablation(tmp_path: Path) -> None:
    for name, entropy, floor in (("one", 0.1, 1.0), ("two", 0.2, 0.5)):
        write_experiment(tmp_path / name, distributions={"agsgtl": {"loss.entropy": "FloatDistribution(...)"}})
        config = {"loss.entropy": entropy, "attention.floor": floor}
        write_confirm(tmp_path / name, "agsgtl", {41: 0.5, 50: 0.6}, config=config, trials=4)
    lines = texts(build_view([tmp_path / "two", tmp_path / "one"], "ablation").blocks[0])
    assert lines["agsgtl, floor 1"][0] == "one: attention.floor: 0.5 → 1"


def test_another_selection_rule_is_a_change_of_what_it_chose_and_of_nothing_else(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_confirm(folder, "lda", {41: 0.5, 50: 0.6})
        write_confirm(folder, "agsgtl", {41: 0.5, 50: 0.6}, trials=4)
    for file in folders[1].rglob("*.json"):
        file.write_text(file.read_text().replace("target_validation", "target_probability"))
    assert [row.name.partition(",")[0] for row in build_table(folders).rows] == ["lda", "agsgtl (one)", "agsgtl (two)"]
    lines = build_view(folders, "ablation").blocks[0].lines
    assert [line[1].text for line in lines] == [
        "one: reference",
        "two: search.select: target_validation → target_probability",
    ]


def test_another_trainer_is_a_change(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_confirm(folder, "lda", {41: 0.5, 50: 0.6})
    for file in folders[1].rglob("*.json"):
        file.write_text(file.read_text().replace('"trainer_version": 1', '"trainer_version": 2'))
    assert "lda, trainer version 2" in texts(build_view(folders, "ablation").blocks[0])


def test_intervals_and_comparisons_are_those_of_the_cells(tmp_path: Path) -> None:
    seeds = {seed: 0.5 + 0.01 * (seed % 5) for seed in range(20)}
    write_confirm(tmp_path / "demo", "lda", seeds)
    write_confirm(tmp_path / "demo", "paper", {41: 0.8, 50: 0.9})
    line = build_view([tmp_path / "demo"], "intervals").blocks[0].lines[0]
    assert [text.text for text in line[:6]] == ["lda", PAIR, "52.0", "1.5", "20", "[51.3, 52.7]"]
    assert line[6].text.startswith("[51.")
    assert texts(build_view([tmp_path / "demo"], "intervals").blocks[0])["paper"][-1] == "from n = 20"
    compared = build_view([tmp_path / "demo"], "comparisons").blocks[0].lines[0]
    assert [text.text for text in compared][:4] == [PAIR, "paper", "lda", "no seed in common"]


def test_comparisons_print_effects_and_the_smallest_p(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {1: 0.5, 2: 0.5, 3: 0.5})
    write_confirm(tmp_path / "demo", "paper", {1: 0.51, 2: 0.52, 3: 0.53})
    (line,) = build_view([tmp_path / "demo"], "comparisons").blocks[0].lines
    found = [text.text for text in line]
    assert found[:5] == [PAIR, "paper", "lda", "2.0", "[-0.5, 4.5]"]
    assert found[5] == "1.13"  # 2 / sqrt(pi), as in test_hedges_g_by_hand
    assert found[7:] == [".25", ".25", ".25", "3"]


def test_ranks_are_tested_from_the_needed_number_of_pairs_only(tmp_path: Path) -> None:
    for index in range(6):
        for method, value in (("lda", 0.5), ("paper", 0.51 + 0.01 * index)):
            write_confirm(tmp_path / "demo", method, {41: value, 50: value}, f"toy/{index}")
        if index == 4:
            few = build_view([tmp_path / "demo"], "ranks")
    assert [block.key for block in few.blocks] == ["ranks:3"]
    assert "description only, a test of 2 methods needs 6 pairs" in few.lists[0].lines[0]
    many = build_view([tmp_path / "demo"], "ranks")
    assert texts(many.blocks[0]) == {"paper": ["1.00"], "lda": ["2.00"]}
    assert texts(many.blocks[1]) == {"lda": ["paper", ".0312"]}
    assert "critical difference" in many.lists[0].lines[0]
    assert "not independent" in many.lists[0].lines[-1]


def test_a_row_without_a_rank_is_named_with_the_pairs_that_it_lacks(tmp_path: Path) -> None:
    for pair in ("toy/a", "toy/b", "toy/c"):
        for method in ("lda", "paper", "agsgtl"):
            failed = method == "agsgtl" and pair == "toy/b"
            write_confirm(tmp_path / "demo", method, {41: 0.5, 50: "diverged" if failed else 0.6}, pair)
    assert (
        "k = 3: without a rank: agsgtl (not complete on toy/b)."
        in build_view([tmp_path / "demo"], "ranks").lists[0].lines
    )
    assert "Without a rank: agsgtl (not complete on toy/b)." in build_table([tmp_path / "demo"], "macro_f1").note


def test_spread_is_separated_where_draws_have_two_initialisations(tmp_path: Path) -> None:
    for init in (0, 1):  # draws .50/.52, .60/.62, .70/.72: as in test_statistics, by the analysis of variance
        values = {seed: 0.5 + 0.1 * index + 0.02 * init for index, seed in enumerate((41, 50, 61))}
        write_confirm(tmp_path / "demo", "lda", values, init=init)
    write_confirm(tmp_path / "demo", "paper", {41: 0.5, 50: 0.6})
    lines = texts(build_view([tmp_path / "demo"], "spread").blocks[0])
    assert lines["lda"][:2] == ["9.9", "1.4"]  # sqrt(.01 - .0002 / 2), sqrt(.0002)
    assert lines["paper"][-1].startswith("not separable")


def test_borrowed_winners_have_no_curse(tmp_path: Path) -> None:
    write_confirm(tmp_path / "ablation", "agsgtl", {41: 0.5, 50: 0.6}, trials=30)
    write_experiment(tmp_path / "ablation", confirm={"winners": "results/demo"})
    document = build_view([tmp_path / "ablation"], "selection")
    assert document.blocks[0].lines == ()
    assert any("ablation: chosen by another experiment's search" in line for line in document.lists[0].lines)


def test_selection_shows_the_curse_and_the_regret_after_evaluate(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5, 50: 0.6}, trials=2)
    before = build_view([tmp_path / "demo"], "selection")
    assert texts(before.blocks[0])[f"agsgtl/{PAIR}/3"][:3] == ["0.9000", "0.7000", "0.2000"]
    assert "evaluate RESULTS --trials" in before.lists[0].lines[0]
    write_search(tmp_path / "demo", "agsgtl", [0.9, 0.5], test=[[0.60, 0.62], [0.70, 0.74]])
    after = build_view([tmp_path / "demo"], "selection")
    assert texts(after.blocks[1])[f"agsgtl/{PAIR}/3"] == ["2", "0", "61.0", "1", "72.0", "11.0"]


def test_studies_of_two_experiments_are_told_apart(tmp_path: Path) -> None:
    entropy = distribution_to_json(FloatDistribution(0.0, 1.0))
    for name in ("one", "two"):
        write_confirm(tmp_path / name, "agsgtl", {41: 0.5, 50: 0.6}, trials=12)
        write_search(
            tmp_path / name,
            "agsgtl",
            [0.05 * n for n in range(12)],
            test=[[0.5, 0.6]] * 12,
            config=lambda n: {"loss.entropy": 0.05 * n, "attention.floor": 0.08 * ((7 * n) % 12)},
            distributions={"loss.entropy": entropy, "attention.floor": entropy},
        )
    folders = [tmp_path / "one", tmp_path / "two"]
    expected = {f"agsgtl/{PAIR}/3 (one)", f"agsgtl/{PAIR}/3 (two)"}
    for block in build_view(folders, "selection").blocks:
        assert {line[0].text for line in block.lines} == expected
    assert set(measure_importances(collect(folders))["study"]) == expected
    found = build_view(folders, "importances", measure=measure_importances)
    assert {line[-1].text for line in found.blocks[0].lines} == {"2"}
    assert found.lists == ()


def test_importances_are_pooled_and_the_studies_without_are_named_once(tmp_path: Path) -> None:
    for pair in (PAIR, "toy/b_to_a", "toy/c_to_d"):
        write_search(tmp_path / "demo", "agsgtl", [0.5], pair)
    studies = [f"agsgtl/{PAIR}/3"] * 2 + ["agsgtl/toy/b_to_a/3"] * 2
    paths, weights = ["loss.entropy", "adapt.keep"] * 2, [0.6, 0.4, 0.8, 0.2]
    frame = pd.DataFrame({"study": studies, "path": paths, "importance": weights})
    found = build_view([tmp_path / "demo"], "importances", measure=lambda _: frame)
    assert [[text.text for text in line] for line in found.blocks[0].lines] == [
        ["agsgtl", "loss.entropy", "70.0", "14.1", "2"],
        ["agsgtl", "adapt.keep", "30.0", "14.1", "2"],
    ]
    assert len(found.blocks[1].lines) == 4
    (gap,) = found.lists[0].lines
    assert gap.startswith("No importances of agsgtl/toy/c_to_d/3: that takes 10 complete trials")


def test_an_ablation_needs_two_settings_and_a_known_reference(demo: Path, tmp_path: Path) -> None:
    folder = demo
    with pytest.raises(UserError, match="needs two experiments"):
        build_view([folder], "ablation")
    write_confirm(tmp_path / "other", "agsgtl", {41: 0.1}, config={"adapt.epochs": 7})
    with pytest.raises(UserError, match="did you mean 'other'"):
        build_view([folder, tmp_path / "other"], "ablation", reference="othr")
    with pytest.raises(UserError, match="did you mean 'classes'"):
        build_view([folder], "class")


def test_a_method_that_the_reference_did_not_run_is_left_out_by_name(tmp_path: Path) -> None:
    for name, floor in (("one", 1.0), ("two", 0.5)):
        write_confirm(tmp_path / name, "agsgtl", {41: 0.5, 50: 0.6}, config={"attention.floor": floor})
    for name, epochs in (("one", 200), ("three", 7)):
        write_confirm(tmp_path / name, "fine_tune", {41: 0.5, 50: 0.6}, config={"adapt.epochs": epochs})
    found = build_view([tmp_path / name for name in ("one", "two", "three")], "ablation", reference="two")
    assert list(texts(found.blocks[0])) == ["agsgtl", "agsgtl, floor 1"]
    assert found.lists[1].lines == (
        "Left out, since two did not run them: fine_tune (one); fine_tune (three), 7 epochs.",
    )


def test_cost_counts_each_trial_once_by_method_and_part(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.6])  # two trials of two seeds, 2 s each
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5, 50: 0.6}, trials=2)
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    block = build_view([tmp_path / "demo"], "cost").blocks[0]
    assert [[text.text for text in line] for line in block.lines] == [
        ["agsgtl", "search", "2", "0", "0", "0.00", "40.0", "2.0", "100"],
        ["agsgtl", "confirm", "2", "0", "0", "0.00", "40.0", "2.0", "100"],
        ["lda", "confirm", "1", "0", "0", "0.00", "20.0", "2.0", "100"],
        ["all", "", "5", "0", "0", "0.00", "100.0", "2.0", "100"],
    ]


def test_cost_of_nothing_is_empty_and_not_nan(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (line,) = build_view([tmp_path / "demo"], "cost").blocks[0].lines
    assert [text.text for text in line] == ["all", "", "0", "0", "0", "0.00", "", "", ""]


def test_trials_tell_what_was_chosen_after_so_many_and_what_it_was_worth(tmp_path: Path) -> None:
    scores = [0.5, 0.4, 0.6, 0.6, 0.1, 0.2, 0.7]  # two trials share .6: the search takes the first
    worth = [(0.30, 0.32), (0.9, 0.9), (0.40, 0.42), (0.9, 0.9), (0.9, 0.9), (0.9, 0.9), (0.35, 0.37)]
    write_search(tmp_path / "demo", "agsgtl", scores, test=worth)
    write_search(tmp_path / "demo", "agsgtl", [0.2], pair="other/pair", test=[(0.11, 0.11)])
    methods, studies = build_view([tmp_path / "demo"], "trials").blocks
    assert methods.header == ("method", "k", "5 trials", "7 trials")
    assert texts(methods) == {"agsgtl": ["3", "40.0 / 26.0", "45.0 / 23.5"]}  # means over both pairs
    assert texts(studies)[f"agsgtl/{PAIR}/3"] == ["60.0 / 41.0", "70.0 / 36.0", "1 of 7"]


def test_trials_without_test_scores_say_how_to_get_them(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.5])
    found = build_view([tmp_path / "demo"], "trials")
    assert texts(found.blocks[1]) == {f"agsgtl/{PAIR}/3": ["50.0", "2 of 2"]}
    assert "evaluate RESULTS --trials" in found.lists[0].lines[1]


def test_trials_give_no_mean_worth_where_a_study_has_none(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.4], test=[[0.6, 0.62], [0.7, 0.74]])
    write_search(tmp_path / "demo", "agsgtl", [0.7, 0.4], pair="toy/b_to_a")
    methods, _ = build_view([tmp_path / "demo"], "trials").blocks
    assert [text.text for text in methods.lines[0]] == ["agsgtl", "3", "60.0"]


def test_trials_of_an_experiment_without_a_search_are_an_empty_table(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    assert build_view([tmp_path / "demo"], "trials").blocks[0].lines == ()


def test_comparisons_with_a_method_stand_against_it_and_not_against_the_best(demo: Path) -> None:
    (block,) = build_view([demo], "comparisons", reference="fine_tune").blocks
    assert block.title == "Macro F1: fine_tune against the others (% points)"
    assert {line[1].text for line in block.lines} == {"fine_tune"}
    differences = {line[2].text: line[3].text for line in block.lines}
    assert differences == {"source_only": "20.0", "agsgtl": "-10.0"}


def test_a_named_method_with_a_failed_seed_is_compared_over_the_others_and_gaps_are_named(tmp_path: Path) -> None:
    for pair in (PAIR, "toy/other"):
        write_confirm(tmp_path / "demo", "lda", {41: 0.4, 50: 0.5, 61: 0.6}, pair)
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5, 50: 0.7, 61: "diverged"})
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5, 50: 0.7, 61: 0.9}, "toy/other")
    write_confirm(tmp_path / "demo", "paper", {41: "diverged", 50: "diverged", 61: 0.5})
    found = build_view([tmp_path / "demo"], "comparisons", reference="agsgtl")
    lines = [[text.text for text in line] for line in found.blocks[0].lines]
    assert [(line[0], line[2], line[-1]) for line in lines] == [
        (PAIR, "lda", "2"),
        (PAIR, "paper", "0"),
        ("toy/other", "lda", "3"),
        ("average", "lda", "2"),
    ]
    assert found.lists[0].lines[1:] == (
        "Not compared, toy/other: paper (not planned).",
        "Not compared, average: paper (no seed with a number on every pair).",
    )


def test_rows_of_the_method_that_is_compared_are_not_compared_with_each_other(demo: Path, tmp_path: Path) -> None:
    write_confirm(tmp_path / "other", "agsgtl", {41: 0.1, 50: 0.2, 61: 0.3}, config={"loss.entropy": 0.5})
    (block,) = build_view([demo, tmp_path / "other"], "comparisons", reference="agsgtl").blocks
    assert {line[1].text for line in block.lines} == {"agsgtl (demo)", "agsgtl (other)"}
    assert {line[2].text for line in block.lines} == {"source_only", "fine_tune"}


def test_a_method_that_is_not_there_cannot_be_compared(demo: Path) -> None:
    with pytest.raises(
        UserError, match="--reference fine_tun: is no method of these results; did you mean 'fine_tune'"
    ):
        build_view([demo], "comparisons", reference="fine_tun")


def test_what_a_method_does_not_read_makes_no_second_row_and_no_ablation(tmp_path: Path) -> None:
    for name, change in (("one", {}), ("two", {"loss.entropy": 0.5, "adapt.epochs": 7})):
        write_confirm(tmp_path / name, "lda", {41: 0.50, 50: 0.60}, config=change)
        write_confirm(tmp_path / name, "agsgtl", {41: 0.50, 50: 0.60}, config=change)
    folders = [tmp_path / "one", tmp_path / "two"]
    intervals = build_view(folders, "intervals").blocks[0]
    assert [(line[0].text, line[4].text) for line in intervals.lines if line[1].text == PAIR] == [
        ("lda", "2"),
        ("agsgtl (one)", "2"),
        ("agsgtl (two), 7 epochs", "2"),
    ]
    assert list(texts(build_view(folders, "ablation").blocks[0])) == [
        "agsgtl",
        "agsgtl, 7 epochs, entropy term on, epochs 7",
    ]


def test_an_experiment_that_agrees_with_another_on_one_pair_keeps_its_row_there(tmp_path: Path) -> None:
    for name, entropy in (("one", 0.0), ("two", 0.5)):
        write_confirm(tmp_path / name, "agsgtl", {41: 0.5, 50: 0.6}, config={"loss.entropy": entropy})
        write_confirm(tmp_path / name, "agsgtl", {41: 0.3, 50: 0.4}, pair="toy/other", config={"loss.entropy": 0.1})
    block = build_view([tmp_path / "one", tmp_path / "two"], "intervals").blocks[0]
    assert {(line[0].text, line[1].text, line[4].text) for line in block.lines if line[1].text != "average"} == {
        (f"agsgtl ({name})", pair, "2") for name in ("one", "two") for pair in (PAIR, "toy/other")
    }

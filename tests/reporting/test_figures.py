"""Pictures are made for what the records hold, and for no more: test labels only of records that have scores."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from synthetic import PAIR, make_record, write_confirm, write_experiment, write_ledger, write_run, write_search

from agsgtl.data.falsecolours import false_colours
from agsgtl.data.pairing import load_pair
from agsgtl.reporting import figures, maps, resultplots, searchplots
from agsgtl.reporting.confirmed import read_confirmed
from agsgtl.reporting.figures import draw_all, sampled_front, slug, write_figures
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.record import Identity
from agsgtl.reporting.statistics import rank_methods
from agsgtl.reporting.tidy import collect
from agsgtl.seeds import Seeds

REAL = "indian_pines/west_to_east"


def names(folder: Path, told: list[str] | None = None, importances: pd.DataFrame | None = None) -> list[str]:
    """The names of all pictures of a ledger."""
    frame = collect([folder])
    confirmed = figures.confirmed_of(frame) if (frame["kind"] == "confirm").any() else None
    notify = (told if told is not None else []).append
    return [name for name, _ in draw_all(frame, confirmed, importances, notify)]


def test_pictures_are_written_as_png_and_pdf_with_the_size_of_a_column(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.6, 0.4], config=lambda n: {"loss.entropy": 0.1 + n})
    paths = write_figures([tmp_path / "demo"], tmp_path / "out")
    assert {path.suffix for path in paths} == {".png", ".pdf"}
    (history,) = [path for path in paths if path.name.startswith("history") and path.suffix == ".png"]
    assert matplotlib.image.imread(history).shape[1] == 700  # 3.5 inches at 200 dots an inch


def test_the_same_records_give_the_same_pictures(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.6], config=lambda n: {"loss.entropy": 0.1 + n})
    one, two = (write_figures([tmp_path / "demo"], tmp_path / out) for out in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    found = names(write_ledger(tmp_path / "demo", trials=3))
    assert not any(name.startswith(("accuracy_by_labels", "ranks", "map", "attention", "curves")) for name in found)
    assert slug(f"confusion_agsgtl_{PAIR}") in found
    assert slug(f"parallel_demo_agsgtl_{PAIR}_k3") in found


def test_maps_are_drawn_for_scored_records_of_unchanged_pairs_only(tmp_path: Path) -> None:
    pair = load_pair(REAL)
    for folder, value, fingerprint in (
        ("ok", 0.5, pair.fingerprint),
        ("unscored", None, pair.fingerprint),
        ("old", 0.5, "x"),
    ):
        write_confirm(tmp_path / folder, "lda", {41: value}, REAL, fingerprint=fingerprint)
        (trial,) = Ledger(tmp_path / folder).confirmations()
        trial.write_class_map(np.ones((1, *pair.target_cube.shape[:2]), np.uint8))
    told: list[str] = []
    assert slug(f"map_lda_{REAL}_seed41") in names(tmp_path / "ok")
    assert names(tmp_path / "unscored") == []
    assert not any(name.startswith("map") for name in names(tmp_path / "old", told))
    assert "have changed" in told[0]


def test_accuracy_by_labels_has_the_mean_and_the_t_band(tmp_path: Path) -> None:
    for k, values in ((1, {41: 0.4, 50: 0.6}), (10, {41: 0.7, 50: 0.8})):
        write_confirm(tmp_path / "demo", "agsgtl", values, per_class=k)
    figure = resultplots.plot_accuracy_by_labels(figures.confirmed_of(collect([tmp_path / "demo"])), "macro_f1")
    assert figure is not None
    (line,) = figure.axes[0].get_lines()
    assert line.get_xdata().tolist() == [1, 10]
    assert line.get_ydata().tolist() == pytest.approx([50, 75])
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert np.min(band[:, 1]) == pytest.approx(50 - 12.7062 * 10, abs=0.01)  # type: ignore[call-overload, index]


def test_a_history_shows_the_best_so_far_and_pruned_and_failed_trials_apart(tmp_path: Path) -> None:
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.4, 0.6])
    identity = Identity(experiment="demo", kind="search", method="agsgtl", pair=PAIR, per_class=3, number=3)
    ask, record = make_record(identity, [Seeds(labels=0, init=0)], status="failed", reason="diverged")
    write_run(Ledger(tmp_path / "demo").folder(identity), ask, record)
    axis = searchplots.plot_history(collect([tmp_path / "demo"]), "t").axes[0]
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert list(lines["best so far"].get_ydata()) == [0.5, 0.5, 0.6, 0.6]  # it goes on to the last trial
    assert list(lines["failed"].get_xdata()) == [3]


def test_learning_curves_ring_the_kept_epoch() -> None:
    curve = [{"epoch": epoch, "score": 0.1 * epoch} for epoch in (1, 2, 3)]
    axis = searchplots.plot_learning_curves({"41": curve}, {"41": 2}, "t").axes[0]
    assert [line.get_xydata().tolist() for line in axis.get_lines()][1] == [[2.0, 0.2]]


@pytest.mark.parametrize(
    ("seeds", "inits", "said"), [(9, 1, ", 8 of 9 seeds"), (8, 1, ""), (4, 2, ""), (5, 2, ", 8 of 10 runs of 5 seeds")]
)
def test_every_run_has_its_curve_and_the_title_says_how_many_are_shown(
    tmp_path: Path, seeds: int, inits: int, said: str
) -> None:
    for init in range(inits):
        write_confirm(tmp_path / "demo", "agsgtl", dict.fromkeys(range(41, 41 + seeds), 0.5), init=init)
    for record in (tmp_path / "demo").rglob("record.json"):
        record.with_name("progress.jsonl").write_text('{"epoch": 1, "score": 0.5}\n')
    confirmed = read_confirmed([tmp_path / "demo"])
    pictures = dict(draw_all(confirmed.frame, confirmed, None, [].append))
    (axis,) = pictures[slug(f"curves_agsgtl_{PAIR}")].axes
    assert axis.get_title().replace("\n", " ") == f"agsgtl, {PAIR}{said}"
    named = [line.get_label() for line in axis.get_lines() if not str(line.get_label()).startswith("_")]
    assert (
        named
        == [str(seed) + (f".{init}" if init else "") for seed in range(41, 41 + seeds) for init in range(inits)][:8]
    )


def test_a_map_shows_the_scene_in_the_bands_that_its_wavelengths_tell(tmp_path: Path) -> None:
    pair = load_pair(REAL)
    assert pair.target_wavelengths_nm is not None
    write_confirm(tmp_path / "demo", "lda", {41: 0.5}, REAL, fingerprint=pair.fingerprint)
    (trial,) = Ledger(tmp_path / "demo").confirmations()
    trial.write_class_map(np.ones((1, *pair.target_cube.shape[:2]), np.uint8))
    ((_, figure),) = figures.draw_scenes(read_confirmed([tmp_path / "demo"]), [].append)
    shown = figure.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, false_colours(pair.target_cube, pair.target_wavelengths_nm))
    assert not np.array_equal(shown, false_colours(pair.target_cube))


def test_errors_are_right() -> None:
    scene, truth = np.zeros((6, 5, 3)), np.zeros((6, 5), np.uint8)
    truth[0, :4] = [1, 1, 2, 2]
    found = np.full((6, 5), 1, np.uint8)
    figure = maps.plot_maps(scene, truth, found, ["a", "b"], ["#ff0000", "#00ff00"])
    shown = figure.axes[3].get_images()[0].get_array()
    assert shown is not None
    assert shown[0].tolist() == [1, 1, 2, 2, 0]
    assert shown[1:].max() == 0
    assert figure.axes[3].get_title() == "errors (50.0 %)"
    assert isinstance(maps.plot_attention(scene[:, :, 0], scene, "gate"), Figure)


def test_rows_of_a_confusion_matrix_are_percent_of_the_truth() -> None:
    figure = resultplots.plot_confusion(np.array([[8, 2], [0, 0]]), ["a", "b"], "t")
    shown = figure.axes[0].get_images()[0].get_array()
    assert shown is not None
    assert shown.tolist() == [[80, 20], [0, 0]]


def test_ranks_are_drawn_with_and_without_a_test() -> None:
    few, many = (pd.DataFrame(np.random.default_rng(0).random((3, n)), index=list("abc")) for n in (3, 8))
    assert "a test needs 7 pairs" in resultplots.plot_ranks(rank_methods(few)).axes[0].get_title()
    assert "critical difference" in resultplots.plot_ranks(rank_methods(many)).axes[0].get_title()


def test_the_front_of_a_sampled_count_is_score_up_and_labels_down(tmp_path: Path) -> None:
    counts, scores = [1, 3, 5, 10], [0.5, 0.4, 0.6, 0.6]
    write_search(tmp_path / "demo", "agsgtl", scores, per_class=None, config=lambda n: {"labels.per_class": counts[n]})
    front = sampled_front(collect([tmp_path / "demo"]))
    assert front is not None
    assert front["labels.per_class"].tolist() == [1, 5]
    importances = pd.DataFrame({"study": [f"agsgtl/{PAIR}/sampled"], "path": ["labels.per_class"], "importance": [1.0]})
    assert "importances_agsgtl" in names(tmp_path / "demo", importances=importances)


def test_a_pair_without_a_record_has_no_maps_and_says_so(tmp_path: Path) -> None:
    write_experiment(tmp_path / "demo", confirm_cells=[{"method": "lda", "pair": PAIR, "per_class": 3, "seed": 41}])
    told: list[str] = []
    assert list(figures.draw_scenes(read_confirmed([tmp_path / "demo"]), told.append)) == []
    assert told == [f"no maps of {PAIR}: no record yet"]


def test_each_study_has_a_front_of_its_own(tmp_path: Path) -> None:
    counts = [1, 3]
    for name, scores in (("one", [0.5, 0.6]), ("two", [0.3, 0.4])):
        folder = tmp_path / name
        write_search(folder, "agsgtl", scores, per_class=None, config=lambda n: {"labels.per_class": counts[n]})
    front = sampled_front(collect([tmp_path / "one", tmp_path / "two"]))
    assert front is not None
    assert front.groupby("study")["record_score"].agg(list).to_dict() == {
        f"agsgtl/{PAIR}/sampled (one)": [0.5, 0.6],
        f"agsgtl/{PAIR}/sampled (two)": [0.3, 0.4],
    }
    write_confirm(tmp_path / "one", "agsgtl", {41: 0.5})
    curve = resultplots.plot_accuracy_by_labels(read_confirmed([tmp_path / "one"]), "macro_f1", front)
    assert curve is not None
    assert "front of agsgtl (two) (validation)" in curve.axes[0].get_legend_handles_labels()[1]

"""Every picture that the records of some experiments allow, as PNG and PDF."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agsgtl.data.falsecolours import false_colours
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.data.pools import LabelImage
from agsgtl.data.vault import LabelVault
from agsgtl.errors import UserError
from agsgtl.reporting.confirmed import Confirmed, confirmed_of
from agsgtl.reporting.ledger import TrialFolder
from agsgtl.reporting.maps import plot_attention, plot_maps
from agsgtl.reporting.marks import complete_means, same_count
from agsgtl.reporting.plan import read_plan
from agsgtl.reporting.plotstyle import save_figure
from agsgtl.reporting.resultplots import plot_accuracy_by_labels, plot_confusion, plot_ranks
from agsgtl.reporting.rows import KEYS
from agsgtl.reporting.searchplots import (
    plot_history,
    plot_importances,
    plot_learning_curves,
    plot_parallel,
    plot_slices,
    searched_paths,
)
from agsgtl.reporting.statistics import STUDY, rank_methods
from agsgtl.reporting.statviews import Measure, importance_gaps, search_studies
from agsgtl.reporting.store import stored_frame
from agsgtl.reporting.tidy import split_by, study_names

Named = tuple[str, Figure]
"""A file name without its ending, and the picture."""

Wanted = Callable[[str], bool]
"""Whether one more picture of a kind (`confusion`, `history`, ...) is to be drawn."""

_MOST_CURVES = 8


def write_figures(
    results: Sequence[Path],
    out: Path,
    measure: Measure | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Writes every picture under `out`; the paths, PNG and PDF.

    Args:
        results: folders that sweeps wrote.
        out: a folder.
        measure: `tuning.importances.measure_importances`; without it no importances are drawn.
        notify: told why a picture cannot be made.

    Raises:
        UserError: as `read_confirmed`, or the folder cannot be written to.
    """
    frame = stored_frame(results)
    plans = tuple(read_plan(path) for path in results)
    confirmed = confirmed_of(frame, plans) if (frame["kind"] == "confirm").any() else None
    importances = measure(frame) if measure else None
    for line in importance_gaps(importances, search_studies(frame)):
        notify(line)
    paths: list[Path] = []
    for name, figure in draw_all(frame, confirmed, importances, notify):
        paths += save_figure(figure, out / name)
    return paths


def draw_all(
    frame: pd.DataFrame,
    confirmed: Confirmed | None,
    importances: pd.DataFrame | None = None,
    notify: Callable[[str], None] = lambda _: None,
    wanted: Wanted = lambda _: True,
) -> Iterator[Named]:
    """The pictures of a tidy frame one by one: results, scenes, then each study's search; see `write_figures`."""
    if confirmed is not None:
        yield from draw_results(confirmed, frame, wanted)
        yield from draw_scenes(confirmed, notify, wanted)
    yield from draw_searches(frame, importances, wanted)


def draw_results(confirmed: Confirmed, frame: pd.DataFrame, wanted: Wanted = lambda _: True) -> Iterator[Named]:
    """Accuracy by labelled count, ranks over pairs, confusion matrices and learning curves."""
    curve = plot_accuracy_by_labels(confirmed, "macro_f1", sampled_front(frame))
    if curve is not None:
        yield "accuracy_by_labels", curve
    cells = confirmed.cells("macro_f1")
    for rivals in same_count(confirmed.rows):
        means = complete_means(rivals, confirmed.pairs, cells)
        if means.shape[0] > 1 and means.shape[1] > 2:
            yield f"ranks_k{rivals[0].per_class}", plot_ranks(rank_methods(means))
    for row in confirmed.rows:
        for pair in confirmed.pairs:
            records = _records(confirmed, row.key, pair)
            title = f"{row.name}, {pair}"
            if records["macro_f1"].notna().any() and wanted("confusion"):
                yield slug(f"confusion_{row.name}_{pair}"), _draw_confusion(records, title)
            if any((_folder(record) / "progress.jsonl").exists() for _, record in records.iterrows()) and wanted(
                "curves"
            ):
                yield slug(f"curves_{row.name}_{pair}"), _draw_curves(records, title)


def draw_searches(
    frame: pd.DataFrame, importances: pd.DataFrame | None, wanted: Wanted = lambda _: True
) -> Iterator[Named]:
    """History, parallel coordinates, slices and importances of every study."""
    search = frame[frame["kind"] == "search"]
    for (named, *key), study in split_by(search.assign(study=study_names(search)), ["study", *STUDY]):
        experiment, method, pair, per_class = key
        sampled = pd.isna(per_class)
        name = f"{experiment}_{method}_{pair}_{'sampled' if sampled else f'k{per_class}'}"
        title = f"{method}, {pair}, {'k sampled' if sampled else f'k = {per_class}'}"
        top = list(_weights_of(importances, named).index[:2]) or searched_paths(study)[:2]
        if wanted("history"):
            yield slug(f"history_{name}"), plot_history(study, title)
        if searched_paths(study) and study["record_score"].notna().any():
            if wanted("parallel"):
                yield slug(f"parallel_{name}"), plot_parallel(study, title)
            if wanted("slices"):
                yield slug(f"slices_{name}"), plot_slices(study, top, title)
    if importances is not None and len(importances):
        methods = importances["study"].str.split("/").str[0]
        for method in sorted(set(methods)):
            picture = plot_importances(importances[methods == method], f"{method}, all studies")
            yield slug(f"importances_{method}"), picture


def draw_scenes(
    confirmed: Confirmed, notify: Callable[[str], None], wanted: Wanted = lambda _: True
) -> Iterator[Named]:
    """Class maps beside false colours, test labels and errors, and attention maps: the median seed of each cell.

    Only records with scores are drawn: the vault was opened for them.
    """
    for pair_name in confirmed.pairs:
        try:
            pair, test_labels = _open_pair(confirmed, pair_name)
        except (UserError, OSError) as error:
            notify(f"no maps of {pair_name}: {error}")
            continue
        for row in confirmed.rows:
            scored = _records(confirmed, row.key, pair_name).dropna(subset=["macro_f1"]).sort_values("macro_f1")
            if scored.empty:
                continue
            record = scored.iloc[(len(scored) - 1) // 2]
            folder = TrialFolder(_folder(record))
            name = f"{row.name}_{pair_name}_seed{record['number']}"
            if (folder.path / "class_map.npy").exists() and wanted("map"):
                named = (pair.class_names, pair.colours)
                yield slug(f"map_{name}"), plot_maps(_target_scene(pair), test_labels, folder.class_map()[0], *named)
            gate = folder.path / "maps" / "target" / "attention.npy"
            if gate.exists() and wanted("attention"):
                values = np.load(gate, allow_pickle=False)
                yield slug(f"attention_{name}"), plot_attention(values, _target_scene(pair), row.name)


def _target_scene(pair: DomainPair) -> NDArray[np.float64]:
    return false_colours(pair.target_cube, pair.target_wavelengths_nm)


def sampled_front(frame: pd.DataFrame) -> pd.DataFrame | None:
    """The Pareto front (score up, k + v down) of each study where Optuna sampled k; None where it did not.

    Returns:
        Columns `study`, `pair`, `labels.per_class` and `record_score`, a row a trial of a front.
    """
    sampled = frame[(frame["kind"] == "search") & frame["per_class"].isna() & (frame["status"] == "complete")]
    if sampled.empty:
        return None
    trials = sampled.assign(study=study_names(sampled)).drop_duplicates([*STUDY, "number"])
    trials["labels"] = trials["labels.per_class"] + trials["labels.validation_per_class"]
    trials = trials.sort_values(["study", "labels", "record_score"], ascending=[True, True, False])
    best_before = trials.groupby("study")["record_score"].transform(
        lambda scores: scores.cummax().shift(fill_value=-np.inf)
    )
    return trials.loc[trials["record_score"] > best_before, ["study", "pair", "labels.per_class", "record_score"]]


def slug(name: str) -> str:
    """A file name of plain characters."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def _draw_confusion(records: pd.DataFrame, title: str) -> Figure:
    """The confusion matrix summed over the runs with scores."""
    scored = records[records["macro_f1"].notna()]
    scores = [TrialFolder(_folder(record)).scores()[0] for _, record in scored.iterrows()]
    counts = np.sum([np.array(one.confusion_matrix) for one in scores], axis=0)
    return plot_confusion(counts, scores[0].class_names, f"{title}, {_how_many(scored)}")


def _draw_curves(records: pd.DataFrame, title: str) -> Figure:
    """The curves of the first runs, each named by its folder: the seed, `<seed>.<i>` where it is a further initialisation."""
    first = records.head(_MOST_CURVES)
    runs = {_folder(record).name: record for _, record in first.iterrows()}
    curves = {name: TrialFolder(_folder(record)).progress() for name, record in runs.items()}
    kept = {name: int(record["epoch"]) for name, record in runs.items() if pd.notna(record["epoch"])}
    shown = f", {len(first)} of {_how_many(records)}" if len(first) < len(records) else ""
    return plot_learning_curves(curves, kept, title + shown)


def _how_many(records: pd.DataFrame) -> str:
    """How many seeds some confirmations have, and how many runs where a seed has several."""
    seeds = records["number"].nunique()
    return f"{seeds} seeds" if seeds == len(records) else f"{len(records)} runs of {seeds} seeds"


def _weights_of(importances: pd.DataFrame | None, study: str) -> pd.Series[Any]:
    if importances is None:
        return pd.Series(dtype=float)
    weights = importances[importances["study"] == study].groupby("path")["importance"].mean()
    return weights.sort_values(ascending=False)


def _records(confirmed: Confirmed, key: tuple[str, int, str], pair: str) -> pd.DataFrame:
    records = confirmed.records
    return records[(records[KEYS] == list(key)).all(axis=1) & (records["pair"] == pair)].sort_values(["number", "init"])


def _folder(record: pd.Series[Any]) -> Path:
    return Path(str(record["results"])) / str(record["record"])


def _open_pair(confirmed: Confirmed, name: str) -> tuple[DomainPair, LabelImage]:
    """The pair and its test labels; a user's own pair from the file that its experiment names."""
    place = confirmed.pair_files.get(name, name)
    fingerprints = confirmed.records.loc[confirmed.records["pair"] == name, "pair_fingerprint"]
    if fingerprints.empty:
        raise UserError("no record yet")
    fingerprint = str(fingerprints.iloc[0])
    return load_pair(place), LabelVault(place).test_labels(fingerprint)

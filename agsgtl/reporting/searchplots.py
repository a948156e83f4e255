"""Pictures of a search: history, parallel coordinates, importances, slices, and learning curves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agsgtl.config import HYPERPARAMETERS
from agsgtl.reporting.plotstyle import COLUMN_IN, PAGE_IN, colour_of, fold_title, line_of, marker_of, new_figure, styled

_COLOURS = "viridis"
_LOG_FROM = 50.0
"""A positive range whose ends lie this far apart is drawn on a logarithmic axis."""

_MOST_LINES = 300
_NARROW_BELOW = 4
"""Fewer axes than this fit into one column."""


def per_trial(study: pd.DataFrame) -> pd.DataFrame:
    """One row a trial of a study's rows of the tidy frame, in the order of trial numbers."""
    return study.drop_duplicates("number").sort_values("number")


def searched_paths(study: pd.DataFrame) -> list[str]:
    """The hyperparameters that differ between a study's trials, in the order of `settings.py`."""
    trials = per_trial(study)
    return [path for path in HYPERPARAMETERS if path in trials and trials[path].nunique(dropna=False) > 1]


@styled
def plot_history(study: pd.DataFrame, title: str) -> Figure:
    """Scores by trial number, the best so far as a line; pruned and failed trials apart."""
    trials = per_trial(study)
    figure, (axis,) = new_figure(COLUMN_IN, 2.4)
    done = trials[trials["status"] == "complete"]
    axis.plot(done["number"], done["record_score"], marker_of(0), color=colour_of(0), alpha=0.6, label="complete")
    best = trials["record_score"].where(trials["status"] == "complete").cummax().ffill()
    axis.step(trials["number"], best, where="post", color=colour_of(1), label="best so far")
    pruned = trials[(trials["status"] == "pruned") & trials["record_best_score"].notna()]
    if len(pruned):
        axis.plot(pruned["number"], pruned["record_best_score"], "x", color="#888888", label="pruned: best seen")
    failed = trials[trials["status"] == "failed"]
    if len(failed):
        bottom = [axis.get_ylim()[0]] * len(failed)
        axis.plot(failed["number"], bottom, "|", color="#000000", markersize=7, label="failed", clip_on=False)
    axis.set(xlabel="trial", ylabel="selection score", title=fold_title(title))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1.0, handletextpad=0.4)
    return figure


@styled
def plot_parallel(study: pd.DataFrame, title: str, most: int = 8) -> Figure:
    """Parallel coordinates of the searched hyperparameters, of which there must be one, coloured by score.

    Pruned trials are dotted: their score is that of the epoch at which they stopped.
    """
    trials = per_trial(study)
    trials = trials[trials["record_score"].notna()].sort_values("record_score")
    paths = searched_paths(study)[:most]
    shown = trials.iloc[np.unique(np.linspace(0, len(trials) - 1, _MOST_LINES).astype(int))]
    if len(shown) < len(trials):
        title += f" ({len(shown)} of {len(trials)} trials, evenly by rank)"
    if (shown["status"] == "pruned").any():
        title += "; dotted: pruned"
    figure, (axis,) = new_figure(COLUMN_IN if len(paths) < _NARROW_BELOW else PAGE_IN, 3.0)
    colours = _parallel_lines(shown, paths)
    axis.add_collection(colours)
    _draw_scales(axis, shown, paths)
    axis.set_title(fold_title(title, figure.get_figwidth()), pad=16)
    figure.colorbar(colours, ax=axis, label="selection score", pad=0.01)
    return figure


@styled
def plot_importances(importances: pd.DataFrame, title: str) -> Figure:
    """Importances by hyperparameter, a dot a study and the mean as a bar.

    Args:
        importances: columns `study`, `path`, `importance` (fractions that sum to 1 within a study).
        title: above the picture.
    """
    means = importances.groupby("path")["importance"].mean().sort_values()
    figure, (axis,) = new_figure(COLUMN_IN, 0.8 + 0.22 * len(means))
    axis.barh(range(len(means)), means.to_numpy(), color=colour_of(5), height=0.6)
    for index, path in enumerate(means.index):
        values = importances.loc[importances["path"] == path, "importance"]
        axis.plot(values, [index] * len(values), "o", color=colour_of(0), markersize=3, clip_on=False)
    axis.set_yticks(range(len(means)), list(means.index))
    axis.set(title=fold_title(title), xlim=(0, None))
    axis.set_xlabel("importance (dots: studies, bar: mean)", loc="right")
    return figure


@styled
def plot_slices(study: pd.DataFrame, paths: Sequence[str], title: str) -> Figure:
    """Score against each of some hyperparameters, one at least."""
    trials = per_trial(study)
    trials = trials[trials["record_score"].notna()]
    figure, axes = new_figure(COLUMN_IN if len(paths) == 1 else PAGE_IN * 0.7, 2.2, 1, len(paths), sharey=True)
    for axis, path in zip(axes, paths, strict=True):
        points = _draw_slice(axis, trials, path)
    axes[0].set_ylabel("selection score")
    figure.suptitle(title + ("; crosses: pruned" if (trials["status"] == "pruned").any() else ""), fontsize=8)
    bar = figure.colorbar(points, ax=axes, label="trial", pad=0.01)
    bar.locator = MaxNLocator(integer=True, nbins=6)
    bar.update_ticks()
    return figure


@styled
def plot_learning_curves(
    curves: Mapping[str, Sequence[Mapping[str, Any]]], kept: Mapping[str, int], title: str
) -> Figure:
    """Selection score of the epoch that would be kept, by epoch, a curve a seed, with a ring at the epoch that was kept.

    Args:
        curves: by name, the lines of `progress.jsonl`, with `epoch` and `score`.
        kept: by name, the chosen epoch.
        title: above the picture.
    """
    figure, (axis,) = new_figure(COLUMN_IN, 2.6)
    for index, (name, lines) in enumerate(curves.items()):
        points = [(line["epoch"], line["score"]) for line in lines if line.get("score") is not None]
        if not points:
            continue
        epochs, scores = zip(*points, strict=True)
        axis.plot(epochs, scores, color=colour_of(index), linestyle=line_of(index), label=name)
        at = dict(points).get(kept.get(name, -1))
        if at is not None:
            axis.plot(kept[name], at, "o", color=colour_of(index), fillstyle="none", markersize=7, markeredgewidth=1.2)
    axis.set(xlabel="epoch (ring: the one kept)", ylabel="score of the kept epoch", title=fold_title(title))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(title="seed", title_fontsize=7, loc="outside lower center", ncols=6, columnspacing=1.0)
    return figure


def _parallel_lines(shown: pd.DataFrame, paths: Sequence[str]) -> LineCollection:
    heights = np.column_stack([_unit_positions(shown[path]) for path in [*paths, "record_score"]])
    lines = [np.column_stack([np.arange(len(line)), line]) for line in heights]
    styles = ["dotted" if status == "pruned" else "solid" for status in shown["status"]]
    colours = LineCollection(lines, cmap=_COLOURS, linewidth=0.9, alpha=0.8, linestyles=styles)
    colours.set_array(shown["record_score"].to_numpy())
    return colours


def _draw_scales(axis: Axes, shown: pd.DataFrame, paths: Sequence[str]) -> None:
    """A vertical line a hyperparameter with the ends of its range, its name below, broken to fit between neighbours."""
    for index, path in enumerate([*paths, "record_score"]):
        low, high = _ends(shown[path])
        axis.axvline(index, color="#444444", linewidth=0.6)
        axis.text(index, -0.04, low, ha="center", va="top", fontsize=6)
        axis.text(index, 1.04, high, ha="center", va="bottom", fontsize=6)
    names = [re.sub(r"([._])", r"\1\n", path) for path in paths]
    axis.set_xticks(range(len(paths) + 1), [*names, "score"], fontsize=6.5)
    axis.tick_params(axis="x", length=0, pad=15)
    axis.set(xlim=(-0.02, len(paths) + 0.02), ylim=(0, 1), yticks=[])
    axis.spines[:].set_visible(False)


def _draw_slice(axis: Axes, trials: pd.DataFrame, path: str) -> PathCollection:
    """Score against one hyperparameter; words stand in alphabetical order, away from the edges."""
    values = trials[path]
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    words = [] if numeric else sorted(values.astype("string").fillna("none").unique())
    places = values.astype(float) if numeric else values.astype("string").fillna("none").map(words.index)
    style: Any = {"cmap": _COLOURS, "vmin": trials["number"].min(), "vmax": trials["number"].max(), "s": 12}
    pruned = trials["status"] == "pruned"
    for part, marker in ((pruned, "x"), (~pruned, "o")):
        here = trials[part]
        points = axis.scatter(places[part], here["record_score"], c=here["number"], marker=marker, **style)
    if numeric and _is_logarithmic(values):
        axis.set_xscale("log")
    elif words:
        axis.set_xticks(range(len(words)), [word.lower() if word in ("True", "False") else word for word in words])
        axis.set_xlim(-0.5, len(words) - 0.5)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=pd.api.types.is_integer_dtype(values)))
    axis.set_xlabel(path)
    return points


def _unit_positions(values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Where values stand between 0 and 1 on their axis."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        order = {value: index for index, value in enumerate(sorted(values.astype("string").unique()))}
        numbers = values.astype("string").map(order).to_numpy(float)
    else:
        numbers = values.to_numpy(float)
        numbers = np.log(numbers) if _is_logarithmic(values) else numbers
    span = np.ptp(numbers)
    return (numbers - numbers.min()) / span if span else np.full(len(numbers), 0.5)


def _ends(values: pd.Series[Any]) -> tuple[str, str]:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return f"{float(values.min()):.3g}", f"{float(values.max()):.3g}"
    words = sorted(values.astype("string").str.lower().unique())
    return words[0], words[-1]


def _is_logarithmic(values: pd.Series[Any]) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() >= _LOG_FROM)

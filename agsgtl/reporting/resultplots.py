"""Pictures of results: accuracy by labelled pixels, ranks with their critical difference, confusion matrices."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agsgtl.reporting.cells import TITLES
from agsgtl.reporting.confirmed import Confirmed
from agsgtl.reporting.plotstyle import COLUMN_IN, PAGE_IN, colour_of, fold_title, marker_of, new_figure, styled
from agsgtl.reporting.statistics import Ranks, t_interval

_PANELS_PER_ROW = 3
_CLASSES_IN_A_COLUMN = 9
_LETTERS_IN_A_NAME = 18
_DOTS = (":", "-.", "--", (0, (1, 4)))


@styled
def plot_accuracy_by_labels(confirmed: Confirmed, metric: str, front: pd.DataFrame | None = None) -> Figure | None:
    """Accuracy by labelled pixels a class, a panel a pair, bands = 95 % t intervals.

    None where there is one k only and no front.

    Args:
        confirmed: the records.
        metric: a metric of the table.
        front: where Optuna sampled the count: columns `study`, `pair`, `labels.per_class`, `record_score` of the trials on
            each study's front.
    """
    counts = sorted({row.per_class for row in confirmed.rows})
    if len(counts) < 2 and front is None:
        return None
    sampled = [] if front is None else [int(front["labels.per_class"].min()), int(front["labels.per_class"].max())]
    ticks = sorted({*counts, *sampled})
    cells = confirmed.cells(metric)
    methods = list(dict.fromkeys((row.method, row.tag) for row in confirmed.rows))
    columns = min(len(confirmed.pairs), _PANELS_PER_ROW)
    rows = -(-len(confirmed.pairs) // columns)
    width = COLUMN_IN if columns == 1 else PAGE_IN
    figure, axes = new_figure(width, 2.3 * rows + 0.3, rows, columns, sharex=True)
    for axis, pair in zip(axes, confirmed.pairs, strict=False):
        for index, (method, tag) in enumerate(methods):
            family = [row for row in confirmed.rows if (row.method, row.tag) == (method, tag)]
            points = {row.per_class: list(cells[row, pair].values.values()) for row in family}
            _draw_band(axis, points, index, method + (f" ({tag})" if tag else ""))
        if front is not None:
            _draw_fronts(axis, front[front["pair"] == pair])
        axis.set(title=pair, xscale="log", xlabel="labelled pixels a class")
        axis.set_xticks(ticks, [str(k) for k in ticks])
        axis.minorticks_off()
    for axis in axes[len(confirmed.pairs) :]:
        axis.set_visible(False)
    axes[0].set_ylabel(f"{TITLES[metric]} (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)) if columns > 1 else 2)
    return figure


@styled
def plot_ranks(ranks: Ranks) -> Figure:
    """Mean ranks on a line, and the critical difference where there are pairs enough (Demsar 2006, figure 1)."""
    ordered = sorted(ranks.mean_rank.items(), key=lambda item: -item[1])
    figure, (axis,) = new_figure(COLUMN_IN, 0.8 + 0.2 * len(ordered))
    axis.set(xlim=(0.8, len(ordered) + 0.2), ylim=(-0.7, len(ordered) - 0.3))
    axis.hlines(range(len(ordered)), 0.8, [rank for _, rank in ordered], color="#BBBBBB", linewidth=0.8)
    axis.plot([rank for _, rank in ordered], range(len(ordered)), marker_of(0), color=colour_of(0))
    axis.set_yticks(range(len(ordered)), [f"{name} ({rank:.2f})" for name, rank in ordered])
    axis.set_xlabel(f"mean rank over {ranks.pairs} pairs (1 = best)", loc="right")
    if ranks.critical_difference is not None:
        best = ordered[-1][1]
        axis.axvspan(best, best + ranks.critical_difference, color=colour_of(5), alpha=0.25, linewidth=0)
        axis.set_title(f"shaded: critical difference {ranks.critical_difference:.2f} from the best", x=1, ha="right")
    else:
        axis.set_title(f"description only: a test needs {ranks.needed} pairs", x=1, ha="right")
    return figure


@styled
def plot_confusion(counts: NDArray[np.integer], class_names: Sequence[str], title: str) -> Figure:
    """A confusion matrix with rows (truth) in percent.

    Args:
        counts: (K, K) pixels, rows truth, columns prediction, summed over records.
        class_names: K names.
        title: above the picture.
    """
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = COLUMN_IN if len(class_names) <= _CLASSES_IN_A_COLUMN else PAGE_IN
    figure, (axis,) = new_figure(size, size * 0.95)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*shares.shape):
        if shares[row, column] >= 0.5:
            colour = "white" if shares[row, column] > 60 else "black"
            axis.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=6.5)
    names = [_fold_name(name) for name in class_names]
    axis.set_xticks(range(len(names)), names, rotation=90)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted (% of the true class's test pixels)", ylabel="truth", title=fold_title(title, size))
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure


def _fold_name(name: str) -> str:
    """A long class name in lines: `buildings-grass-trees-drives` would take half of a column."""
    return "\n".join(textwrap.wrap(name.replace("-", "- "), _LETTERS_IN_A_NAME)).replace("- ", "-")


def _draw_fronts(axis: Axes, fronts: pd.DataFrame) -> None:
    """One pair's fronts, a line a study; where there are several each is named by what stands beside the pair in its name."""
    several = fronts["study"].nunique() > 1
    for index, (study, front) in enumerate(fronts.sort_values("labels.per_class").groupby("study")):
        name = str(study).replace(f"/{front['pair'].iloc[0]}/sampled", "")
        label = f"front of {name} (validation)" if several else "front (validation)"
        axis.plot(
            front["labels.per_class"], 100 * front["record_score"], color="k", linestyle=_DOTS[index % 4], label=label
        )


def _draw_band(axis: Axes, points: dict[int, list[float]], index: int, name: str) -> None:
    counts = sorted(k for k, values in points.items() if values)
    if not counts:
        return
    means = [100 * float(np.mean(points[k])) for k in counts]
    bands = [t_interval(points[k]) or (np.nan, np.nan) for k in counts]
    axis.plot(counts, means, color=colour_of(index), marker=marker_of(index), label=name)
    low, high = zip(*bands, strict=True)
    axis.fill_between(
        counts, 100 * np.array(low), 100 * np.array(high), color=colour_of(index), alpha=0.15, linewidth=0
    )

"""How every picture looks: sized for a two-column paper, safe for colour-blind readers, without global state."""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agsgtl.durable import replace

COLUMN_IN, PAGE_IN = 3.5, 7.16
"""Widths of one column and of the page in inches (IEEE)."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
"""Okabe and Ito 2008, Color Universal Design, strongest first; markers tell apart what colours might not."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
FORMATS = ("png", "pdf")

_Arguments = ParamSpec("_Arguments")
_Drawn = TypeVar("_Drawn")

_LETTERS_PER_INCH = 14
"""Of a title in 8 points, so that it stands above its axes and not beyond the figure."""

_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "agsgtl",
}


def styled(draw: Callable[_Arguments, _Drawn]) -> Callable[_Arguments, _Drawn]:
    """A drawing function whose texts and lines follow this file's style, wherever it is called from."""

    @functools.wraps(draw)
    def draw_in_style(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Drawn:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return draw_in_style


def new_figure(
    width_in: float, height_in: float, rows: int = 1, columns: int = 1, **kwargs: Any
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    return figure, [axis for line in axes for axis in line]


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes `<stem>.png` and `<stem>.pdf`, each whole or not at all; their paths."""
    settle(figure)
    paths = [stem.parent / f"{stem.name}.{format}" for format in formats]
    for path, format in zip(paths, formats, strict=True):
        # A PDF holds its time of creation unless told otherwise; the same records must give the same bytes.
        metadata = {"CreationDate": None} if format == "pdf" else {}
        with matplotlib.rc_context(_STYLE):
            replace(path, functools.partial(_save, figure, format, metadata))
    return paths


def settle(figure: Figure) -> None:
    """Lays a figure out once and for all: left to itself, Matplotlib does so twice in every save."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with matplotlib.rc_context(_STYLE):
            engine.execute(figure)
        figure.set_layout_engine("none")


def colour_of(index: int) -> str:
    """The colour of the i-th series."""
    return OKABE_ITO[index % len(OKABE_ITO)]


def marker_of(index: int) -> str:
    """The marker of the i-th series."""
    return MARKERS[index % len(MARKERS)]


def line_of(index: int) -> str | tuple[int, tuple[float, ...]]:
    """The line style of the i-th series."""
    return LINES[index % len(LINES)]


def fold_title(title: str, width_in: float = COLUMN_IN) -> str:
    r"""A title in as many lines as a figure of this width needs, broken after commas and semicolons only.

    >>> fold_title("source_and_target, 12 epochs, indian_pines/west_to_east")
    'source_and_target, 12 epochs,\nindian_pines/west_to_east'
    """
    kept_together = re.sub(r"(?<![,;]) ", "\N{NO-BREAK SPACE}", title)
    lines = textwrap.wrap(kept_together, int(width_in * _LETTERS_PER_INCH), break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _save(figure: Figure, format: str, metadata: dict[str, Any], path: Path) -> None:
    figure.savefig(path, format=format, metadata=metadata)

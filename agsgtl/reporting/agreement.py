"""When a printed number is that of a cell: compared to the decimals that it is printed with."""

from __future__ import annotations

import re
from typing import Literal

from agsgtl.reporting.cells import Cell
from agsgtl.reporting.layout import interval_text, percent
from agsgtl.reporting.statistics import bca_interval, t_interval

Kind = Literal["mean", "sd", "interval", "other"]
"""What a number of a table is of its cell; of `other`, nothing that could be compared."""

SIGN = r"(?:(?<![^\s(\[])[-−])?"
"""A minus that belongs to the number behind it: none between two words or numbers."""
SPREAD = r"(?:\s*±\s*(\d*\.\d+))?(\s*%)?"
"""What may stand behind a number: its spread, and its percent sign."""


def agrees(found: re.Match[str], cell: Cell, kind: Kind) -> bool:
    """Whether a printed number is this cell's: its groups are a mean, its spread and its percent sign; an sd; or two ends."""
    if kind == "interval":
        return _is_interval(found, cell)
    if kind == "sd":
        return _rounds_to(cell.sd, found[1])
    return kind == "mean" and _is_mean(found, cell)


def as_printed(cell: Cell, kind: Kind) -> str:
    """What should stand there."""
    if kind == "interval":
        return interval_text(t_interval(list(cell.values.values())))
    if kind == "sd":
        return "no sd" if cell.sd is None else percent(cell.sd)
    return percent(cell.mean or 0.0) + ("" if cell.sd is None else f" ± {percent(cell.sd)}")


def as_number(printed: str) -> float:
    """The number, whose minus may be a hyphen or a minus sign."""
    return float(printed.replace("−", "-"))


def _is_mean(found: re.Match[str], cell: Cell) -> bool:
    """Whether a number is this cell's mean, with its spread where one is printed: in percent or, below one, as a fraction."""
    spread = cell.sd
    if _rounds_to(cell.mean, found[1]) and (found[2] is None or _rounds_to(spread, found[2])):
        return True
    is_fraction = "." in found[1] and as_number(found[1]) <= 1 and not found[3]
    if not is_fraction or cell.mean is None:
        return False
    return _rounds_to(cell.mean / 100, found[1]) and (
        found[2] is None or (spread is not None and _rounds_to(spread / 100, found[2]))
    )


def _is_interval(found: re.Match[str], cell: Cell) -> bool:
    """Whether two numbers in brackets are this cell's t or BCa interval: in percent or, below one, as fractions."""
    values = list(cell.values.values())
    intervals = [interval for interval in (t_interval(values), bca_interval(values)) if interval]
    scales = (1, 100) if as_number(found[2]) <= 1 else (1,)
    return any(
        _rounds_to(low / scale, found[1]) and _rounds_to(high / scale, found[2])
        for low, high in intervals
        for scale in scales
    )


def _rounds_to(fraction: float | None, printed: str) -> bool:
    """Whether a fraction, as percent, rounds to the printed number; half a unit of its last place is either way."""
    if fraction is None:
        return False
    unit = 10.0 ** -len(printed.partition(".")[2])
    return abs(100 * fraction - as_number(printed)) <= unit / 2 + 1e-9

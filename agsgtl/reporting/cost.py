"""Where the time of experiments went: processor hours and memory by method and part, from the records themselves."""

from __future__ import annotations

from typing import Final

import pandas as pd

from agsgtl.reporting.layout import Block, Document, Sentences, Text, percent

_PARTS: Final = ("search", "final", "confirm")
"""The kinds of trials, in the order in which a sweep runs them."""

_HEADER: Final = ("method", "part", "trials", "pruned", "failed", "processor h", "share", "median s", "peak MiB")
_NOTE: Final = (
    "Processor hours of the last attempt of each recorded trial: pre-training on the source, Ray and what a kill undid "
    "come on top. Median s: wall-clock seconds of a complete trial. Share: of all processor hours (%)."
)


def cost_tables(frame: pd.DataFrame) -> Document:
    """One line a method and part of a tidy frame, and the sum."""
    trials = frame.drop_duplicates(["results", "record"])
    total = float(trials["cpu_s"].sum())
    lines = [
        _line(method, part, found, total)
        for method in dict.fromkeys(trials["method"])
        for part in _PARTS
        if len(found := trials[(trials["method"] == method) & (trials["kind"] == part)])
    ]
    lines.append(_line("all", "", trials, total))
    block = Block("cost", "Where the time went", _HEADER, tuple(tuple(map(Text, line)) for line in lines), 2)
    return Document((block,), (Sentences("note", "", (_NOTE,)),))


def _line(method: str, part: str, trials: pd.DataFrame, total: float) -> tuple[str, ...]:
    seconds, complete = float(trials["cpu_s"].sum()), trials[trials["status"] == "complete"]
    return (
        method,
        part,
        str(len(trials)),
        str((trials["status"] == "pruned").sum()),
        str((trials["status"] == "failed").sum()),
        f"{seconds / 3600:.2f}",
        percent(seconds / total) if total else "",
        f"{complete['duration_s'].median():.1f}" if len(complete) else "",
        f"{trials['peak_memory_mib'].max():.0f}" if trials["peak_memory_mib"].notna().any() else "",
    )

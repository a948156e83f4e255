"""Which numbers of a paper (.tex or .md) differ from the records.

In a table row whose first cell is a row of ours, every number must be that row's, in the column and metric that header
and caption name. Elsewhere every `mean ± sd` and every percentage with decimals must be some number of these records.
Numbers are compared to the decimals that the paper prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agsgtl.errors import UserError
from agsgtl.reporting.cells import AVERAGE, TITLES, Cell
from agsgtl.reporting.confirmed import Confirmed, read_confirmed
from agsgtl.reporting.layout import percent
from agsgtl.reporting.rows import Row
from agsgtl.reporting.tidy import METRICS

_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}\.\d+)(?:\s*±\s*(\d+\.\d+))?(\s*%)?(?![\w.]*\w)")
_TEX_COMMENT = re.compile(r"(?<!\\)%.*$")
_MARKUP = [
    (re.compile(r"\\\\(\[[^]]*\])?"), ""),
    (re.compile(r"\$?\s*(?:\\pm|\+/-|\+-)\s*\$?"), " ± "),
    (re.compile(r"\$\^\{?\\?(?:dagger|ast|\*)\}?\$|†"), ""),
    (re.compile(r"\\(?:textbf|underline|emph|textit|mathbf|uline|text)\b"), ""),
    (re.compile(r"</?\w+>|\*\*"), ""),
    (re.compile(r"\\([&%$#_{}])"), r"\1"),
    (re.compile(r"[{}$]"), ""),
]


@dataclass(frozen=True)
class Finding:
    """A number of the paper that the records do not give: its line from 1, what stands there, what should."""

    line: int
    printed: str
    expected: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"line {self.line}: {self.printed}: {self.expected}"


def check_paper(results: Sequence[Path], paper: Path) -> tuple[list[Finding], int]:
    """The numbers of a paper that differ from the records, and how many numbers were compared.

    Raises:
        UserError: the file cannot be read or is neither .tex nor .md, or as `read_confirmed`.
    """
    if paper.suffix not in (".tex", ".md"):
        raise UserError(f"{paper}: --check reads .tex and .md files, got '{paper.suffix}'")
    try:
        lines = paper.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{paper}: cannot be read as text: {error}") from None
    checker = _Checker(read_confirmed(results))
    findings: list[Finding] = []
    is_tex = paper.suffix == ".tex"
    for number, line in enumerate(lines, start=1):
        text = _TEX_COMMENT.sub("", line) if is_tex else line
        findings += checker.check_line(number, text, "&" if is_tex else "|")
    return findings, checker.compared


class _Checker:
    """Goes through a paper line by line and remembers the metric and the columns that were named last."""

    def __init__(self, confirmed: Confirmed) -> None:
        names = [*METRICS, *(name for name in confirmed.records.columns if name.startswith("f1:"))]
        self._cells = {(metric, *place): c for metric in names for place, c in confirmed.cells(metric).items()}
        self._rows = {_plain(row.name): row for row in confirmed.rows} | _unique_methods(confirmed.rows)
        self._columns = {_plain(column): column for column in (*confirmed.pairs, AVERAGE)}
        self._metric: str | None = None
        self._header: list[str | None] = []
        self.compared = 0

    def check_line(self, number: int, line: str, separator: str) -> Iterator[Finding]:
        """The findings of one line."""
        parts = [_clean(part) for part in re.split(rf"(?<!\\){re.escape(separator)}", line.strip().strip("|"))]
        if len(parts) < 3:
            self._remember_metric(parts)
            yield from self._check_prose(number, parts)
            return
        known = [self._columns.get(_plain(part)) for part in parts]
        if any(known):
            self._header = known
            return
        row = self._rows.get(_plain(parts[0]))
        for index, part in enumerate(parts[1:], start=1):
            column = self._header[index] if index < len(self._header) else None
            for found in _NUMBER.finditer(part):
                yield from self._compare(number, found, row, column)

    def _remember_metric(self, parts: Sequence[str]) -> None:
        text = _plain(" ".join(parts))
        for metric, title in TITLES.items():
            if _plain(title.split(" (")[0]) in text and len(text) < 200:
                self._metric, self._header = metric, []
                return

    def _check_prose(self, number: int, parts: Sequence[str]) -> Iterator[Finding]:
        for found in _NUMBER.finditer(" ".join(parts)):
            if found[2] or found[3]:
                yield from self._compare(number, found, None, None)

    def _compare(self, number: int, found: re.Match[str], row: Row | None, column: str | None) -> Iterator[Finding]:
        self.compared += 1
        metric = self._metric if row else None
        candidates = [
            cell
            for (its_metric, its_row, its_column), cell in self._cells.items()
            if cell.n and metric in (None, its_metric) and row in (None, its_row) and column in (None, its_column)
        ]
        if any(_agrees(found, cell) for cell in candidates):
            return
        where = ", ".join(
            part for part in (row.name if row else "", column or "", TITLES.get(metric or "", "")) if part
        )
        expected = (
            " or ".join(dict.fromkeys(_printed(cell) for cell in candidates)) if row and len(candidates) <= 4 else ""
        )
        text = found[0].strip()
        if expected:
            yield Finding(number, text, f"the records say {expected} for {where}")
        else:
            yield Finding(number, text, f"no number of these records{f' for {where}' if where else ''}")


def _agrees(found: re.Match[str], cell: Cell) -> bool:
    return _rounds_to(cell.mean, found[1]) and (found[2] is None or _rounds_to(cell.sd, found[2]))


def _rounds_to(fraction: float | None, printed: str) -> bool:
    """Whether a fraction, as percent, rounds to the printed number; half a unit of its last place is either way."""
    if fraction is None:
        return False
    unit = 10.0 ** -len(printed.partition(".")[2])
    return abs(100 * fraction - float(printed)) <= unit / 2 + 1e-9


def _printed(cell: Cell) -> str:
    return percent(cell.mean or 0.0) + ("" if cell.sd is None else f" ± {percent(cell.sd)}")


def _clean(text: str) -> str:
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()


def _plain(text: str) -> str:
    """A name as papers may spell it: letters and digits only, lower case."""
    return re.sub(r"[^a-z0-9=]", "", text.lower())


def _unique_methods(rows: Sequence[Row]) -> dict[str, Row]:
    methods = [row.method for row in rows]
    return {_plain(row.method): row for row in rows if methods.count(row.method) == 1}

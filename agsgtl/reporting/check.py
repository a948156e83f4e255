"""Which numbers of a paper (.tex or .md) differ from the records.

In a table row whose first cell is a row of ours, every number must be that row's, in the column and metric that header
and caption name. In running text a number is held to the methods, pairs and metrics that its sentence names; one with ±
or % in a sentence that names none of them must be some number of these records, which says little and is counted apart.
Numbers are compared to the decimals that the paper prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agsgtl.errors import UserError
from agsgtl.reporting.cells import AVERAGE, TITLES, Cell
from agsgtl.reporting.confirmed import Confirmed, read_confirmed
from agsgtl.reporting.layout import percent
from agsgtl.reporting.prose import Names
from agsgtl.reporting.rows import Row
from agsgtl.reporting.tidy import METRICS

Named = TypeVar("Named")

_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}\.\d+)(?:\s*±\s*(\d+\.\d+))?(\s*%)?(?![\w.]*\w)")
_LONGEST_TITLE = 200
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


@dataclass(frozen=True)
class Checked:
    """What came of a check; `loosely` counts those of `compared` that were held to all numbers of the records."""

    findings: tuple[Finding, ...]
    compared: int
    loosely: int
    undecided: int

    def __str__(self) -> str:
        """One line for a terminal."""
        text = f"{self.compared} numbers compared, {len(self.findings)} differ from the records"
        if self.loosely:
            text += (
                f"; {self.loosely} of them only with all numbers there are, since no method or pair stands beside them"
            )
        if self.undecided:
            text += (
                f"; {self.undecided} more could not be decided (differences, intervals, settings or results: read them)"
            )
        return text


def check_paper(results: Sequence[Path], paper: Path) -> Checked:
    """The numbers of a paper that differ from the records, and how many were compared, and how well.

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
    findings += checker.end_paragraph()
    ordered = tuple(sorted(findings, key=lambda finding: finding.line))
    return Checked(ordered, checker.compared, checker.loosely, checker.undecided)


class _Checker:
    """Goes through a paper line by line and remembers the metric and the columns that were named last."""

    def __init__(self, confirmed: Confirmed) -> None:
        names = [*METRICS, *(name for name in confirmed.records.columns if name.startswith("f1:"))]
        self._cells = {(metric, *place): c for metric in names for place, c in confirmed.cells(metric).items() if c.n}
        self._rows = {_plain(row.name): row for row in confirmed.rows} | _unique_methods(confirmed.rows)
        self._columns = {_plain(column): column for column in (*confirmed.pairs, AVERAGE)}
        classes = [name.removeprefix("f1:") for name in names if name.startswith("f1:")]
        self._measures = {_plain(name): f"f1:{name}" for name in classes}
        self._measures |= {_plain(title.split(" (")[0]): metric for metric, title in TITLES.items()}
        self._names = Names(confirmed.rows, confirmed.pairs, classes)
        self._metric: str | None = None
        self._pair: str | None = confirmed.pairs[0] if len(confirmed.pairs) == 1 else None
        self._header: list[tuple[Row | None, str | None]] = []
        self._paragraph: dict[int, str] = {}
        self.compared = self.loosely = self.undecided = 0

    def check_line(self, number: int, line: str, separator: str) -> Iterator[Finding]:
        """The findings of one line of a table, or of the paragraph that a line ends."""
        parts = [_clean(part) for part in re.split(rf"(?<!\\){re.escape(separator)}", line.strip().strip("|"))]
        if len(parts) < 3:
            text = " ".join(parts)
            self._remember_title(text)
            if text.strip():
                self._paragraph[number] = text
                return
            yield from self.end_paragraph()
            return
        yield from self.end_paragraph()
        if self._remember_header(list(map(_plain, parts))):
            return
        for index, part in enumerate(parts[1:], start=1):
            place = self._place(_plain(parts[0]), index)
            for found in _NUMBER.finditer(part):
                yield from self._compare(number, found, place)

    def end_paragraph(self) -> Iterator[Finding]:
        """The findings of the running text since the last table or empty line."""
        for sentence in self._names.read(self._paragraph) if self._paragraph else ():
            named = sentence.rows or sentence.columns
            place = _Place(sentence.rows, sentence.columns, sentence.metrics or frozenset(METRICS if named else ()))
            for number, found, reading in sentence.numbers():
                if reading == "result":
                    yield from self._compare(number, found, place)
                else:
                    self.undecided += 1
        self._paragraph = {}

    def _remember_title(self, line: str) -> None:
        """The metric and the pair that a caption or title names, for the table that follows."""
        text = _plain(line)
        if len(text) >= _LONGEST_TITLE:
            return
        for metric, title in TITLES.items():
            if _plain(title.split(" (")[0]) in text:
                self._metric, self._header = metric, []
                break
        pairs = [pair for name, pair in self._columns.items() if pair != AVERAGE and name in text]
        self._pair = pairs[0] if len(pairs) == 1 else self._pair

    def _remember_header(self, parts: Sequence[str]) -> bool:
        """Whether a line is the header of a table with pairs as columns, or of one with methods as columns."""
        columns = [self._columns.get(part) for part in parts]
        rows = [self._rows.get(part) for part in parts]
        if any(columns):
            self._header = [(None, column) for column in columns]
        elif any(rows[1:]) and not rows[0]:
            self._header = [(row, self._pair) for row in rows]
        else:
            return False
        return True

    def _place(self, first: str, index: int) -> _Place:
        """What a cell of a table must be, from the first cell of its line and the header of its column."""
        row, column = self._header[index] if index < len(self._header) else (None, None)
        if row is not None:
            return _Place(_only(row), _only(column), _only(self._measures.get(first)))
        named = self._rows.get(first)
        return _Place(_only(named), _only(column), _only(self._metric if named else None))

    def _compare(self, number: int, found: re.Match[str], place: _Place) -> Iterator[Finding]:
        self.compared += 1
        self.loosely += not (place.rows or place.columns)
        candidates = [cell for key, cell in self._cells.items() if place.admits(*key)]
        if any(_agrees(found, cell) for cell in candidates):
            return
        expected = list(dict.fromkeys(map(_printed, candidates))) if place.rows and len(candidates) <= 4 else []
        text, where = found[0].strip(), str(place)
        if expected:
            yield Finding(number, text, f"the records say {' or '.join(expected)} for {where}")
        else:
            yield Finding(number, text, f"no number of these records{f' for {where}' if where else ''}")


@dataclass(frozen=True)
class _Place:
    """Which cells a number may be: of these rows, columns and metrics; none named means any."""

    rows: frozenset[Row]
    columns: frozenset[str]
    metrics: frozenset[str]

    def admits(self, metric: str, row: Row, column: str) -> bool:
        """Whether the cell is one of them."""
        return (
            (not self.metrics or metric in self.metrics)
            and (not self.rows or row in self.rows)
            and (not self.columns or column in self.columns)
        )

    def __str__(self) -> str:
        """The names, for a finding."""
        titles = [TITLES.get(metric, metric) for metric in sorted(self.metrics)]
        kinds = (sorted(row.name for row in self.rows), sorted(self.columns), titles)
        return ", ".join(" or ".join(names) for names in kinds if names)


def _only(name: Named | None) -> frozenset[Named]:
    return frozenset() if name is None else frozenset([name])


def _agrees(found: re.Match[str], cell: Cell) -> bool:
    """Whether a number is this cell's, in percent or, below one, as a fraction."""
    spread = cell.sd
    if _rounds_to(cell.mean, found[1]) and (found[2] is None or _rounds_to(spread, found[2])):
        return True
    if float(found[1]) > 1 or cell.mean is None or found[3]:
        return False
    return _rounds_to(cell.mean / 100, found[1]) and (
        found[2] is None or (spread is not None and _rounds_to(spread / 100, found[2]))
    )


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

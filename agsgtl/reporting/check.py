"""Which numbers of a paper (.tex or .md) differ from the records.

In a table row whose first cell is a row of ours, every number must be that row's, in the column and metric that header
and caption name, and what stands in brackets its 95 % interval; a table in long form, `method | pair | mean | sd`, is held
to what each line names. Differences, rows that are not ours and tables of other statistics (comparisons, spread,
importances) are not decided. In running text a number is held to the methods, pairs and metrics that its sentence names;
one with ± or % in a sentence that names none of them must be some number of these records, which says little and is
counted apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agsgtl.errors import UserError
from agsgtl.reporting.agreement import SIGN, SPREAD, Kind, agrees, as_printed
from agsgtl.reporting.cells import AVERAGE, TITLES
from agsgtl.reporting.confirmed import Confirmed, read_confirmed
from agsgtl.reporting.prose import Names
from agsgtl.reporting.rows import Row
from agsgtl.reporting.table import all_cells, oracle_rows
from agsgtl.reporting.tidy import METRICS

Named = TypeVar("Named")
_LONG_FORM: Mapping[str, Kind] = {"mean": "mean", "sd": "sd", "95tinterval": "interval", "95bcainterval": "interval"}
"""What a column of a table in long form holds, by its heading."""

_NUMBER = re.compile(rf"(?<![\w.])({SIGN}\d{{0,3}}\.\d+){SPREAD}(?![\w.]*\w)")
_WHOLE = re.compile(rf"({SIGN}\d{{1,3}})(?:\s*±\s*(\d*\.?\d+))?(\s*%)?")
"""A number without decimals, which only a cell that holds nothing else gives as a result."""
_SD_IN_BRACKETS = re.compile(r"(?<=\d)\s*\((\d*\.\d+)\)")
_IN_BRACKETS = re.compile(r"\[\s*([-−]?\d+\.\d+)\s*,\s*([-−]?\d+\.\d+)\s*\]")
_DIFFERENCE = re.compile(r"(?<!\w)\+\s*\d|\d to [-+−]?\d")
"""How a cell shows that it holds a gain, or the ends of its interval."""
_ASIDE = re.compile(r"\([^()]*(?:[-+−]\s*\d|\d to )[^()]*\)")
"""Such a gain or interval beside a result."""
_LONGEST_TITLE = 200
_OTHER_STATISTICS = re.compile(
    r"holmp|labeldrawsd|hyperparameter|processorh|study|meanrank|95tinterval|settings|\d+trials"
)
"""Headings of tables in which not every number is a mean, as `_plain` spells them."""

_OF_THE_AVERAGE = re.compile(rf"(?<!on ){AVERAGE}:")
"""What the title of a table of averages begins with, before its metric."""
_TABLE_END = re.compile(r"bottomrule|toprule|end\s*(?:tabular|longtable)")
_TEX_COMMENT = re.compile(r"(?<!\\)%.*$")
_MARKUP = [
    (re.compile(r"\\\\(\[[^]]*\])?"), ""),
    (re.compile(r"\\(?:tiny|scriptsize|footnotesize|small)\b"), ""),
    (re.compile(r"[_^]?\{?\s*\$?\s*(?:\\pm|\+/-|\+-|±)\s*\$?"), " ± "),
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
        if line.strip() and not text.strip():
            continue  # a comment alone ends neither a table nor a paragraph
        findings += checker.check_line(number, text, "&" if is_tex else "|")
    findings += checker.end_paragraph()
    ordered = tuple(sorted(findings, key=lambda finding: finding.line))
    return Checked(ordered, checker.compared, checker.loosely, checker.undecided)


@dataclass(frozen=True)
class _Heading:
    """What the header says of a column: its row, pair or labelled count, and what kind of number stands below."""

    row: Row | None = None
    column: str | None = None
    count: str = ""
    kind: Kind = "mean"


class _Checker:
    """Goes through a paper line by line and remembers the metric and the columns that were named last."""

    def __init__(self, confirmed: Confirmed) -> None:
        names = [*METRICS, *(name for name in confirmed.records.columns if name.startswith("f1:"))]
        oracles = oracle_rows(confirmed.frame)
        self._cells = {
            (metric, *place): cell
            for metric in names
            for place, cell in all_cells(confirmed, oracles, metric).items()
            if cell.n
        }
        self._rows = {_plain(row.name): row for row in (*confirmed.rows, *(row for row, _ in oracles))}
        self._rows |= _unique_methods(confirmed.rows)
        self._columns = {_plain(column): column for column in (*confirmed.pairs, AVERAGE)}
        classes = [name.removeprefix("f1:") for name in names if name.startswith("f1:")]
        self._measures = {_plain(name): f"f1:{name}" for name in classes}
        self._measures |= {_plain(title.split(" (")[0]): metric for metric, title in TITLES.items()}
        self._names = Names(confirmed.rows, confirmed.pairs, classes)
        self._metric: str | None = None
        self._pair: str | None = confirmed.pairs[0] if len(confirmed.pairs) == 1 else None
        self._header: list[_Heading] = []
        self._in_long_form = False
        self._paragraph: dict[int, str] = {}
        self.compared = self.loosely = self.undecided = 0

    def check_line(self, number: int, line: str, separator: str) -> Iterator[Finding]:
        """The findings of one line of a table, or of the paragraph that a line ends."""
        parts = [_clean(part) for part in re.split(rf"(?<!\\){re.escape(separator)}", line.strip().strip("|"))]
        if len(parts) < 3:
            text = " ".join(parts)
            self._remember_title(text)
            if separator == "|" or _TABLE_END.search(text):
                self._header, self._in_long_form = [], False
            if text.strip():
                self._paragraph[number] = text
                return
            yield from self.end_paragraph()
            return
        yield from self.end_paragraph()
        plain = list(map(_plain, parts))
        if self._remember_header(plain, any(map(_NUMBER.search, parts))):
            return
        for index, part in enumerate(parts):
            if index or self._in_long_form:
                yield from self._check_cell(number, part, index, plain)

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
        metric = next((metric for metric, title in TITLES.items() if _plain(title.split(" (")[0]) in text), None)
        if metric:
            self._metric, self._header = metric, []
        pairs = [pair for name, pair in self._columns.items() if pair != AVERAGE and name in text]
        if metric and _OF_THE_AVERAGE.search(line):
            pairs = [AVERAGE]
        self._pair = pairs[0] if len(pairs) == 1 else self._pair

    def _check_cell(self, number: int, part: str, index: int, line: Sequence[str]) -> Iterator[Finding]:
        """The findings of one cell of a table: its numbers, and its intervals in brackets."""
        heading = self._header[index] if index < len(self._header) else _Heading()
        place = self._long_place(line) if self._in_long_form else self._place(line[0], heading)
        self.undecided += sum(len(_NUMBER.findall(aside)) for aside in _ASIDE.findall(part))
        part = _SD_IN_BRACKETS.sub(r" ± \1", _ASIDE.sub("", part))
        intervals, numbers = list(_IN_BRACKETS.finditer(part)), list(_NUMBER.finditer(_IN_BRACKETS.sub("", part)))
        if whole := _WHOLE.fullmatch(part):
            if place.rows and place.columns and place.metrics:
                numbers = [whole]
            else:
                self.undecided += 1  # epochs, trials or seeds, it may be
        is_difference = _DIFFERENCE.search(part) or (part[:1] in ("-", "−") and "kappa" not in place.metrics)
        if heading.kind == "other" or not place.rows or is_difference:
            self.undecided += len(intervals) + len(numbers)
            return
        for found in numbers:
            yield from self._compare(number, found, place, heading.kind)
        for found in intervals:
            yield from self._compare(number, found, place, "interval")

    def _remember_header(self, parts: Sequence[str], has_numbers: bool) -> bool:
        """Whether a line is a header: with pairs, methods or labelled counts as columns, or of a table in long form."""
        if has_numbers or self._in_long_form:
            return False
        columns = [self._columns.get(part) for part in parts]
        rows = [self._rows.get(part) for part in parts]
        names_both = {"method", "pair"} <= set(parts)
        if any(columns) and not rows[0]:
            kinds: list[Kind] = ["other" if _OTHER_STATISTICS.fullmatch(part) else "mean" for part in parts]
            self._header = [_Heading(column=column, kind=kind) for column, kind in zip(columns, kinds, strict=True)]
        elif names_both or any(_OTHER_STATISTICS.fullmatch(part) for part in parts):
            self._header = [_Heading(kind=_LONG_FORM.get(part, "other") if names_both else "other") for part in parts]
            self._in_long_form = True
        elif any(rows[1:]) and not rows[0]:
            self._header = [_Heading(row, self._pair) for row in rows]
        elif any(re.fullmatch(r"k=\d+", part) for part in parts):
            self._header = [_Heading(column=self._pair, count=part) for part in parts]
        else:
            return False
        return True

    def _place(self, first: str, heading: _Heading) -> _Place:
        """What a cell of a table must be, from the first cell of its line and the heading of its column."""
        if heading.row is not None:
            return _Place(_only(heading.row), _only(heading.column), _only(self._measures.get(first)))
        named = self._rows.get(first + heading.count) or self._rows.get(first)
        if named and heading.count and heading.count != f"k={named.per_class}":
            named = None
        return _Place(_only(named), _only(heading.column), _only(self._metric if named else None))

    def _long_place(self, line: Sequence[str]) -> _Place:
        """What the numbers of a line in long form must be, from the row and the pair that the line names."""
        row = next((self._rows[part] for part in line if part in self._rows), None)
        column = next((self._columns[part] for part in line if part in self._columns), None)
        return _Place(_only(row), _only(column), _only(self._metric))

    def _compare(self, number: int, found: re.Match[str], place: _Place, kind: Kind = "mean") -> Iterator[Finding]:
        self.compared += 1
        self.loosely += not (place.rows or place.columns)
        candidates = [cell for key, cell in self._cells.items() if place.admits(*key)]
        if any(agrees(found, cell, kind) for cell in candidates):
            return
        expected = (
            list(dict.fromkeys(as_printed(cell, kind) for cell in candidates))
            if place.rows and len(candidates) <= 4
            else []
        )
        text, where = found[0].strip(), str(place)
        if expected:
            yield Finding(number, text, f"the records say {' or '.join(expected)} for {where}")
        else:
            yield Finding(number, text, f"no number of these records{f' for {where}' if where else ''}")


@dataclass(frozen=True)
class _Place:
    """Which cells a number may be: of these rows, columns and metrics; none named means any, but of no oracle row."""

    rows: frozenset[Row]
    columns: frozenset[str]
    metrics: frozenset[str]

    def admits(self, metric: str, row: Row, column: str) -> bool:
        """Whether the cell is one of them."""
        return (
            (not self.metrics or metric in self.metrics)
            and (row in self.rows if self.rows else not row.oracle)
            and (not self.columns or column in self.columns)
        )

    def __str__(self) -> str:
        """The names, for a finding."""
        titles = [TITLES.get(metric, metric) for metric in sorted(self.metrics)]
        kinds = (sorted(row.name for row in self.rows), sorted(self.columns), titles)
        return ", ".join(" or ".join(names) for names in kinds if names)


def _only(name: Named | None) -> frozenset[Named]:
    return frozenset() if name is None else frozenset([name])


def _clean(text: str) -> str:
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()


def _plain(text: str) -> str:
    """A name as papers may spell it: letters and digits only, lower case."""
    return re.sub(r"[^a-z0-9=]", "", text.lower())


def _unique_methods(rows: Sequence[Row]) -> dict[str, Row]:
    """The rows that a method alone names, or a method with its k."""
    names = [(row, name) for row in rows for name in {_plain(row.method), _plain(f"{row.method}k={row.per_class}")}]
    counts = Counter(name for _, name in names)
    return {name: row for row, name in names if counts[name] == 1}

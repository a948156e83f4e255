"""What a sentence of a paper speaks of: the methods, pairs and metrics it names, and its numbers that read as results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agsgtl.reporting.agreement import SIGN, SPREAD, as_number
from agsgtl.reporting.cells import AVERAGE, TITLES
from agsgtl.reporting.rows import Row

RESULT = re.compile(rf"(?<![\w.,=<>/])(?<![=<>]\s)({SIGN}\d{{1,3}}(?:\.\d+)?){SPREAD}(?![\w.,]*\w)")
"""A number with its sign, its spread, its percent sign; none that follows an equals sign, like k = 10 or p = 0.5."""

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=[A-Z`$\[(])")
_DIFFERENCE = re.compile(r"^\W*(percentage |percent |% )?(points?|pp)\b")
_INTERVAL = re.compile(r"^\s*(%\s*)?(t |BCa |confidence )?(intervals?|CIs?)\b")
_TO = re.compile(r"\d%? to $")
_FROM = re.compile(r"^%? to [-−+]?\d")
_BY = re.compile(r"\b(by|of the|than)\s*$")
_WORDS_TOO = frozenset({"paper"})
"""Methods whose name is a word of any paper; only a table row can mean them."""

_AVERAGES = re.compile(r"\b(on average|averaged?|mean over (the |all )?pairs)\b")
_METRICS = [(re.compile(rf"\b{title.split(' (')[0]}\b", re.I), metric) for metric, title in TITLES.items()]

Reading = Literal["result", "maybe", "no"]


@dataclass(frozen=True)
class Sentence:
    """A sentence with what it names; empty where it names nothing of a kind."""

    text: str
    line_of: Sequence[int]
    rows: frozenset[Row]
    columns: frozenset[str]
    metrics: frozenset[str]

    @property
    def names_something(self) -> bool:
        """Whether a number in it may be meant as a result."""
        return bool(self.rows or self.columns or self.metrics)

    def numbers(self) -> Iterator[tuple[int, re.Match[str], Reading]]:
        """Each number with its line and whether it reads as a result; plain counts and settings are left out."""
        for found in RESULT.finditer(self.text):
            reading = self._reading(found)
            if reading != "no":
                yield self.line_of[found.start()], found, reading

    def _reading(self, found: re.Match[str]) -> Reading:
        """`maybe` is a number that could be a result and cannot be told from a difference, an interval or a setting."""
        marked = bool(found[2] or (found[3] and "." in found[1]))
        before, after = self.text[: found.start()], self.text[found.end() :]
        if _INTERVAL.match(after):
            return "no"
        is_difference = bool(_DIFFERENCE.match(after) or _BY.search(before.lower()))
        is_end = before.count("[") > before.count("]") or bool(_TO.search(before) or _FROM.match(after))
        if (is_difference or is_end) and (marked or self.names_something):
            return "maybe"
        if marked:
            return "result"
        if "." not in found[1] and not found[3]:
            return "no"
        if self.rows and self.columns and as_number(found[1]) >= 10:
            return "result"
        return "maybe" if self.names_something or found[3] else "no"


class Names:
    """The names that a paper may use in running text for the rows, columns and metrics of a table."""

    def __init__(self, rows: Iterable[Row], pairs: Sequence[str], classes: Sequence[str]) -> None:
        self._rows = [(_spelling(row.method), row) for row in rows if row.method not in _WORDS_TOO]
        self._pairs = [(re.compile(_either(pair), re.I), pair) for pair in pairs]
        self._classes = [(_spelling(name), f"f1:{name}") for name in classes]
        self._only = frozenset((*pairs, AVERAGE)) if len(pairs) == 1 else frozenset[str]()

    def read(self, lines: Mapping[int, str]) -> Iterator[Sentence]:
        """The sentences of a paragraph, given by line number without markup."""
        text = " ".join(lines.values())
        line_of = [number for number, line in lines.items() for _ in f"{line} "]
        start = 0
        for end in [*(found.start() for found in _SENTENCE_END.finditer(text)), len(text)]:
            yield self._sentence(text[start:end], line_of[start : end + 1])
            start = end

    def _sentence(self, text: str, line_of: Sequence[int]) -> Sentence:
        columns = frozenset(pair for pattern, pair in self._pairs if pattern.search(text))
        if _AVERAGES.search(text.lower()):
            columns |= {AVERAGE}
        return Sentence(
            text,
            line_of,
            frozenset(row for pattern, row in self._rows if pattern.search(text)),
            columns or self._only,
            frozenset(metric for pattern, metric in [*self._classes, *_METRICS] if pattern.search(text)),
        )


def _spelling(name: str) -> re.Pattern[str]:
    return re.compile(_loosely(name), re.I)


def _loosely(name: str) -> str:
    """A pattern for a name as papers spell it: `fine_tune`, `fine-tune`, `Fine tune`."""
    parts = [re.escape(part) for part in re.split(r"[_\s/-]+", name) if part]
    return rf"(?<!\w){'[_ /-]*'.join(parts)}(?!\w)"


def _either(pair: str) -> str:
    """A pair's whole name, or its last part where that says more than a letter: `west_to_east`."""
    return f"{_loosely(pair)}|{_loosely(pair.rpartition('/')[2])}"

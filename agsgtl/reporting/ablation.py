"""Ablations: one method as several experiments ran it, each named by the settings in which it differs from a reference."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from agsgtl.config import HYPERPARAMETERS
from agsgtl.errors import UserError, did_you_mean
from agsgtl.reads import READS
from agsgtl.reporting.cells import AVERAGE, TITLES, Cell, Comparison
from agsgtl.reporting.confirmed import Confirmed
from agsgtl.reporting.layout import Block, Document, Sentences, Text, cell_text, comparison_text, words
from agsgtl.reporting.marks import adjust_together
from agsgtl.reporting.rows import KEYS, Row, deciding_rule
from agsgtl.reporting.statistics import compare_over_pairs, compare_paired

TUNED = "tuned"
"""What stands for the value of a hyperparameter that a search chose."""

_SHOWN_CHANGES = 3
_RULE = "search.select"
_TRAINER = "trainer version"
_NOUNS: Mapping[str, str] = {
    "attention.discriminator": "attention",
    "attention.target": "target attention",
    "attention.gradient_through_gate": "gradient through the gate",
    "adapt.train_classifier": "classifier training",
    "loss.target_segmentation": "segmentation term",
    "loss.discriminator_source": "discriminator's source term",
    "loss.discriminator_target": "discriminator's target term",
    _RULE: "selected by",
}
"""What papers call the parts that are switched off; other losses are `<name> term`, other settings their last name."""


@dataclasses.dataclass(frozen=True)
class Change:
    """One hyperparameter in which an experiment differs from the reference; several values stand as `a or b`."""

    path: str
    reference: str
    value: str

    @property
    def words(self) -> str:
        """As a paper names it: `attention off`, `segmentation term off`, `keep last`."""
        last = self.path.rpartition(".")[2].replace("_", " ")
        is_loss = self.path.startswith("loss.")
        noun = _NOUNS.get(self.path, f"{last} term" if is_loss else last)
        if self.value == "false" or (is_loss and self.value == "0"):
            return f"{noun} off"
        if self.value == "true" or (is_loss and self.reference == "0"):
            return f"{noun} on"
        return f"{noun} {self.value}"

    def __str__(self) -> str:
        """With its path and both values."""
        return f"{self.path}: {self.reference} → {self.value}"


def ablation_table(confirmed: Confirmed, metric: str = "macro_f1", reference: str | None = None) -> Document:
    """Methods that several experiments ran with different settings, each against the reference experiment.

    Raises:
        UserError: no method was run differently by two experiments, or the reference ran none of them.
    """
    families: dict[tuple[str, int], list[Row]] = {}
    for row in confirmed.rows:
        if row.tag:
            families.setdefault((row.method, row.per_class), []).append(row)
    if not families:
        raise UserError(
            "--view ablation: needs two experiments that ran one method with different settings; name their results "
            "folders"
        )
    _refuse_unknown(reference, {row.tag for family in families.values() for row in family})
    cells = confirmed.cells(metric)
    able = [family for family in families.values() if reference is None or reference in {row.tag for row in family}]
    ordered = [_reference_first(confirmed, family, reference) for family in able]
    names = {row: name for family in ordered for row, name in _names(confirmed, family).items()}
    lines = [_line(confirmed, row, family[0], names, cells) for family in ordered for row in family]
    block = Block(metric, f"{TITLES[metric]} (%)", ("method", "settings", *confirmed.pairs, AVERAGE), tuple(lines), 2)
    comparisons = _compare([(family[0], row) for family in ordered for row in family[1:]], confirmed.pairs, cells)
    title = f"Reference minus the other, {TITLES[metric]}, percent points with 95 % t interval, Holm over all"
    sentences = tuple(comparison_text(_renamed(comparison, names)) for comparison in comparisons)
    lists = [Sentences("comparison", title, sentences)]
    without = [row.name for family in families.values() if family not in able for row in family]
    if without:
        lists.append(Sentences("note", "", (f"Left out, since {reference} did not run them: {'; '.join(without)}.",)))
    return Document((block,), tuple(lists))


def changes_from(confirmed: Confirmed, row: Row, reference: Row) -> list[Change]:
    """The hyperparameters, selection rule and trainer in which a row's records differ from the reference's, switches and losses first.

    What the method does not read changes nothing; what both experiments searched for differs from tuning to tuning, and is
    no ablation.
    """
    ours, theirs = (_values(confirmed, one) for one in (row, reference))
    reads = {_RULE, _TRAINER, *READS.get(row.method, HYPERPARAMETERS)}
    found = [
        Change(path, theirs[path], value)
        for path, value in ours.items()
        if path in reads and value != theirs[path] and value and theirs[path]
    ]
    return sorted(found, key=lambda change: not change.path.startswith(("attention.", "loss.")))


def _refuse_unknown(reference: str | None, experiments: Collection[str]) -> None:
    if reference is not None and reference not in experiments:
        raise UserError(
            f"--reference {reference}: is none of these experiments; {did_you_mean(reference, experiments)}"
        )


def _reference_first(confirmed: Confirmed, family: Sequence[Row], reference: str | None) -> list[Row]:
    """The family with its reference in front: the one asked for, or that of the results folder named first."""
    by_tag = {row.tag: row for row in family}
    named = [plan.experiment for plan in confirmed.plans if plan.experiment in by_tag]
    base = by_tag[reference or (named or [family[0].tag])[0]]
    return [base, *(row for row in family if row != base)]


def _names(confirmed: Confirmed, family: Sequence[Row]) -> dict[Row, str]:
    """A name a row from what it changes; rows that change the same keep the experiment's name."""
    base = family[0]
    plain = {row: row.name.replace(f" ({row.tag})", "") for row in family}
    changes = {row: changes_from(confirmed, row, base) for row in family[1:]}
    names = {base: plain[base]} | {
        row: ", ".join([plain[row], *(change.words for change in found[:_SHOWN_CHANGES])])
        for row, found in changes.items()
    }
    counts = Counter(names.values())
    return {row: name if counts[name] == 1 else f"{name} ({row.tag})" for row, name in names.items()}


def _line(
    confirmed: Confirmed,
    row: Row,
    reference: Row,
    names: Mapping[Row, str],
    cells: Mapping[tuple[Row, str], Cell],
) -> tuple[Text, ...]:
    changes = changes_from(confirmed, row, reference)
    nothing = "nothing but what was tuned anew" if TUNED in _values(confirmed, row).values() else "nothing"
    shown = ", ".join(map(str, changes[:_SHOWN_CHANGES])) or nothing
    more = len(changes) - _SHOWN_CHANGES
    settings = "reference" if row == reference else shown + (f" and {more} more" if more > 0 else "")
    found = [cells[row, column] for column in (*confirmed.pairs, AVERAGE)]
    return (
        *words(names[row], f"{row.tag}: {settings}"),
        *(Text(cell_text(cell), state=cell.state) for cell in found),
    )


def _compare(
    compared: Sequence[tuple[Row, Row]], pairs: Sequence[str], cells: Mapping[tuple[Row, str], Cell]
) -> list[Comparison]:
    found = []
    for base, row in compared:
        sides = [[cells[one, pair].values for pair in pairs] for one in (base, row)]
        found += [(pair, base, row, compare_paired(a, b)) for pair, a, b in zip(pairs, *sides, strict=True)]
        if len(pairs) > 1:
            found.append((AVERAGE, base, row, compare_over_pairs(*sides)))
    return adjust_together(found)


def _renamed(comparison: Comparison, names: Mapping[Row, str]) -> Comparison:
    best, other = (dataclasses.replace(row, name=names[row]) for row in (comparison.best, comparison.other))
    return dataclasses.replace(comparison, best=best, other=other)


def _values(confirmed: Confirmed, row: Row) -> dict[str, str]:
    """By hyperparameter what a row's records were trained with, `tuned` where the row's search chose it; its rule and trainer."""
    records = confirmed.records
    part = records[(records[KEYS] == list(row.key)).all(axis=1)]
    plans = [plan for plan in confirmed.plans if plan.experiment == row.tag]
    searched = frozenset[str]().union(*(plan.searched(row.method) for plan in plans))
    values = {path: TUNED if path in searched else _spell(part[path]) for path in HYPERPARAMETERS}
    return values | {_RULE: _spell(deciding_rule(part)), _TRAINER: _spell(part["trainer_version"])}


def _spell(values: pd.Series[Any]) -> str:
    """The values that occur, spelled as in `--set`: `true`, `0.5`, `last`, joined by `or`."""
    found = sorted(values.dropna().unique())
    if pd.api.types.is_float_dtype(values):
        return " or ".join(f"{value:g}" for value in found)
    return " or ".join(str(value).lower() if pd.api.types.is_bool_dtype(values) else str(value) for value in found)

"""The statistics behind a table as tables of their own: intervals, comparisons, ranks, spread, selection, importances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pandas as pd

from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.cells import AVERAGE, TITLES, Cell, Comparison, p_text
from agsgtl.reporting.confirmed import Confirmed
from agsgtl.reporting.layout import Block, Document, Sentences, Text, cell_text, interval_text, percent, words
from agsgtl.reporting.marks import compare_with_best, complete_means, not_ranked, same_count
from agsgtl.reporting.rows import KEYS, Row
from agsgtl.reporting.spread import separate_spread
from agsgtl.reporting.statistics import (
    FEWEST_TRIALS,
    Ranks,
    bca_interval,
    partly_scored,
    pooled_importances,
    rank_methods,
    selection_regret,
    t_interval,
    winners_curse,
)
from agsgtl.reporting.tidy import study_names

DEPENDENT_PAIRS = "Pairs cut from one cube are not independent of each other."
Measure = Callable[[pd.DataFrame], pd.DataFrame]
"""Importances from a tidy frame; Optuna measures them, so the command line hands it in and reporting stays without."""

NO_IMPORTANCES = pd.DataFrame({"study": [], "path": [], "importance": []})
NO_REGRET = "Regret of selection is known once `agsgtl evaluate RESULTS --trials` has scored the search trials."


def interval_tables(confirmed: Confirmed, metric: str = "macro_f1") -> Document:
    """Mean, sd, Student t interval and, from n = 20, the BCa interval of every cell."""
    cells = confirmed.cells(metric)
    places = [(row, column) for row in confirmed.rows for column in (*confirmed.pairs, AVERAGE)]
    lines = [_interval_line(row, column, cells[row, column]) for row, column in places if cells[row, column].n]
    header = ("method", "pair", "mean", "sd", "n", "95 % t interval", "95 % BCa interval")
    block = Block(f"intervals:{metric}", f"{TITLES[metric]} (%)", header, tuple(map(_texts, lines)), 2)
    note = "Intervals hold for the chosen configuration: the search's own variance is not in them."
    return Document((block,), (Sentences("note", "", (note,)),))


def comparison_tables(confirmed: Confirmed, metric: str = "macro_f1", method: str | None = None) -> Document:
    """Every column's best row, or that of `method`, against every other: sign-flip tests, effect sizes, Holm over them all.

    Raises:
        UserError: no row is of that method.
    """
    methods = {row.method for row in confirmed.rows if not row.oracle}
    if method is not None and method not in methods:
        raise UserError(f"--reference {method}: is no method of these results; {did_you_mean(method, methods)}")
    cells = confirmed.cells(metric)
    found = compare_with_best(confirmed.rows, (*confirmed.pairs, AVERAGE), cells, method)
    header = (
        "column",
        "A",
        "B",
        "A − B",
        "95 % t interval",
        "g",
        "95 % interval of g",
        "p",
        "smallest p",
        "Holm p",
        "n",
    )
    lines = tuple(_texts(_comparison_line(comparison)) for comparison in found)
    block = Block(
        f"comparisons:{metric}",
        f"{TITLES[metric]}: {method or 'the best'} against the others (% points)",
        header,
        lines,
        3,
    )
    family = (
        f"the {len(found)} comparisons above"
        if method or not found
        else f"the {found[0].family} comparisons of two methods in a column at one k, since the best is chosen from the same "
        "seeds"
    )
    note = (
        "Exact sign-flip test paired by seed, two-sided; over pairs a seed's sign flips in all pairs at once. "
        f"Holm-adjusted over {family}. g: Hedges' g of the paired differences."
    )
    columns = (*confirmed.pairs, AVERAGE) if len(confirmed.pairs) > 1 else confirmed.pairs
    return Document((block,), (Sentences("note", "", (note, *_not_compared(confirmed.rows, columns, cells, found))),))


def rank_tables(confirmed: Confirmed, metric: str = "macro_f1") -> Document:
    """Mean ranks over pairs at each k; Wilcoxon with Holm and the critical difference from the needed number of pairs."""
    blocks, notes = list[Block](), list[str]()
    cells = confirmed.cells(metric)
    for rivals in same_count(confirmed.rows):
        means = complete_means(rivals, confirmed.pairs, cells)
        if len(means) < 2:
            continue
        ranks, k = rank_methods(means), rivals[0].per_class
        lines = [(name, f"{rank:.2f}") for name, rank in sorted(ranks.mean_rank.items(), key=lambda found: found[1])]
        title = f"k = {k}: mean ranks over {ranks.pairs} pairs in {TITLES[metric]} (1 = best)"
        blocks.append(Block(f"ranks:{k}", title, ("method", "mean rank"), tuple(map(_texts, lines))))
        blocks += _wilcoxon(ranks, k)
        notes.append(f"k = {k}: {_rank_note(ranks)}")
        if without := not_ranked(rivals, confirmed.pairs, cells):
            notes.append(f"k = {k}: without a rank: {'; '.join(without)}.")
    if not blocks:
        blocks, notes = [Block("ranks", "Mean ranks", ("method", "mean rank"), ())], ["No two methods have every pair."]
    return Document(tuple(blocks), (Sentences("note", "", (*notes, DEPENDENT_PAIRS)),))


def spread_tables(confirmed: Confirmed, metric: str = "macro_f1") -> Document:
    """Where each row's spread comes from: label draw, initialisation, pair; or why that cannot be said."""
    lines = []
    for row in confirmed.rows:
        values = _values_of(confirmed, row, metric)
        if len(values):
            found = separate_spread(values)
            sds = (found.label_draw, found.initialisation, found.pair)
            lines.append((row.name, *("" if sd is None else percent(sd) for sd in sds), found.note))
    header = ("method", "label draw (sd)", "initialisation (sd)", "pair (sd)", "")
    title = f"Where the spread of {TITLES[metric]} comes from (percent points)"
    return Document((Block("spread", title, header, tuple(map(_texts, lines))),))


def selection_tables(confirmed: Confirmed, metric: str = "macro_f1") -> Document:
    """The winner's curse and, where `agsgtl evaluate --trials` scored them, the regret of selection, a line a study."""
    borrowing = [plan.experiment for plan in confirmed.plans if plan.borrows_winners]
    own = confirmed.frame[~confirmed.frame["experiment"].isin(borrowing)]
    curses, regrets = winners_curse(own), selection_regret(own)
    blocks, notes = [_curse_block(curses)], [] if len(regrets) else [NO_REGRET]
    if borrowing:
        notes.append(f"{', '.join(borrowing)}: chosen by another experiment's search, with other settings; left out.")
    notes += unscored_notes(own)
    if len(regrets):
        blocks.append(_regret_block(regrets))
    if curses.empty:
        notes.append("No confirmed method was tuned, so there is no winner's curse to show.")
    return Document(tuple(blocks), (Sentences("note", "", tuple(notes)),) if notes else ())


def unscored_notes(frame: pd.DataFrame) -> list[str]:
    """One sentence on studies that went on after their trials were scored: no oracle and no regret of theirs is shown."""
    partly = partly_scored(frame)
    if partly.empty:
        return []
    studies = ", ".join(sorted(set(study_names(partly))))
    return [
        f"Caution: {partly['macro_f1'].isna().sum()} outcomes of search trials have no test scores, though others of their "
        f"study have; no oracle and no regret of it is shown until `agsgtl evaluate RESULTS --trials` has scored them: {studies}."
    ]


def importance_tables(importances: pd.DataFrame, studies: Sequence[str]) -> Document:
    """Importances pooled over each method's studies with their spread, then study by study.

    Args:
        importances: from `tuning.importances`: columns `study`, `path`, `importance` and, if known, `trials`.
        studies: all studies, so that those without importances are named.
    """
    pooled = [
        (row["method"], row["path"], percent(row["mean"]), _or_empty(row["sd"]), str(row["studies"]))
        for row in pooled_importances(importances).to_dict("records")
    ]
    ordered = importances.sort_values(["study", "importance"], ascending=[True, False], kind="stable")
    each = [(row["study"], row["path"], percent(row["importance"])) for row in ordered.to_dict("records")]
    header = ("method", "hyperparameter", "mean", "sd over studies", "studies")
    blocks = [Block("importances", "Importance of hyperparameters, pooled (%)", header, tuple(map(_texts, pooled)), 2)]
    if each:
        names = ("study", "hyperparameter", "importance")
        blocks.append(Block("importances:study", "Importance, study by study (%)", names, tuple(map(_texts, each)), 2))
    notes = tuple(importance_gaps(importances, studies))
    return Document(tuple(blocks), (Sentences("note", "", notes),) if notes else ())


def search_studies(frame: pd.DataFrame) -> list[str]:
    """The studies of a tidy frame that hold search trials, by name, sorted."""
    return sorted(set(study_names(frame[frame["kind"] == "search"])))


def importance_gaps(importances: pd.DataFrame | None, studies: Iterable[str]) -> Iterator[str]:
    """What is to be said of importances: of which studies there are none, and which rest on a part of the trials."""
    if importances is None:
        return
    lacking = sorted(set(studies) - set(importances["study"]))
    if lacking:
        yield (
            f"No importances of {', '.join(lacking)}: that takes {FEWEST_TRIALS} complete trials, two "
            "hyperparameters that vary, and best trials that stand out from the others."
        )
    part = importances[importances["measured"] < importances["trials"]] if "measured" in importances else NO_IMPORTANCES
    for study, trials in part.groupby("study") if len(part) else ():
        first = trials.iloc[0]
        yield f"Importances of {study} rest on {first['measured']} of its {first['trials']} complete trials, evenly by number."


def _interval_line(row: Row, column: str, cell: Cell) -> tuple[str, ...]:
    values = list(cell.values.values())
    intervals = (interval_text(t_interval(values)), interval_text(bca_interval(values)) or "from n = 20")
    return (row.name, column, percent(cell.mean or 0.0), _or_empty(cell.sd), str(cell.n), *intervals)


def _comparison_line(comparison: Comparison) -> tuple[str, ...]:
    test = comparison.test
    names = (comparison.column, comparison.best.name, comparison.other.name)
    if test is None:
        return (*names, "no seed in common", "", "", "", "", "", p_text(comparison.p_holm), "0")
    g, of_g = test.effect or (None, None)
    effect = ("", "") if g is None or of_g is None else (f"{g:.2f}", f"[{of_g[0]:.2f}, {of_g[1]:.2f}]")
    p_values = map(p_text, (test.p, test.smallest_p, comparison.p_holm))
    return (*names, percent(test.difference), interval_text(test.interval), *effect, *p_values, str(test.n))


def _not_compared(
    rows: Sequence[Row],
    columns: Sequence[str],
    cells: Mapping[tuple[Row, str], Cell],
    found: Sequence[Comparison],
) -> Iterator[str]:
    """By column the rows that stand in no comparison, with what is in their cells."""
    compared = {(row, comparison.column) for comparison in found for row in (comparison.best, comparison.other)}
    for column in columns:
        without = [
            f"{row.name} ({_gap_text(cells[row, column], column)})" for row in rows if (row, column) not in compared
        ]
        if without:
            yield f"Not compared, {column}: {'; '.join(without)}."


def _gap_text(cell: Cell, column: str) -> str:
    if cell.state != "absent":
        return cell_text(cell)
    return "no seed with a number on every pair" if column == AVERAGE else "not planned"


def _wilcoxon(ranks: Ranks, k: int) -> Iterator[Block]:
    if ranks.p:
        lines = [(a, b, p_text(p)) for (a, b), p in sorted(ranks.p.items(), key=lambda found: found[1])]
        title = f"k = {k}: Wilcoxon signed-rank tests over pairs"
        yield Block(f"wilcoxon:{k}", title, ("A", "B", "Holm p"), tuple(map(_texts, lines)), 2)


def _rank_note(ranks: Ranks) -> str:
    if ranks.critical_difference is None:
        return f"description only, a test of {len(ranks.mean_rank)} methods needs {ranks.needed} pairs."
    return f"Nemenyi's critical difference is {ranks.critical_difference:.2f} (Demsar 2006)."


def _curse_block(curses: pd.DataFrame) -> Block:
    lines = []
    for study, c in zip(study_names(curses), curses.to_dict("records"), strict=True):
        numbers = [f"{c[name]:.4f}" for name in ("seen", "confirmed", "curse")]
        lines.append((study, *numbers, "" if pd.isna(c["low"]) else f"[{c['low']:.4f}, {c['high']:.4f}]"))
    header = ("study", "score in the search", "confirmed", "difference", "95 % t interval")
    title = "Winner's curse: the selection score the search saw, and on confirmation seeds"
    return Block("curse", title, header, tuple(map(_texts, lines)))


def _regret_block(regrets: pd.DataFrame) -> Block:
    lines = []
    for study, r in zip(study_names(regrets), regrets.to_dict("records"), strict=True):
        chosen, oracle, regret = (percent(r[name]) for name in ("chosen_macro_f1", "oracle_macro_f1", "regret"))
        lines.append((study, str(r["trials"]), str(r["chosen"]), chosen, str(r["oracle"]), oracle, regret))
    header = ("study", "scored trials", "rule's trial", "its F1", "oracle's trial", "its best F1", "regret")
    title = "Regret of selection: macro F1 on test, search seeds (percent)"
    return Block("regret", title, header, tuple(map(_texts, lines)))


def _values_of(confirmed: Confirmed, row: Row, metric: str) -> pd.DataFrame:
    records = confirmed.records
    here = records[(records[KEYS] == list(row.key)).all(axis=1) & records[metric].notna()]
    return here.rename(columns={metric: "value"})[["pair", "label_seed", "init_seed", "value"]].reset_index(drop=True)


def _or_empty(fraction: float | None) -> str:
    return "" if fraction is None or pd.isna(fraction) else percent(fraction)


def _texts(line: Iterable[str]) -> tuple[Text, ...]:
    return words(*line)

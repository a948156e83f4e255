"""The note below a table: what a reader must know before believing a number in it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from agsgtl.data.pools import BY_DRAW, TEST_POOL
from agsgtl.reporting.cells import AVERAGE, TITLES, Cell, Table, p_text
from agsgtl.reporting.confirmed import Confirmed
from agsgtl.reporting.marks import ALPHA, complete_means, not_ranked, same_count
from agsgtl.reporting.plan import Plan
from agsgtl.reporting.rows import Row
from agsgtl.reporting.statistics import Ranks, rank_methods
from agsgtl.reporting.statviews import DEPENDENT_PAIRS, unscored_notes
from agsgtl.reporting.tidy import BETWEEN_NOTES
from agsgtl.reporting.vaultlog import Looks

_AT_RANDOM = (
    f"{TEST_POOL}pixels drawn at random, which lie among pixels that may train: optimistic for areas without labels"
)
"""What is said of a pair whose records say nothing of its test pool."""


def write_note(table: Table, confirmed: Confirmed, looks: Sequence[Looks]) -> tuple[str, ...]:
    """The sentences of the note; the same records give the same sentences, whatever the order of folders."""
    records, plans = confirmed.records, confirmed.plans
    return (
        _seeds(table.cells, records),
        *_pools(records),
        *_labels(records),
        *_tuning(table.rows, plans),
        *_selection(records),
        *_remarks(records),
        *_marks(table),
        *_ranks(table),
        *_gaps(table.cells),
        *_seed_sets(table.cells),
        *_mixed_configs(records),
        *_oracle(table.rows),
        *unscored_notes(confirmed.frame),
        *_vault(confirmed.frame, looks),
        *sorted({_sentence(warning) for plan in plans for warning in plan.warnings}),
    )


def _seeds(cells: Mapping[tuple[str, Row, str], Cell], records: pd.DataFrame) -> str:
    pool = (
        "each run's test pixels"
        if records["pair_notes"].str.contains(BY_DRAW, regex=False).any()
        else "the fixed test pool"
    )
    counts = sorted({cell.n for (_, row, _), cell in cells.items() if cell.n and not row.oracle})
    if not counts:
        return "No confirmed record has test scores yet."
    text = f"Percent on {pool}, mean ± sd (ddof 1) over n = {_join(counts, 'or')} confirmation seeds"
    return text + ("; a cell of n = 1 has no sd." if 1 in counts else ".")


def _pools(records: pd.DataFrame) -> Iterable[str]:
    """How the pairs were made, and above all how their test pixels were chosen: what the numbers can be believed for."""
    made = records[records["status"] == "complete"].drop_duplicates(["pair", "pair_notes"])
    pairs_of = dict[str, set[str]]()
    for pair, notes in made[["pair", "pair_notes"]].itertuples(index=False):
        told = notes.split(BETWEEN_NOTES) if pd.notna(notes) else []
        for note in told if any(note.startswith(TEST_POOL) for note in told) else [*told, _AT_RANDOM]:
            pairs_of.setdefault(note, set()).add(pair)
    for note, pairs in sorted(pairs_of.items()):
        of_some = f" ({_join(sorted(pairs), 'and')})" if pairs < set(made["pair"]) else ""
        yield _sentence(note + of_some)


def _labels(records: pd.DataFrame) -> Iterable[str]:
    used = (
        records[["per_class", "validation_per_class"]]
        .drop_duplicates()
        .sort_values(["per_class", "validation_per_class"])
    )
    counts = [f"{k} + {v}" if pd.notna(v) else f"{k} + ?" for k, v in used.itertuples(index=False)]
    if counts:
        yield f"Labelled target pixels a class, k training + v validation: {_join(counts, 'or')}."
    yield "Transductive: methods that adapt see all pixels of the target scene, test pixels too, but no test label."


def _tuning(rows: Sequence[Row], plans: Sequence[Plan]) -> Iterable[str]:
    tuned = [row for row in rows if row.tuned_trials]
    if not tuned:
        return
    trials = {count for row in tuned for count in row.tuned_trials}
    listed = _join(sorted({f"{row.method} ({_range(row.tuned_trials)})" for row in tuned}), "and")
    yield f"Tuned, with the number of trials per study: {listed}; all other methods ran at fixed settings."
    if len(trials) > 1:
        yield f"Caution: tuned methods were given unequal numbers of trials ({_range(trials)})."
    untuned = sorted({method for plan in plans for method in plan.tunable_but_untuned} - {row.method for row in tuned})
    if untuned:
        were = "was" if len(untuned) == 1 else "were"
        yield f"Caution: {_join(untuned, 'and')} could have been tuned too and {were} not."


def _selection(records: pd.DataFrame) -> Iterable[str]:
    rules = sorted(set(records.loc[records["origin_trial"].notna(), "select"].dropna()))
    if rules:
        yield (
            f"Configurations were selected by {_join(rules, 'or')}; sd and intervals hold for the chosen ones: the "
            "search's own variance is not in them."
        )


def _remarks(records: pd.DataFrame) -> Iterable[str]:
    """What complete records say of themselves: of imported weights, that nobody knows which pixels they have seen."""
    told = records[(records["status"] == "complete") & records["message"].notna()]
    for method, message in sorted(set(told[["method", "message"]].itertuples(index=False, name=None))):
        yield f"{method}: {message}."


def _marks(table: Table) -> Iterable[str]:
    tests = [comparison.test for comparison in table.comparisons if comparison.test]
    if not tests:
        return
    metric, count = TITLES[table.metrics[0]], table.comparisons[0].family
    yield (
        f"Bold: best; underlined: second; †: not to be told from the best in {metric} (exact sign-flip test paired by "
        f"seed, two-sided, Holm-adjusted over the {count} comparisons of two methods in a column at one k, since the best "
        "is chosen from the same seeds)."
    )
    smallest = {test.n: test.smallest_p for test in tests}
    listed = _join([f"{p_text(p)} at n = {n}" for n, p in sorted(smallest.items())], "and")
    hopeless = all(comparison.lowest_holm >= ALPHA for comparison in table.comparisons)
    yield f"The smallest p that these seeds can give is {listed}" + (
        "; after the adjustment no difference could fall below .05, whatever its size." if hopeless else "."
    )


def _ranks(table: Table) -> Iterable[str]:
    pairs = [column for column in table.columns if column != AVERAGE]
    cells = table.of(table.metrics[0])
    spoke = False
    for rivals in same_count(table.rows) if len(pairs) > 2 else []:
        means = complete_means(rivals, pairs, cells)
        if len(means) > 1:
            yield _rank_sentence(rank_methods(means), table.metrics[0])
            spoke = True
            if without := not_ranked(rivals, pairs, cells):
                yield f"Without a rank: {_join(without, 'and')}."
    if spoke:
        yield DEPENDENT_PAIRS


def _rank_sentence(ranks: Ranks, metric: str) -> str:
    ordered = sorted(ranks.mean_rank.items(), key=lambda rank: (rank[1], rank[0]))
    text = (
        f"Mean ranks over {ranks.pairs} pairs in {TITLES[metric]}: {_join([f'{n} {r:.1f}' for n, r in ordered], 'and')}"
    )
    if not ranks.p:
        return f"{text}; description only, a test of {len(ordered)} methods needs {ranks.needed} pairs."
    told = sorted(f"{a} and {b} (p {p_text(p)})" for (a, b), p in ranks.p.items() if p < ALPHA)
    return f"{text}; Wilcoxon over pairs, Holm-adjusted, tells apart: {'; '.join(told) or 'none'}."


def _vault(frame: pd.DataFrame, looks: Sequence[Looks]) -> Iterable[str]:
    seen = functools.reduce(operator.or_, looks, Looks())
    if seen.distinct:
        yield (
            f"Test labels were opened for {len(seen.distinct)} distinct records, by a log whose chain of hashes is whole; "
            f"looks before a search on that pair was extended: {seen.before_extension}."
        )
    if seen.replaced:
        yield (
            f"Caution: of these records, confirmations that stand in the results no more: {seen.replaced}; a later choice of "
            "settings, methods or seeds replaced them, or they were run again or removed."
        )
    scored = set(map(tuple, frame.loc[frame["macro_f1"].notna(), ["results", "record"]].itertuples(index=False)))
    unlogged = len(scored - seen.records)
    if unlogged:
        yield f"Caution: {unlogged} scored records are not in the vault's log."


def _gaps(cells: Mapping[tuple[str, Row, str], Cell]) -> Iterable[str]:
    states = {cell.state for cell in cells.values()}
    if "missing" in states:
        yield "'not run': planned and not there yet."
    if "incomplete" in states:
        yield "'(n of m)': only n of m planned seeds have test scores."
    if any(cell.failures for cell in cells.values()):
        yield "Failed seeds are named with their reason and are not in the mean, which flatters methods that fail."
    if "absent" in states:
        yield "'–': never planned, or no average because no seed has a number on every pair."


def _seed_sets(cells: Mapping[tuple[str, Row, str], Cell]) -> Iterable[str]:
    sets = {
        frozenset(cell.values)
        for (_, row, column), cell in cells.items()
        if cell.n and not row.oracle and column != "average"
    }
    if len(sets) > 1:
        yield "Caution: cells have unequal sets of seeds, so differences between rows are not paired throughout."


def _mixed_configs(records: pd.DataFrame) -> Iterable[str]:
    distinct = records.groupby(["method", "per_class", "tag", "pair"])["settings"].nunique()
    mixed = [f"{method} on {pair}" for method, _, _, pair in distinct[distinct > 1].index]
    if mixed:
        yield f"Caution: the seeds of {_join(sorted(set(mixed)), 'and')} were trained with different settings."


def _oracle(rows: Sequence[Row]) -> Iterable[str]:
    if any(row.oracle for row in rows):
        yield "Oracle rows: per study the trial with the best test score, on search seeds; not a result of selection."


def _sentence(text: str) -> str:
    """A warning as an experiment stores it, with or without a capital and a full stop, as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _range(counts: Iterable[int]) -> str:
    ordered = sorted(set(counts))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _join(words: Sequence[object], last: str) -> str:
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"

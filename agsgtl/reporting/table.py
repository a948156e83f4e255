"""The table: methods x pairs and their average, every cell a mean over confirmation seeds on the fixed test pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.cells import Cell, average_cell
from agsgtl.reporting.notes import write_note
from agsgtl.reporting.plan import Plan, read_plan
from agsgtl.reporting.rows import KEYS, Row, list_rows, plan_cells, tag_records
from agsgtl.reporting.tidy import METRICS, collect, split_by

TABLE_METRICS = METRICS[:4]
AVERAGE = "average"


@dataclass(frozen=True)
class Table:
    """Cells by (metric, row, column); a column is a pair or `average`."""

    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, Row, str], Cell]
    note: tuple[str, ...]


def build_table(results: Sequence[Path], metric: str | None = None) -> Table:
    """The table over one or many experiments.

    Args:
        results: folders that sweeps wrote, `results/<experiment>`.
        metric: one of `METRICS`; None gives macro F1, balanced accuracy, mean IoU and overall accuracy.

    Raises:
        UserError: the metric is unknown, a folder or a record is damaged, or nothing was confirmed or planned.
    """
    if metric is not None and metric not in METRICS:
        raise UserError(f"--metric {metric}: is no metric of the table; {did_you_mean(metric, METRICS)}")
    plans = [read_plan(path) for path in results]
    return table_of(collect(results, unscored_search=False), plans, (metric,) if metric else TABLE_METRICS)


def table_of(frame: pd.DataFrame, plans: Sequence[Plan], metrics: Sequence[str]) -> Table:
    """The table of a tidy frame; see `build_table`."""
    records = tag_records(frame[frame["kind"] == "confirm"])
    planned = plan_cells(plans, records)
    if records.empty and planned.empty:
        raise UserError(
            "these results hold no confirmed record and no plan of one; `agsgtl sweep EXPERIMENT` confirms what it found"
        )
    _refuse_other_test_pools(records)
    rows = list_rows(records, planned)
    pairs = sorted(set(records["pair"]) | set(planned["pair"]))
    cells = {key: cell for metric in metrics for key, cell in _cells(records, planned, rows, pairs, metric).items()}
    for row, trials in oracle_rows(frame):
        rows.append(row)
        cells |= {(metric, row, pair): _oracle_cell(trials, pair, metric) for metric in metrics for pair in pairs}
    cells |= {
        (metric, row, AVERAGE): average_cell([cells[metric, row, pair] for pair in pairs])
        for metric in metrics
        for row in rows
    }
    note = write_note(records, planned, rows, cells, plans)
    return Table(tuple(metrics), tuple(rows), (*pairs, AVERAGE), cells, note)


def oracle_rows(frame: pd.DataFrame) -> list[tuple[Row, pd.DataFrame]]:
    """Per tuned method and k: the row of the trial that scored best on the *test* pool, and those trials' outcomes.

    Only studies whose search trials were opened by `agsgtl evaluate --trials` have one.
    """
    scored = frame[(frame["kind"] == "search") & (frame["status"] == "complete") & frame["macro_f1"].notna()]
    study = ["experiment", "method", "pair", "per_class"]
    per_trial = scored.groupby([*study, "number"], dropna=False, as_index=False)["macro_f1"].mean()
    per_trial = per_trial.sort_values([*study, "macro_f1", "number"], ascending=[True] * 4 + [False, True])
    best = scored.merge(per_trial.drop_duplicates(study)[[*study, "number"]], on=[*study, "number"])
    several_k = best["per_class"].nunique(dropna=False) > 1
    several_experiments = best["experiment"].nunique() > 1
    found = []
    for (experiment, method, per_class), trials in split_by(best, ["experiment", "method", "per_class"]):
        name = method + (f" ({experiment})" if several_experiments else "") + ", oracle choice (search seeds)"
        sampled = pd.isna(per_class)
        name += (", sampled k" if sampled else f", k = {per_class}") if several_k else ""
        found.append((Row(method, 0 if sampled else int(per_class), experiment, name, oracle=True), trials))
    return found


def _cells(
    records: pd.DataFrame, planned: pd.DataFrame, rows: Sequence[Row], pairs: Sequence[str], metric: str
) -> dict[tuple[str, Row, str], Cell]:
    where = [*KEYS, "pair"]
    recorded = {key: set(part["number"]) for key, part in split_by(records[[*where, "number"]], where)}
    wanted = {key: set(part["number"]) for key, part in split_by(planned[[*where, "number"]], where)}
    values = split_by(_seed_values(records, metric), where)
    by_cell = {key: dict(zip(part["number"].tolist(), part[metric].tolist(), strict=True)) for key, part in values}
    failed = records[records["status"] == "failed"].drop_duplicates([*where, "number"])
    failures = {key: Counter(part["reason"].fillna("error")) for key, part in split_by(failed, where)}
    return {
        (metric, row, pair): Cell(
            values=by_cell.get((*row.key, pair), {}),
            planned=len(wanted.get((*row.key, pair), set()) | recorded.get((*row.key, pair), set())),
            failures=failures.get((*row.key, pair), Counter()),
            recorded=len(recorded.get((*row.key, pair), ())),
        )
        for row in rows
        for pair in pairs
    }


def _seed_values(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One value a (row, pair, seed): the mean over its initialisations, where each of them is complete and scored."""
    where = [*KEYS, "pair", "number"]
    lacking = set(map(tuple, records.loc[records[metric].isna(), where].itertuples(index=False)))
    means = records.groupby(where, as_index=False)[[metric]].mean()
    whole = [key not in lacking for key in map(tuple, means[where].itertuples(index=False))]
    return means[whole]


def _oracle_cell(trials: pd.DataFrame, pair: str, metric: str) -> Cell:
    here = trials[trials["pair"] == pair].sort_values("label_seed")
    values = dict(zip(here["label_seed"].tolist(), here[metric].tolist(), strict=True))
    return Cell(values, len(values), {}, len(values))


def _refuse_other_test_pools(records: pd.DataFrame) -> None:
    pools = records.groupby("pair")["pair_fingerprint"].nunique()
    for pair in pools[pools > 1].index:
        folders = sorted(set(records.loc[records["pair"] == pair, "results"]))
        raise UserError(
            f"{pair}: the records in {', '.join(folders)} were made with different data or test pools, so their numbers cannot "
            "stand in one table; make a table for each folder"
        )

"""The confirmed records behind tables: which rows and pairs they make, and their cells for any metric."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agsgtl.errors import UserError
from agsgtl.reporting.cells import AVERAGE, Cell, average_cell
from agsgtl.reporting.plan import Plan, read_plan
from agsgtl.reporting.rows import KEYS, Row, list_rows, plan_cells, tag_records, with_trials_now
from agsgtl.reporting.tidy import collect, split_by

_PLACE = [*KEYS, "pair"]


@dataclass(frozen=True)
class Confirmed:
    """Tagged records and planned cells, with the rows and pairs that they make; `frame` is the whole tidy frame."""

    frame: pd.DataFrame
    records: pd.DataFrame
    planned: pd.DataFrame
    plans: tuple[Plan, ...]
    rows: tuple[Row, ...]
    pairs: tuple[str, ...]

    def cells(self, metric: str) -> dict[tuple[Row, str], Cell]:
        """The cells of one metric (a column of the tidy frame) by (row, pair), the average over pairs among them."""
        cells = _cells(self, metric)
        averages = {row: average_cell([cells[row, pair] for pair in self.pairs]) for row in self.rows}
        return cells | {(row, AVERAGE): cell for row, cell in averages.items()}

    @property
    def pair_files(self) -> dict[str, str]:
        """The file of each pair that is a user's own, by the pair's name."""
        found: dict[str, str] = {}
        for plan in self.plans:
            found |= (plan.content or {}).get("pair_files") or {}
        return found

    @functools.cached_property
    def progress(self) -> dict[tuple[Any, ...], tuple[int, Counter[str], int]]:
        """By row key and pair: the number of planned seeds, the reasons of those that failed, the number recorded."""
        recorded = {key: set(part["number"]) for key, part in split_by(self.records[[*_PLACE, "number"]], _PLACE)}
        wanted = {key: set(part["number"]) for key, part in split_by(self.planned[[*_PLACE, "number"]], _PLACE)}
        failed = self.records[self.records["status"] == "failed"].drop_duplicates([*_PLACE, "number"])
        reasons = {key: Counter(part["reason"].fillna("error")) for key, part in split_by(failed, _PLACE)}
        return {
            key: (
                len(recorded.get(key, set()) | wanted.get(key, set())),
                reasons.get(key, Counter()),
                len(recorded.get(key, ())),
            )
            for key in recorded.keys() | wanted.keys()
        }


def read_confirmed(results: Sequence[Path]) -> Confirmed:
    """The confirmed records of some results folders; raises as `confirmed_of`, and where a folder is damaged."""
    plans = tuple(read_plan(path) for path in results)
    return confirmed_of(collect(results, unscored_search=False), plans)


def confirmed_of(frame: pd.DataFrame, plans: tuple[Plan, ...] = ()) -> Confirmed:
    """The confirmed records of a tidy frame.

    Raises:
        UserError: nothing was confirmed or planned, or the records of one pair were made with different data.
    """
    records = with_trials_now(tag_records(frame[frame["kind"] == "confirm"], plans), plans)
    planned = plan_cells(plans, records)
    if records.empty and planned.empty:
        raise UserError(
            "these results hold no confirmed record and no plan of one; `agsgtl sweep EXPERIMENT` makes them"
        )
    _refuse_other_test_pools(records)
    pairs = tuple(sorted(set(records["pair"]) | set(planned["pair"])))
    return Confirmed(frame, records, planned, plans, tuple(list_rows(records, planned)), pairs)


def _cells(confirmed: Confirmed, metric: str) -> dict[tuple[Row, str], Cell]:
    values = split_by(_seed_values(confirmed.records, metric), _PLACE)
    by_place = {key: dict(zip(part["number"].tolist(), part[metric].tolist(), strict=True)) for key, part in values}
    keys = {(row, pair): (*row.key, pair) for row in confirmed.rows for pair in confirmed.pairs}
    return {
        place: Cell(by_place.get(key, {}), *confirmed.progress.get(key, (0, Counter(), 0)))
        for place, key in keys.items()
    }


def _seed_values(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One value a (row, pair, seed): the mean over its initialisations, where each of them is complete and scored.

    A seed has as many initialisations as any other that its experiment gave the row.
    """
    where = [*KEYS, "pair", "number"]
    wanted = records.groupby([*KEYS, "experiment"])["init"].transform("nunique")
    there = records.groupby(where)["init"].transform("nunique")
    lacks_one = records[metric].isna() | (there < wanted)
    lacking = set(map(tuple, records.loc[lacks_one, where].itertuples(index=False)))
    means = records.groupby(where, as_index=False)[[metric]].mean()
    whole = [key not in lacking for key in map(tuple, means[where].itertuples(index=False))]
    return means.loc[np.array(whole, dtype=bool)]


def _refuse_other_test_pools(records: pd.DataFrame) -> None:
    pools = records.groupby("pair")["pair_fingerprint"].nunique()
    for pair in pools[pools > 1].index:
        folders = sorted(set(records.loc[records["pair"] == pair, "results"]))
        raise UserError(
            f"{pair}: the records in {', '.join(folders)} were made with different data or test pools, so their "
            "numbers cannot stand in one table; make a table for each folder"
        )

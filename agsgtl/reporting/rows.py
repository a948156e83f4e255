"""Which rows a table has: a method at one k, named so that a shorter schedule or a tuning cannot hide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from agsgtl.config import AUTHORS_SETTINGS, HYPERPARAMETERS
from agsgtl.reads import READS
from agsgtl.reporting.plan import Plan
from agsgtl.reporting.tidy import split_by

FULL_EPOCHS = 200
"""The authors' count of epochs, of pre-training and (Houston) of adaptation; any other is said in the row's name."""

KEYS = ["method", "per_class", "tag"]
_SAME = ("settings", "pair_fingerprint")
"""What two records of one method, pair and seed have in common if they are the same run."""


@dataclass(frozen=True)
class Row:
    """One row: `tag` is the experiment's name where two experiments ran this method differently, else empty.

    `tuned_trials` lists the trials of the studies behind it, one entry a study; empty for a method that was not tuned.
    """

    method: str
    per_class: int
    tag: str
    name: str
    tuned_trials: tuple[int, ...] = ()
    oracle: bool = False

    @property
    def key(self) -> tuple[str, int, str]:
        """What records and planned cells find their row by."""
        return (self.method, self.per_class, self.tag)


def tag_records(confirmed: pd.DataFrame, plans: Sequence[Plan] = ()) -> pd.DataFrame:
    """The confirmed records with a column `tag`, empty unless experiments disagree about a (method, k).

    Two experiments agree where every seed of a pair was trained with the same values of all that the method reads, by one
    trainer, and judged by one rule; and from pair to pair with the same values of what no search of theirs chose. Copies of
    one run are dropped.
    """
    if confirmed.empty:
        return confirmed.assign(settings=0, tag="")
    values = _read(confirmed).assign(select=deciding_rule(confirmed), trainer_version=confirmed["trainer_version"])
    frame = confirmed.assign(
        settings=pd.util.hash_pandas_object(values, index=False),
        tag=pd.Series("", index=confirmed.index, dtype="string"),
    )
    groups = frame.groupby(["method", "pair", "per_class"])
    on_a_pair = (groups["experiment"].transform("nunique") > 1) & (groups["settings"].transform("nunique") > 1)
    tagged = (on_a_pair | _disagree_over_pairs(confirmed, values, plans)).groupby([frame["method"], frame["per_class"]])
    frame["tag"] = frame["tag"].where(~tagged.transform("any"), frame["experiment"])
    return _every_run_once(frame)


def deciding_rule(confirmed: pd.DataFrame) -> pd.Series:
    """The selection rule of each record, empty where it chose neither a trial nor an epoch."""
    has_epochs = confirmed["method"].map(lambda method: "adapt.keep" in READS.get(method, HYPERPARAMETERS))
    chose_epoch = has_epochs & (confirmed["adapt.keep"] == "best_validation").fillna(value=False)
    return confirmed["select"].where(chose_epoch | confirmed["origin_trial"].notna(), "").fillna("")


def _disagree_over_pairs(confirmed: pd.DataFrame, values: pd.DataFrame, plans: Sequence[Plan]) -> pd.Series:
    """Which records are of a (method, k) that experiments ran with different settings, what a pair decides left out.

    That is what was searched for, and for `paper` what a pair's authors have set. Of a tuned method whose plan does not say
    what was searched for, that may be anything.
    """
    fixed = values.copy()
    for (experiment, method), part in split_by(confirmed, ["experiment", "method"]):
        searched = frozenset[str]().union(*(plan.searched(method) for plan in plans if plan.experiment == experiment))
        if method == "paper":
            searched = frozenset(path for authors in AUTHORS_SETTINGS.values() for path in authors)
        elif not searched and part["origin_trial"].notna().any():
            searched = frozenset(HYPERPARAMETERS)
        fixed.loc[part.index, list(searched)] = "tuned"
    keys = ["method", "per_class"]
    hashed = confirmed[[*keys, "experiment"]].assign(fixed=pd.util.hash_pandas_object(fixed, index=False))
    used = hashed.drop_duplicates().groupby([*keys, "experiment"])["fixed"].agg(lambda found: str(sorted(found)))
    differs = used.groupby(keys).nunique() > 1
    return pd.Series(
        [bool(differs[key]) for key in confirmed[keys].itertuples(index=False, name=None)], confirmed.index
    )


def _every_run_once(frame: pd.DataFrame) -> pd.DataFrame:
    """The tagged records without copies of one run: a scored one stays before a complete one, and that before a failed one.

    A run that failed has no label draw to be known by: it is a copy where the same run did not fail elsewhere.
    """
    rank = frame["macro_f1"].isna().astype(int) + (frame["status"] == "failed").astype(int)
    ordered = frame.loc[rank.sort_values(kind="stable").index]
    run = [*KEYS, "pair", "number", "init", *_SAME]
    once = ordered.drop_duplicates([*run, "label_seed", "init_seed"]).sort_index()
    ended = (once["status"] != "failed").astype(bool)
    return once[ended | ~ended.groupby([once[name] for name in run], dropna=False).transform("any")]


def with_trials_now(confirmed: pd.DataFrame, plans: Sequence[Plan]) -> pd.DataFrame:
    """The records with `origin_trials` as the plans have it: a search that went on to the same winner kept its records."""
    now = {
        (plan.experiment, cell.method, cell.pair, cell.per_class): cell.trials
        for plan in plans
        for cell in plan.cells
        if cell.trials is not None
    }
    places = confirmed[["experiment", "method", "pair", "per_class"]].itertuples(index=False, name=None)
    counts = [now.get(place, then) for place, then in zip(places, confirmed["origin_trials"], strict=True)]
    return confirmed.assign(origin_trials=pd.array(counts, dtype="Int64"))


def list_rows(records: pd.DataFrame, planned: pd.DataFrame) -> list[Row]:
    """The rows of tagged records and planned cells (`method`, `per_class`, `tag`), in the order of `READS`."""
    keys = set(map(tuple, pd.concat([records[KEYS], planned[KEYS]]).astype(object).itertuples(index=False)))
    several_k = len({per_class for _, per_class, _ in keys}) > 1
    groups = dict(split_by(records, KEYS))
    rows = [_row(key, groups.get(key), several_k) for key in keys]
    return sorted(rows, key=lambda row: (_rank(row.method), row.method, row.tag, row.per_class))


def _read(records: pd.DataFrame) -> pd.DataFrame:
    """Every hyperparameter as text, empty where the record's method does not read it."""
    values = records[[*HYPERPARAMETERS]].astype("string").fillna("")
    for method, reads in READS.items():
        values.loc[records["method"] == method, [path for path in HYPERPARAMETERS if path not in reads]] = ""
    return values


def plan_cells(plans: Sequence[Plan], records: pd.DataFrame) -> pd.DataFrame:
    """The planned cells of all experiments: columns method, pair, per_class, tag, number (the seed)."""
    cells = [
        {
            "method": cell.method,
            "pair": cell.pair,
            "per_class": cell.per_class,
            "tag": "",
            "number": cell.seed,
            "experiment": plan.experiment,
        }
        for plan in plans
        for cell in plan.cells
    ]
    planned = pd.DataFrame(cells, columns=["method", "pair", "per_class", "tag", "number", "experiment"])
    tagged = set(map(tuple, records.loc[records["tag"] != "", ["method", "per_class"]].itertuples(index=False)))
    planned["tag"] = [
        experiment if (method, per_class) in tagged else ""
        for method, per_class, experiment in zip(
            planned["method"], planned["per_class"], planned["experiment"], strict=True
        )
    ]
    return planned.drop(columns="experiment").drop_duplicates()


def _row(key: tuple[str, int, str], group: pd.DataFrame | None, several_k: bool) -> Row:
    method, per_class, tag = key
    name = method + (f" ({tag})" if tag else "") + (_schedule(method, group) if group is not None else "")
    name += f", k = {per_class}" if several_k else ""
    trials: tuple[int, ...] = ()
    if group is not None:
        tuned = group[group["origin_trial"].notna()]
        trials = tuple(
            int(n) for n in tuned.drop_duplicates(["experiment", "origin_study"])["origin_trials"].sort_values()
        )
    return Row(method, int(per_class), tag, name, trials)


def _schedule(method: str, group: pd.DataFrame) -> str:
    """The counts of epochs that are not the authors' on Houston."""
    reads = READS.get(method, frozenset(HYPERPARAMETERS))
    units = {"adapt.epochs": "epochs", "pretrain.epochs": "pre-training epochs"}
    return "".join(_epochs(group[path], unit) for path, unit in units.items() if path in reads)


def _epochs(epochs: pd.Series, unit: str) -> str:
    """One count, or from the lowest to the highest where cells differ, so that no short one hides among them."""
    counts = sorted(set(epochs.dropna()))
    if counts in ([], [FULL_EPOCHS]):
        return ""
    return f", {counts[0]} to {counts[-1]} {unit}" if len(counts) > 1 else f", {counts[0]} {unit}"


def _rank(method: str) -> int:
    return [*READS, method].index(method)

"""One tidy frame of all results: a row per (record, seed outcome), from any number of results folders.

`results/README.md` describes every column. Fractions stay fractions here; only export prints percent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from agsgtl.config import HYPERPARAMETERS
from agsgtl.errors import UserError
from agsgtl.reporting.record import SCHEMA_VERSION, Record, Scores, ScoresFile, SeedOutcome, read_document

METRICS = ("macro_f1", "balanced_accuracy", "mean_iou", "overall_accuracy", "kappa")
IDENTITY = ["experiment", "kind", "method", "pair", "per_class", "number", "init"]

_TEXTS = [
    "experiment",
    "kind",
    "method",
    "pair",
    "status",
    "reason",
    "message",
    "select",
    "config_hash",
    "pair_fingerprint",
]
_TEXTS += ["origin_study", "device", "host", "results", "record"]
_INTEGERS = [
    "per_class",
    "validation_per_class",
    "number",
    "init",
    "label_seed",
    "init_seed",
    "epoch",
    "epochs",
    "best_epoch",
]
_INTEGERS += ["trainer_version", "origin_trials", "origin_trial", "test_pixels", "process", "attempt"]
_NUMBERS = ["score", "best_score", "record_score", "record_best_score", "origin_score", *METRICS]
_NUMBERS += ["duration_s", "cpu_s", "peak_memory_mib", "started_at", "ended_at"]
_COST = ("duration_s", "cpu_s", "peak_memory_mib", "device", "host", "process", "attempt", "started_at", "ended_at")
_NO_TRIALS_WITHIN = {"superseded", "pretrained", "data", "tables", "figures", "checkpoint", "ray"}
_CHUNK = 5000

_DTYPES: dict[str, str] = {
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(_INTEGERS, "Int64"),
    **dict.fromkeys(_NUMBERS, "float64"),
    **{
        p.path: {bool: "boolean", int: "Int64", float: "float64", str: "string"}[p.type]
        for p in HYPERPARAMETERS.values()
    },
}


def collect(results: Sequence[Path], unscored_search: bool = True) -> pd.DataFrame:
    """The tidy frame of some results folders, merged by run identity and sorted by it.

    Args:
        results: folders that sweeps wrote, `results/<experiment>`.
        unscored_search: also read search trials whose test scores nobody opened; tables do without.

    Raises:
        UserError: a folder is missing, a record is damaged, or two folders hold one identity with different configs.
    """
    frames = []
    for path in results:
        if not path.is_dir():
            raise UserError(f"{path}: there is no such folder of results; `agsgtl sweep EXPERIMENT` makes one")
        frames.append(read_trials(find_trials(path, unscored_search), path))
    return merge(concatenate(frames))


def concatenate(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames one below the other; empty ones decide no column's type."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0] if frames else empty()


def empty() -> pd.DataFrame:
    """The frame with every fixed column and no row."""
    return pd.DataFrame({name: pd.Series(dtype=_DTYPES[name]) for name in _DTYPES})


def merge(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every run once: copies in other folders go, one with test scores stays before one without.

    Raises:
        UserError: two folders hold the same identity with different config hashes.
    """
    _refuse_conflicts(frame)
    # Only the columns that decide are copied and sorted: the whole frame may be hundreds of MiB.
    keys = frame[[*IDENTITY, "results", "label_seed", "init_seed"]].copy()
    keys["rank"] = frame["macro_f1"].isna() * 2 + (frame["status"] != "complete").astype(int)
    keys = keys.sort_values([*IDENTITY, "rank", "results", "label_seed", "init_seed"], kind="stable")
    chosen = keys.groupby(IDENTITY, dropna=False)["results"].transform("first")
    return frame.loc[keys.index[keys["results"] == chosen]].reset_index(drop=True)


def split_by(frame: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """The parts of a frame that agree in some columns, with those columns' values, sorted by them; NA is a value."""
    for key, part in frame.groupby(list(keys), dropna=False):
        yield tuple(key), part


def find_trials(results: Path, unscored_search: bool = True) -> Iterator[str]:
    """The folders below `results` that hold a record, relative to it, without a look into checkpoints and data."""
    yield from _find_below(str(results), "", "record.json" if unscored_search else "scores.json")


def read_trials(names: Iterable[str], results: Path) -> pd.DataFrame:
    """The rows of some records, not merged; `names` are their folders below a results folder."""
    ordered = list(names)
    return concatenate([_read_chunk(ordered[at : at + _CHUNK], results) for at in range(0, len(ordered), _CHUNK)])


def _read_chunk(names: Sequence[str], results: Path) -> pd.DataFrame:
    """What a record's rows share is kept once a record and spread over them by the frame, which halves the time."""
    shared, outcomes, record_of = list[dict[str, Any]](), list[dict[str, Any]](), list[int]()
    for number, name in enumerate(names):
        record, scores = _read(f"{results}/{name}")
        shared.append({"results": str(results), "record": name, **_shared_columns(record)})
        rows = list(_rows(record, scores))
        outcomes += rows
        record_of += [number] * len(rows)
    spread = pd.DataFrame.from_records(shared).iloc[record_of].reset_index(drop=True)
    return _typed(pd.concat([spread, pd.DataFrame.from_records(outcomes, index=spread.index)], axis=1))


def _find_below(root: str, name: str, wanted: str) -> Iterator[str]:
    """The folders below `root/name` with a record; search trials need the file `wanted`.

    Names are texts here and in what reads them: for 100,000 trials that takes a third of the time of paths.
    """
    folder = f"{root}/{name}" if name else root
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    within = f"{name}/" if name else ""
    if folder.endswith("/trials"):
        yield from [within + trial for trial, _ in names if os.access(f"{folder}/{trial}/{wanted}", os.F_OK)]
    elif ("record.json", False) in names:
        yield name or "."
    else:
        for below, is_folder in names:
            if is_folder and below not in _NO_TRIALS_WITHIN:
                yield from _find_below(root, within + below, wanted)


def _read(folder: str) -> tuple[Record, tuple[Scores, ...]]:
    record = read_document(Record, f"{folder}/record.json")
    if record.schema_version > SCHEMA_VERSION:
        raise UserError(
            f"{folder}/record.json: was written by a newer agsgtl (schema {record.schema_version}, this one reads up "
            f"to {SCHEMA_VERSION}); update agsgtl"
        )
    scored = os.access(f"{folder}/scores.json", os.F_OK)
    scores = read_document(ScoresFile, f"{folder}/scores.json").scores if scored else ()
    for score in scores:
        for metric in METRICS:
            if not -1 <= getattr(score, metric) <= 1:
                raise UserError(
                    f"{folder}/scores.json: {metric} must be a fraction, got {getattr(score, metric)}; score this "
                    "record again"
                )
    return record, scores


def _rows(record: Record, scores: Sequence[Scores]) -> Iterator[dict[str, Any]]:
    """What each seed outcome of a record adds; a record that failed before its first outcome has one row too."""
    outcomes: Iterable[SeedOutcome | None] = record.outcomes or (None,)
    for index, outcome in enumerate(outcomes):
        score = scores[index] if index < len(scores) else None
        yield {**_outcome_columns(outcome), **_score_columns(score)}


def _shared_columns(record: Record) -> dict[str, Any]:
    origin = record.origin
    return {
        **{name: getattr(record.identity, name) for name in IDENTITY},
        "validation_per_class": record.config.get("labels.validation_per_class"),
        **{
            name: getattr(record, name)
            for name in ("status", "reason", "message", "select", "config_hash", "pair_fingerprint")
        },
        "trainer_version": record.trainer_version,
        "record_score": record.score,
        "record_best_score": record.best_score,
        **{
            f"origin_{name}": getattr(origin, name) if origin else None
            for name in ("study", "trials", "trial", "score")
        },
        **record.config,
        **{f"version:{name}": version for name, version in record.versions.items()},
        **{name: getattr(record.cost, name) for name in _COST},
    }


def _outcome_columns(outcome: SeedOutcome | None) -> dict[str, Any]:
    if outcome is None:
        return {}
    return {
        "label_seed": outcome.seeds.labels,
        "init_seed": outcome.seeds.init,
        **{name: getattr(outcome, name) for name in ("score", "best_score", "epoch", "epochs", "best_epoch")},
        **{f"validation:{name}": value for name, value in outcome.validation.items()},
        **{f"loss:{name}": value for name, value in outcome.losses.items()},
    }


def _score_columns(scores: Scores | None) -> dict[str, Any]:
    if scores is None:
        return {}
    per_class = zip(scores.class_names, scores.per_class_f1, strict=True)
    return {
        **{metric: getattr(scores, metric) for metric in METRICS},
        "test_pixels": scores.test_pixels,
        **{f"f1:{name}": value for name, value in per_class},
    }


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.reindex(columns=[*_DTYPES, *sorted(set(frame.columns) - set(_DTYPES))])
    extra = {name: "float64" for name in frame.columns if name.startswith(("f1:", "validation:", "loss:"))}
    extra |= {name: "string" for name in frame.columns if name.startswith("version:")}
    return frame.astype({**_DTYPES, **extra})


def _refuse_conflicts(frame: pd.DataFrame) -> None:
    hashes = frame.groupby(IDENTITY, dropna=False)["config_hash"].transform("nunique")
    if not (hashes > 1).any():
        return
    run = frame[hashes > 1].sort_values([*IDENTITY, "results"]).iloc[0]
    same = (frame[IDENTITY].astype("string").fillna("") == run[IDENTITY].astype("string").fillna("")).all(axis=1)
    folders = sorted(set(frame.loc[same, "results"]))
    raise UserError(
        f"{' and '.join(folders)}: hold the same run ({run['record']} of experiment '{run['experiment']}') with "
        "different configs; give one of the experiments another name, or leave one folder out"
    )

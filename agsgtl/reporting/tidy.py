"""One tidy frame of all results: a row per (record, seed outcome), from any number of results folders.

`results/README.md` describes every column. Fractions stay fractions here; only export prints percent.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.extensions import ExtensionArray

from agsgtl.config import HYPERPARAMETERS
from agsgtl.errors import UserError
from agsgtl.garbage import without_garbage_collection
from agsgtl.reporting.ledger import OWN_FOLDERS
from agsgtl.reporting.record import Record, Scores, ScoresFile, SeedOutcome, read_document

METRICS = ("macro_f1", "balanced_accuracy", "mean_iou", "overall_accuracy", "kappa")
BETWEEN_NOTES = " | "
"""What stands between the notes of a pair in one cell."""
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
    "pair_notes",
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
_PLAIN = ("status", "reason", "message", "select", "config_hash", "pair_fingerprint", "trainer_version")

_OF_RECORD = {
    **{name: f"identity.{name}" for name in IDENTITY},
    **{name: name for name in _PLAIN},
    "record_score": "score",
    "record_best_score": "best_score",
    **{name: f"cost.{name}" for name in _COST},
}
_OF_ORIGIN = {f"origin_{name}": name for name in ("study", "trials", "trial", "score")}
_OF_OUTCOME = {
    "label_seed": "seeds.labels",
    "init_seed": "seeds.init",
    **{name: name for name in ("score", "best_score", "epoch", "epochs", "best_epoch")},
}
_OF_SCORES = {name: name for name in (*METRICS, "test_pixels")}
"""By column the field that it is read from: of a record, its origin, a seed's outcome and its test scores."""

_NO_TRIALS_WITHIN = OWN_FOLDERS - {"confirm", "trials", "finals"}
_CHUNK = 2000

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
        unscored_search: also read studies none of whose search trials has test scores; tables do without.

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
    if len(filled) > 1:
        return pd.concat(filled, ignore_index=True)
    return filled[0].reset_index(drop=True) if filled else frames[0] if frames else empty()


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


def study_name(method: str, pair: str, per_class: Any, experiment: str = "") -> str:
    """A study's name, `<method>/<pair>/<k>`, where k is `sampled` if Optuna samples it; with its experiment if that is given.

    >>> study_name("agsgtl", "toy/a_to_b", 3), study_name("agsgtl", "toy/a_to_b", pd.NA, "demo")
    ('agsgtl/toy/a_to_b/3', 'agsgtl/toy/a_to_b/sampled (demo)')
    """
    return f"{method}/{pair}/{k_text(per_class)}" + (f" ({experiment})" if experiment else "")


def study_names(frame: pd.DataFrame) -> list[str]:
    """The name of each row's study, with its experiment where the frame has several."""
    several = frame["experiment"].nunique() > 1
    studies = frame[["method", "pair", "per_class", "experiment"]].itertuples(index=False, name=None)
    return [
        study_name(method, pair, per_class, experiment if several else "")
        for method, pair, per_class, experiment in studies
    ]


def k_text(per_class: Any) -> str:
    """K as studies are named by it; `sampled` where Optuna samples it."""
    return "sampled" if pd.isna(per_class) else str(per_class)


def find_trials(results: Path, unscored_search: bool = True) -> Iterator[str]:
    """The folders below `results` that hold a record, relative to it, without a look into checkpoints and data."""
    yield from _find_below(str(results), "", unscored_search)


def read_trials(names: Iterable[str], results: Path) -> pd.DataFrame:
    """The rows of some records, not merged; `names` are their folders below a results folder."""
    ordered = list(names)
    with without_garbage_collection():  # records hold no cycles, and looking for some takes a quarter of the time
        return concatenate([_read_chunk(ordered[at : at + _CHUNK], results) for at in range(0, len(ordered), _CHUNK)])


def _read_chunk(names: Sequence[str], results: Path) -> pd.DataFrame:
    """Column by column, so that each column has its type from the start; what rows share is read once a record."""
    found = [_read(f"{results}/{name}") for name in names]
    records = [record for record, _ in found]
    outcomes, scores, record_of = list[SeedOutcome | None](), list[Scores | None](), list[int]()
    for number, (record, scored) in enumerate(found):
        # A record that failed before its first outcome has one row too.
        rows = record.outcomes or (None,)
        outcomes += rows
        scores += [scored[index] if index < len(scored) else None for index in range(len(rows))]
        record_of += [number] * len(rows)
    shared = {
        "results": [str(results)] * len(names),
        "record": list(names),
        **_columns(records, _OF_RECORD),
        **_columns([record.origin for record in records], _OF_ORIGIN),
        **_keyed([record.config for record in records]),
        "validation_per_class": [record.config.get("labels.validation_per_class") for record in records],
        "pair_notes": [BETWEEN_NOTES.join(record.pair_notes) or None for record in records],
        **_keyed([record.versions for record in records], "version:"),
    }
    own = {
        **_columns(outcomes, _OF_OUTCOME),
        **_keyed([outcome.validation if outcome else None for outcome in outcomes], "validation:"),
        **_keyed([outcome.losses if outcome else None for outcome in outcomes], "loss:"),
        **_columns(scores, _OF_SCORES),
        **_keyed([_of_classes(one) if one else None for one in scores], "f1:"),
    }
    typed = {name: _typed(name, values, results).take(record_of) for name, values in shared.items()}
    typed |= {name: _typed(name, values, results) for name, values in own.items()}
    absent = {name: _typed(name, [None] * len(outcomes), results) for name in _DTYPES if name not in typed}
    order = [*_DTYPES, *sorted(typed.keys() - _DTYPES.keys())]
    return pd.DataFrame({name: (absent if name in absent else typed)[name] for name in order})


def _find_below(root: str, name: str, unscored_search: bool) -> Iterator[str]:
    """The folders below `root/name` with a record; a study without any test scores counts where `unscored_search` says so.

    Names are texts here and in what reads them: for 100,000 trials that takes a third of the time of paths.
    """
    folder = f"{root}/{name}" if name else root
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    within = f"{name}/" if name else ""
    if folder.endswith("/trials"):
        trials = [trial for trial, _ in names]
        if unscored_search or any(os.access(f"{folder}/{trial}/scores.json", os.F_OK) for trial in trials):
            yield from [within + trial for trial in trials if os.access(f"{folder}/{trial}/record.json", os.F_OK)]
    elif ("record.json", False) in names:
        yield name or "."
    else:
        for below, is_folder in names:
            if is_folder and below not in _NO_TRIALS_WITHIN:
                yield from _find_below(root, within + below, unscored_search)


def _read(folder: str) -> tuple[Record, tuple[Scores, ...]]:
    record = read_document(Record, f"{folder}/record.json")
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


def _columns(objects: Sequence[Any], fields: Mapping[str, str]) -> dict[str, list[Any]]:
    """By column the field of each object, None where there is no object."""
    getters = {name: operator.attrgetter(field) for name, field in fields.items()}
    return {name: [None if one is None else get(one) for one in objects] for name, get in getters.items()}


def _keyed(maps: Sequence[Mapping[str, Any] | None], prefix: str = "") -> dict[str, list[Any]]:
    """By key the value of each mapping, None where it has none."""
    names = {name for one in maps if one for name in one}
    return {prefix + name: [None if one is None else one.get(name) for one in maps] for name in sorted(names)}


def _of_classes(scores: Scores) -> dict[str, float]:
    return dict(zip(scores.class_names, scores.per_class_f1, strict=True))


def _typed(name: str, values: Sequence[Any], results: Path) -> ExtensionArray:
    dtype = _DTYPES.get(name) or ("string" if name.startswith("version:") else "float64" if ":" in name else "object")
    try:
        return pd.Series(values, dtype=dtype).array
    except (TypeError, ValueError):
        odd = next(value for value in values if value is not None and not _fits(value, dtype))
        raise UserError(
            f"{results}: a record holds {name} = {odd!r}, which is no {dtype}; set that record aside and sweep again"
        ) from None


def _fits(value: Any, dtype: str) -> bool:
    try:
        pd.Series([value], dtype=dtype)
    except (TypeError, ValueError):
        return False
    return True


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

"""The tidy frame kept as Parquet beside the ledger, so that only new records are parsed again.

A stored row counts as long as the sizes and times of its `record.json` and `scores.json` are as they were; the ledger
stays the truth, and `tables/records.parquet` may be deleted at any time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pyarrow import ArrowInvalid
from pyarrow.parquet import read_table

from agsgtl.durable import replace
from agsgtl.errors import UserError
from agsgtl.reporting.tidy import concatenate, empty, find_trials, merge, read_trials

STAMP = "_stamp"
"""The column that tells whether a record's files changed since they were read; it stays in the file."""


def stored_frame(results: Sequence[Path]) -> pd.DataFrame:
    """The tidy frame of all records of some results folders, as `tidy.collect`, by way of the store.

    Raises:
        UserError: as `tidy.collect`.
    """
    frames = [_refresh(path) for path in results]
    return merge(concatenate(frames))


def write_frame(results: Sequence[Path], out: Path) -> Path:
    """Writes the merged tidy frame of some results folders to one Parquet file; its path.

    Raises:
        UserError: as `tidy.collect`, or the file cannot be written.
    """
    frame = stored_frame(results)
    replace(out, lambda temporary: frame.to_parquet(temporary, index=False))
    return out


def store_path(results: Path) -> Path:
    """Where a folder's tidy frame is kept."""
    return results / "tables" / "records.parquet"


def _refresh(results: Path) -> pd.DataFrame:
    if not results.is_dir():
        raise UserError(f"{results}: there is no such folder of results; `agsgtl sweep EXPERIMENT` makes one")
    stamps = {name: _stamp(f"{results}/{name}") for name in find_trials(results)}
    stored = _read(store_path(results))
    current = (stored[STAMP] == stored["record"].map(stamps)).fillna(value=False)  # a record that is gone has no stamp
    fresh = stored if current.all() else stored[current]
    known = set(fresh["record"])
    new = read_trials([name for name in stamps if name not in known], results)
    if len(new) or len(fresh) < len(stored):
        new[STAMP] = new["record"].map(stamps).astype("string")
        fresh = concatenate([fresh, new])
        _write(fresh, store_path(results))
    del fresh[STAMP]
    fresh["results"] = pd.Series(str(results), index=fresh.index, dtype="string")
    return fresh


def _stamp(folder: str) -> str:
    return f"{_signature(f'{folder}/record.json')} {_signature(f'{folder}/scores.json')}"


def _signature(path: str) -> str:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return "-"
    return f"{status.st_size}:{status.st_mtime_ns}"


def _read(path: Path) -> pd.DataFrame:
    """The stored frame; an unreadable file is as good as none, and so is one that lacks a column that is known now."""
    nothing = empty().assign(**{STAMP: pd.Series(dtype="string")})
    try:
        # Column by column, each freed once it is converted: half the memory of pandas.read_parquet.
        frame: pd.DataFrame = read_table(path, memory_map=True).to_pandas(split_blocks=True, self_destruct=True)
    except (OSError, ArrowInvalid):
        return nothing
    return frame if set(nothing) <= set(frame) else nothing


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Keeps the frame where the folder can be written to; results on a read-only disk are read each time."""
    try:
        replace(path, lambda temporary: frame.to_parquet(temporary, index=False))
    except UserError:
        return

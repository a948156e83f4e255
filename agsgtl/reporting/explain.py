"""What lies behind one number of a table: its records, seeds, data, versions, and the commands that make them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agsgtl.config import AUTHORS_SETTINGS, HYPERPARAMETERS
from agsgtl.errors import UserError, did_you_mean
from agsgtl.reads import AUTHORS_METHOD, READS
from agsgtl.reporting.cells import AVERAGE, TITLES
from agsgtl.reporting.confirmed import Confirmed, read_confirmed
from agsgtl.reporting.layout import cell_text, percent
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.rows import KEYS, Row
from agsgtl.reporting.table import known_metric
from agsgtl.reporting.vaultlog import Opening, file_sha256, read_openings

_PROVENANCE = ("commit", "versions", "data", "checksums", "pair_files", "fingerprints", "trainer_version")


@dataclass(frozen=True)
class CellName:
    """A cell as a user spells it: `ROW:COLUMN` or `ROW:COLUMN:METRIC`, like `agsgtl:indian_pines/west_to_east`."""

    row: str
    column: str
    metric: str

    @classmethod
    def parse(cls, text: str) -> CellName:
        """The cell that a text names; a UserError where it names none."""
        row, _, rest = text.partition(":")
        column, _, metric = rest.partition(":")
        if not row or not column:
            raise UserError(f"'{text}': a cell reads ROW:COLUMN or ROW:COLUMN:METRIC, like agsgtl:my_pair:macro_f1")
        return cls(row.strip(), column.strip(), known_metric(metric.strip() or "macro_f1"))


def explain_cell(results: Sequence[Path], cell: str) -> str:
    """A readable account of one cell, ending with a newline.

    Raises:
        UserError: the cell is none of the table's, or the vault's chain is broken.
    """
    name = CellName.parse(cell)
    confirmed = read_confirmed(results)
    row = _find_row(confirmed, name.row)
    pairs = _find_pairs(confirmed, name.column)
    cells = confirmed.cells(name.metric)
    shown, behind = cells[row, name.column], [cells[row, pair] for pair in pairs]
    openings = {(str(path), o.record): o for path in results for o in read_openings(Ledger(path))}
    lines = [f"{row.name}, {name.column}, {TITLES[name.metric]}: {cell_text(shown)} (percent, n = {shown.n})", ""]
    records = _behind(confirmed, row, pairs)
    for _, record in records.iterrows():
        lines += [
            *_describe(record, name.metric, openings.get((record["results"], record["record"])), confirmed.pair_files),
            "",
        ]
    if failed := sum(sum(cell.failures.values()) for cell in behind):
        lines += [f"{failed} planned seeds failed, as said above, and are not in the mean", ""]
    if missing := sum(cell.planned - cell.recorded for cell in behind):
        lines += [f"{missing} planned seeds have no record yet; `agsgtl sweep` on the same experiment runs them", ""]
    return "\n".join([*lines, *_provenance(confirmed, set(records["experiment"]))]).rstrip() + "\n"


def command_for(record: pd.Series[Any], pair_files: Mapping[str, str]) -> str:
    """The command that makes a record's training again, from the tidy frame's row: what is not a default, or what `paper` may preset.

    Imported weights are imported again; of a method that this version does not have, a comment says so. `pair_files` names
    the file of each pair that is a user's own.
    """
    if record["method"] == AUTHORS_METHOD:
        return _import_command(record, pair_files)
    if record["method"] not in READS:
        return f"# '{record['method']}' is no method of this version: no command makes it again"
    settings = []
    preset = (
        {path for authors in AUTHORS_SETTINGS.values() for path in authors} if record["method"] == "paper" else set()
    )
    for path, known in HYPERPARAMETERS.items():
        value = record[path]
        if pd.notna(value) and (value != known.default or path in preset):
            settings += ["--set", f"{path}={_spell(value)}"]
    seeds = ["--seed", str(record["label_seed"])]
    if record["init_seed"] != record["label_seed"]:
        seeds += ["--init-seed", str(record["init_seed"])]
    words = [
        "agsgtl",
        "run",
        pair_files.get(record["pair"], record["pair"]),
        "--method",
        record["method"],
        *seeds,
        "--select",
        record["select"],
    ]
    return shlex.join([*words, *settings])


def _import_command(record: pd.Series[Any], pair_files: Mapping[str, str]) -> str:
    """The import, as far as the record knows it: neither the weights' file nor that of a user's own pair is kept."""
    pair = record["pair"]
    is_known = pair in pair_files or "/" in pair  # a name with a slash is the catalog's
    where = shlex.join(
        ["--pair", pair_files.get(pair, pair) if is_known else "PAIR.yaml", "--results", record["results"]]
    )
    unknown = "the authors' pickled weights" + ("" if is_known else f"; PAIR.yaml: that of {pair}")
    return f"agsgtl import-weights FILE {where}    # FILE: {unknown}"


def _find_row(confirmed: Confirmed, name: str) -> Row:
    found = [row for row in confirmed.rows if row.name == name] or [r for r in confirmed.rows if r.method == name]
    if len(found) == 1:
        return found[0]
    names = [row.name for row in found or confirmed.rows]
    raise UserError(f"'{name}' {'is several rows' if found else 'is no row'} of the table; {did_you_mean(name, names)}")


def _find_pairs(confirmed: Confirmed, column: str) -> list[str]:
    if column == AVERAGE:
        return list(confirmed.pairs)
    if column not in confirmed.pairs:
        raise UserError(f"'{column}' is no column of the table; {did_you_mean(column, [*confirmed.pairs, AVERAGE])}")
    return [column]


def _behind(confirmed: Confirmed, row: Row, pairs: Sequence[str]) -> pd.DataFrame:
    records = confirmed.records
    here = (records[KEYS] == list(row.key)).all(axis=1) & records["pair"].isin(pairs)
    return records[here].sort_values(["pair", "number", "init"])


def _describe(record: pd.Series[Any], metric: str, opening: Opening | None, pair_files: Mapping[str, str]) -> list[str]:
    value = percent(record[metric]) if pd.notna(record[metric]) else record["status"]
    path = Path(record["results"]) / record["record"]
    lines = [f"{value}  {path}"]
    if record["status"] == "failed":
        return [*lines, f"    failed: {record['reason']}: {str(record['message']).splitlines()[-1]}"]
    lines.append(f"    seeds: labels {record['label_seed']}, init {record['init_seed']}")
    lines.append(f"    kept: epoch {record['epoch']} of {record['epochs']}")
    lines.append(
        f"    data: {record['pair']}, fingerprint {record['pair_fingerprint']}; config hash {record['config_hash']}"
    )
    if pd.notna(record["origin_trial"]):
        lines.append(
            f"    chosen: trial {record['origin_trial']} of {record['origin_trials']} in {record['origin_study']}, "
            f"score {record['origin_score']:.4f} by {record['select']}"
        )
    versions = [
        f"{name.removeprefix('version:')} {record[name]}" for name in record.index if name.startswith("version:")
    ]
    lines.append(f"    made with: {', '.join(versions)}; trainer version {record['trainer_version']}")
    if (path / "checkpoint").is_dir():
        lines.append(f"    checkpoint: {path / 'checkpoint'}")
    lines.append(f"    vault: {_vault(path, opening)}")
    return [*lines, f"    again: {command_for(record, pair_files)}"]


def _vault(path: Path, opening: Opening | None) -> str:
    if opening is None:
        return "not in the log"
    same = file_sha256(path / "record.json") == opening.record_sha256
    state = "record unchanged since" if same else "RECORD CHANGED since: this number is not what was scored"
    return f"opened for {opening.purpose}; {state}"


def _provenance(confirmed: Confirmed, experiments: set[str]) -> list[str]:
    lines = []
    for plan in confirmed.plans:
        if plan.experiment in experiments and isinstance(plan.content, dict):
            known = {key: plan.content[key] for key in _PROVENANCE if key in plan.content}
            lines += [f"experiment {plan.experiment}:", *(f"    {key}: {value}" for key, value in known.items())]
    return lines


def _spell(value: object) -> str:
    return str(value).lower() if str(value) in ("True", "False") else str(value)

"""One self-contained report.html: tables, statistics, pictures, protocol, versions and commands; nothing is loaded."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from agsgtl.durable import replace_bytes
from agsgtl.reporting.cells import AVERAGE, TITLES
from agsgtl.reporting.confirmed import Confirmed, confirmed_of
from agsgtl.reporting.explain import command_for
from agsgtl.reporting.export import html_table, render
from agsgtl.reporting.figures import draw_all
from agsgtl.reporting.layout import Block, interval_text, percent, words
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.plan import read_plan
from agsgtl.reporting.rows import KEYS, Row
from agsgtl.reporting.statistics import bca_interval, selection_regret, separate_spread, t_interval, winners_curse
from agsgtl.reporting.store import stored_frame
from agsgtl.reporting.table import TABLE_METRICS, table_of
from agsgtl.reporting.vaultlog import read_looks
from agsgtl.reporting.views import class_tables, label_tables

_MOST_FIGURES = 60
_PNG_DPI = 110


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading; `body` is HTML."""

    key: str
    title: str
    body: Markup


def write_report(results: Path, importances: pd.DataFrame | None = None, out: Path | None = None) -> Path:
    """Writes `RESULTS/report.html`; its path.

    Args:
        results: the folder that a sweep wrote.
        importances: from `tuning.importances`: columns `study`, `path`, `importance`.
        out: another place for the file.

    Raises:
        UserError: as `build_table`, or the file cannot be written.
    """
    plan = read_plan(results)
    confirmed = confirmed_of(stored_frame([results]), (plan,))
    table = table_of(confirmed, TABLE_METRICS, [read_looks(Ledger(results))])
    skipped: list[str] = []
    figures = [{"name": name, "png": _png(figure)} for name, figure in _limited(results, importances, skipped)]
    page = _template().render(
        title=plan.experiment,
        results=Markup(render(table, "html")),  # noqa: S704 - every text in it was escaped by export
        sections=_sections(confirmed),
        figures=figures,
        skipped=skipped,
        protocol=yaml.safe_dump(plan.content, sort_keys=False, allow_unicode=True)
        if plan.content
        else "no experiment.yaml",
        versions=_versions(confirmed.frame),
        commands=_commands(confirmed),
    )
    path = out or results / "report.html"
    replace_bytes(path, page.encode())
    return path


def interval_block(confirmed: Confirmed, metric: str = "macro_f1") -> Block:
    """Mean, sd, Student t interval and, from n = 20, the BCa interval of every cell."""
    cells = confirmed.cells(metric)
    lines = []
    for row in confirmed.rows:
        for column in (*confirmed.pairs, AVERAGE):
            cell = cells[row, column]
            if cell.mean is None:
                continue
            values = list(cell.values.values())
            sd = "" if cell.sd is None else percent(cell.sd)
            intervals = (interval_text(t_interval(values)), interval_text(bca_interval(values)) or "from n = 20")
            lines.append(words(row.name, column, percent(cell.mean), sd, str(cell.n), *intervals))
    header = ("method", "pair", "mean", "sd", "n", "95 % t interval", "95 % BCa interval")
    return Block(f"intervals:{metric}", f"{TITLES[metric]} (%)", header, tuple(lines), 2)


def spread_block(confirmed: Confirmed, metric: str = "macro_f1") -> Block:
    """Where each row's spread comes from: label draw, initialisation, pair."""
    lines = []
    for row in confirmed.rows:
        values = _values_of(confirmed, row, metric)
        if len(values):
            found = separate_spread(values)
            sds = (found.label_draw, found.initialisation, found.pair)
            lines.append(words(row.name, *("" if sd is None else percent(sd) for sd in sds), found.note))
    header = ("method", "label draw (sd)", "initialisation (sd)", "pair (sd)", "")
    return Block("spread", f"Where the spread of {TITLES[metric]} comes from (percent points)", header, tuple(lines))


def selection_blocks(frame: pd.DataFrame) -> Iterator[Block]:
    """The winner's curse and, where `agsgtl evaluate --trials` scored them, the regret of selection, a line a study."""
    header: tuple[str, ...]
    curses = winners_curse(frame).to_dict("records")
    if curses:
        lines: list[tuple[str, ...]] = [
            (
                _study(c),
                *(f"{c[name]:.4f}" for name in ("seen", "confirmed", "curse")),
                f"[{c['low']:.4f}, {c['high']:.4f}]",
            )
            for c in curses
        ]
        header = ("study", "score in the search", "confirmed", "difference", "95 % t interval")
        title = "Winner's curse: the selection score the search saw, and on confirmation seeds"
        yield Block("curse", title, header, tuple(words(*line) for line in lines))
    regrets = selection_regret(frame).to_dict("records")
    if regrets:
        lines = []
        for r in regrets:
            shares = [percent(r[name]) for name in ("chosen_macro_f1", "oracle_macro_f1", "regret")]
            lines.append((_study(r), str(r["trials"]), str(r["chosen"]), shares[0], str(r["oracle"]), *shares[1:]))
        header = (
            "study",
            "scored trials",
            "rule's trial",
            "its F1",
            "oracle's trial",
            "its best F1",
            "regret",
        )
        title = "Regret of selection: macro F1 on test, search seeds (percent)"
        yield Block("regret", title, header, tuple(words(*line) for line in lines))


def _sections(confirmed: Confirmed) -> list[Section]:
    classes = _safe(render(class_tables(confirmed), "html"))
    found = [
        Section("classes", "Classes", classes),
        Section("intervals", "Intervals", _safe(html_table(interval_block(confirmed)))),
        Section("spread", "Spread", _safe(html_table(spread_block(confirmed)))),
    ]
    if len({row.per_class for row in confirmed.rows}) > 1:
        found.insert(1, Section("labels", "Labelled pixels", _safe(render(label_tables(confirmed), "html"))))
    selection = "\n".join(html_table(block) for block in selection_blocks(confirmed.frame))
    if selection:
        found.append(Section("selection", "Selection", _safe(selection)))
    return found


def _safe(html: str) -> Markup:
    """HTML from `export`, which escapes every text that it places."""
    return Markup(html)  # noqa: S704


def _limited(results: Path, importances: pd.DataFrame | None, skipped: list[str]) -> Iterator[tuple[str, Figure]]:
    """The first pictures; a page with hundreds of them helps nobody, and `agsgtl figures` writes them all."""
    for count, named in enumerate(draw_all([results], importances, skipped.append)):
        if count == _MOST_FIGURES:
            skipped.append(f"Only the first {_MOST_FIGURES} pictures are shown; `agsgtl figures` writes all of them.")
            return
        yield named


def _png(figure: Figure) -> str:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=_PNG_DPI)
    return base64.b64encode(out.getvalue()).decode()


def _template() -> Any:
    environment = Environment(loader=PackageLoader("agsgtl.reporting"), autoescape=select_autoescape(["j2"]))
    return environment.get_template("report.html.j2")


def _versions(frame: pd.DataFrame) -> list[str]:
    names = sorted(name for name in frame.columns if name.startswith("version:"))
    return [f"{name.removeprefix('version:')}: {' and '.join(sorted(frame[name].dropna().unique()))}" for name in names]


def _commands(confirmed: Confirmed) -> list[str]:
    sweep = [f"agsgtl sweep {plan.experiment}.yaml" for plan in confirmed.plans]
    done = confirmed.records[confirmed.records["status"] == "complete"]
    one_a_cell = done.sort_values(["number", "init"]).drop_duplicates([*KEYS, "pair"]).sort_values([*KEYS, "pair"])
    return [*sweep, *(command_for(record, confirmed.pair_files) for _, record in one_a_cell.iterrows())]


def _values_of(confirmed: Confirmed, row: Row, metric: str) -> pd.DataFrame:
    records = confirmed.records
    here = records[(records[KEYS] == list(row.key)).all(axis=1) & records[metric].notna()]
    return here.rename(columns={metric: "value"})[["pair", "label_seed", "init_seed", "value"]].reset_index(drop=True)


def _study(row: Mapping[Hashable, Any]) -> str:
    k = "sampled" if pd.isna(row["per_class"]) else row["per_class"]
    return f"{row['method']}/{row['pair']}/{k}"

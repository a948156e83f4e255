"""One self-contained report.html: tables, statistics, pictures, protocol, versions and commands; nothing is loaded."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from agsgtl.durable import replace_bytes
from agsgtl.reporting.confirmed import Confirmed, confirmed_of
from agsgtl.reporting.explain import command_for
from agsgtl.reporting.export import render
from agsgtl.reporting.figures import draw_all
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.plan import read_plan
from agsgtl.reporting.plotstyle import settle
from agsgtl.reporting.rows import KEYS
from agsgtl.reporting.statviews import Measure, importance_tables, search_studies
from agsgtl.reporting.store import stored_frame
from agsgtl.reporting.table import TABLE_METRICS, table_of
from agsgtl.reporting.vaultlog import read_looks
from agsgtl.reporting.views import FROM_RECORDS, VIEWS
from agsgtl.yamlfile import write_yaml

_MOST_OF_A_KIND = 7
_PNG_DPI = 110
_PAIRS_WITH_RANKS = 2
"""Ranks are told over more pairs than this."""
_TITLES = {"labels": "Labelled pixels"}
"""Headings of views that are not the view's name."""


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading; `body` is HTML."""

    key: str
    title: str
    body: Markup


def write_report(results: Path, measure: Measure | None = None, out: Path | None = None) -> Path:
    """Writes `RESULTS/report.html`; its path.

    Args:
        results: the folder that a sweep wrote.
        measure: `tuning.importances.measure_importances`; without it the report holds no importances.
        out: another place for the file.

    Raises:
        UserError: as `build_table`, or the file cannot be written.
    """
    plan = read_plan(results)
    confirmed = confirmed_of(stored_frame([results]), (plan,))
    importances = measure(confirmed.frame) if measure else None
    table = table_of(confirmed, TABLE_METRICS, [read_looks(Ledger(results))])
    skipped: list[str] = []
    figures = [{"name": name, "png": _png(figure)} for name, figure in _limited(confirmed, importances, skipped)]
    page = _template().render(
        title=plan.experiment,
        results=Markup(render(table, "html")),  # noqa: S704 - every text in it was escaped by export
        sections=_sections(confirmed, importances),
        figures=figures,
        skipped=skipped,
        protocol=write_yaml(plan.content) if plan.content else "no experiment.yaml",
        versions=_versions(confirmed.frame),
        commands=_commands(confirmed),
    )
    path = out or results / "report.html"
    replace_bytes(path, page.encode())
    return path


def _sections(confirmed: Confirmed, importances: pd.DataFrame | None) -> list[Section]:
    """Every view that has something to say, in the order in which they are read."""
    has_search = bool(studies := search_studies(confirmed.frame))
    documents = {name: VIEWS[name](confirmed, "macro_f1") for name in _views(confirmed)}
    if importances is not None and has_search:
        documents["importances"] = importance_tables(importances, studies)
    documents |= {name: view(confirmed.frame) for name, view in FROM_RECORDS.items() if has_search or name == "cost"}
    return [
        Section(name, _TITLES.get(name, name.capitalize()), _safe(render(document, "html")))
        for name, document in documents.items()
    ]


def _views(confirmed: Confirmed) -> Iterator[str]:
    yield "classes"
    if len({row.per_class for row in confirmed.rows}) > 1:
        yield "labels"
    yield from ("intervals", "comparisons", "spread", "selection")
    if len(confirmed.pairs) > _PAIRS_WITH_RANKS:
        yield "ranks"


def _safe(html: str) -> Markup:
    """HTML from `export`, which escapes every text that it places."""
    return Markup(html)  # noqa: S704


def _limited(
    confirmed: Confirmed, importances: pd.DataFrame | None, skipped: list[str]
) -> Iterator[tuple[str, Figure]]:
    """The first pictures of each kind; a page with hundreds of them helps nobody."""
    asked: Counter[str] = Counter()

    def wanted(kind: str) -> bool:
        asked[kind] += 1
        return asked[kind] <= _MOST_OF_A_KIND

    yield from draw_all(confirmed.frame, confirmed, importances, skipped.append, wanted)
    if any(count > _MOST_OF_A_KIND for count in asked.values()):
        skipped.append(
            f"Only the first {_MOST_OF_A_KIND} pictures of a kind are shown; `agsgtl figures` writes all of them."
        )


def _png(figure: Figure) -> str:
    settle(figure)
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
    swept = [plan for plan in confirmed.plans if plan.content]  # imported weights have no experiment file
    sweep = [f"agsgtl sweep EXPERIMENT.yaml    # the file named {plan.experiment}" for plan in swept]
    done = confirmed.records[confirmed.records["status"] == "complete"]
    one_a_cell = done.sort_values(["number", "init"]).drop_duplicates([*KEYS, "pair"]).sort_values([*KEYS, "pair"])
    return [*sweep, *(command_for(record, confirmed.pair_files) for _, record in one_a_cell.iterrows())]

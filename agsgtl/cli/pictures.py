"""`agsgtl figures`, `report` and `dashboard`: results to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agsgtl.cli.tables import OneResults, Results


def figures(
    results: Results,
    out: Annotated[Path | None, typer.Option(help="A folder; left out, `figures/` of the first results.")] = None,
) -> None:
    """Draw every picture that the results allow, as PNG and PDF."""
    from agsgtl.reporting.figures import write_figures
    from agsgtl.tuning.importances import measure_importances

    paths = write_figures(results, out or results[0] / "figures", measure_importances, notify=_say)
    for path in paths:
        print(path)


def report(
    results: OneResults,
    out: Annotated[Path | None, typer.Option(help="Another place for the file.")] = None,
) -> None:
    """Write one self-contained report.html: tables, figures, protocol, versions and commands."""
    from agsgtl.reporting.report import write_report
    from agsgtl.tuning.importances import measure_importances

    print(write_report(results, measure_importances, out))


def dashboard(
    results: OneResults,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On localhost.")] = 8080,
) -> None:
    """Open optuna-dashboard over the studies, on localhost (needs the extra `dashboard`)."""
    from agsgtl.tuning.dashboard import serve_dashboard

    serve_dashboard(results, port)


def _say(line: str) -> None:
    print(line, file=sys.stderr)

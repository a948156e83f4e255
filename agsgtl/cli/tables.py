"""`agsgtl table`, `status` and `evaluate`: from results to numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agsgtl.durable import replace_bytes
from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.export import render
from agsgtl.reporting.status import render_status
from agsgtl.reporting.table import build_table

ENDINGS = {"csv": "csv", "md": "md", "latex": "tex", "html": "html"}

Results = Annotated[list[Path], typer.Argument(help="Folders that sweeps wrote, like results/quickstart.")]
OneResults = Annotated[Path, typer.Argument(help="A folder that a sweep wrote, like results/quickstart.")]


def table(
    results: Results,
    format: Annotated[str, typer.Option(help="csv, md, latex or html.")] = "md",
    metric: Annotated[str | None, typer.Option(help="One metric instead of four, like macro_f1.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder to write table.<ending> to, besides stdout.")] = None,
) -> None:
    """Print the table of one or many experiments; nothing else goes to stdout."""
    if format not in ENDINGS:
        raise UserError(f"--format {format}: is no format of the table; {did_you_mean(format, ENDINGS)}")
    text = render(build_table(results, metric), format)
    if out is not None:
        replace_bytes(out / f"table.{ENDINGS[format]}", text.encode())
    print(text, end="")


def status(results: OneResults) -> None:
    """Say what is done, running and failed, and the best so far."""
    print(render_status(results))


def evaluate(
    results: OneResults,
    trials: Annotated[bool, typer.Option("--trials", help="Score the search trials on the test pool; logged.")] = False,
) -> None:
    """Score search trials on the test pool, after the decision: for `oracle` rows and regret, never for selection."""
    from agsgtl.tuning.evaluate import score_trials

    if not trials:
        raise UserError(
            "evaluate: say what to score: --trials, every complete search trial; confirmations are scored by `sweep`"
        )
    count = score_trials(results)
    print(f"{count} search trials scored; the vault's log is {results / 'vault.jsonl'}", file=sys.stderr)

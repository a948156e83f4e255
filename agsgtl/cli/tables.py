"""`agsgtl table`, `explain`, `status` and `evaluate`: from results to numbers, and from numbers back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agsgtl.durable import replace_bytes
from agsgtl.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from agsgtl.reporting.statviews import Measure

ENDINGS = {"csv": "csv", "md": "md", "latex": "tex", "html": "html"}
NUMBERS_DIFFER = 2
VIEWS = (
    *("methods", "classes", "labels", "ablation"),
    *("intervals", "comparisons", "ranks", "spread", "selection", "trials", "importances", "cost"),
)
EVALUATORS = ("ped_anova", "fanova")
TAKEN_BY: Mapping[str, tuple[str, ...]] = {
    "--metric": ("methods", "labels", "ablation", "intervals", "comparisons", "ranks", "spread"),
    "--reference": ("ablation", "comparisons"),
    "--intervals": ("methods",),
    "--evaluator": ("importances",),
}
"""Which views an option means something to."""

Results = Annotated[list[Path], typer.Argument(help="Folders that sweeps wrote, like results/quickstart.")]
OneResults = Annotated[Path, typer.Argument(help="A folder that a sweep wrote, like results/quickstart.")]


def table(
    results: Results,
    format: Annotated[str, typer.Option(help="csv, md, latex or html.")] = "md",
    metric: Annotated[str | None, typer.Option(help="One metric instead of four, like macro_f1.")] = None,
    view: Annotated[str, typer.Option(help=f"One of {', '.join(VIEWS)}.")] = "methods",
    reference: Annotated[
        str | None, typer.Option(help="The experiment that ablations, or the method that comparisons are made with.")
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="95 % t intervals in the cells.")] = False,
    evaluator: Annotated[
        str | None, typer.Option(help="Of importances: ped_anova, which is the default, or fanova.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="A .tex or .md file: which of its numbers differ from the records.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A folder to write table.<ending> to, besides stdout.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="A file for the tidy frame, a row per record and seed.")] = None,
) -> int:
    """Print the table of one or many experiments; nothing else goes to stdout."""
    from agsgtl.reporting.store import write_frame

    if format not in ENDINGS:
        raise UserError(f"--format {format}: is no format of the table; {did_you_mean(format, ENDINGS)}")
    given = {"--metric": metric, "--reference": reference, "--intervals": intervals, "--evaluator": evaluator}
    options = [option for option, value in given.items() if value not in (None, False)]
    if check is not None:
        others = {"--format": format != "md", "--view": view != "methods", "--out": out is not None}
        _refuse_beside_check([*options, *(option for option, is_given in others.items() if is_given)])
    _refuse_what_it_does_not_take(view, options)
    if parquet is not None:
        write_frame(results, parquet)
    if check is not None:
        return _check(results, check)
    text = _render(results, format, metric, view, reference, intervals, evaluator or EVALUATORS[0])
    if out is not None:
        replace_bytes(out / f"table.{ENDINGS[format]}", text.encode())
    print(text, end="")
    return 0


def explain(
    results: Results,
    cell: Annotated[
        str, typer.Argument(help="ROW:COLUMN or ROW:COLUMN:METRIC, like agsgtl:indian_pines/west_to_east.")
    ],
) -> None:
    """Say which records, seeds, data, commit and commands are behind a number of the table."""
    from agsgtl.reporting.explain import explain_cell

    print(explain_cell(results, cell))


def status(results: OneResults) -> None:
    """Say what is done, running and failed, and the best so far."""
    from agsgtl.reporting.status import render_status

    print(render_status(results))


def evaluate(
    results: OneResults,
    trials: Annotated[bool, typer.Option("--trials", help="Score the search trials on the test pool; logged.")] = False,
) -> None:
    """Score search trials on the test pool, after the decision: for `oracle` rows and regret, never for selection."""
    from agsgtl.tuning.evaluate import score_trials

    if not trials:
        raise UserError(
            "evaluate: say what to score: --trials, every complete search trial; `sweep` scores confirmations"
        )
    count = score_trials(results)
    print(f"{count} search trials scored; the vault's log is {results / 'vault.jsonl'}", file=sys.stderr)


def _refuse_beside_check(options: list[str]) -> None:
    if options:
        raise UserError(f"{', '.join(options)}: --check prints no table; leave it out, or run the command twice")


def _refuse_what_it_does_not_take(view: str, options: list[str]) -> None:
    """An unknown view is left to who builds it."""
    for option in options:
        if view in VIEWS and view not in TAKEN_BY[option]:
            raise UserError(
                f"{option}: --view {view} does not take it; leave it out, or choose of {', '.join(TAKEN_BY[option])}"
            )


def _render(
    results: list[Path],
    format: str,
    metric: str | None,
    view: str,
    reference: str | None,
    intervals: bool,
    evaluator: str,
) -> str:
    from agsgtl.reporting.export import render
    from agsgtl.reporting.layout import lay_out
    from agsgtl.reporting.table import build_table
    from agsgtl.reporting.views import build_view

    if view == "methods":
        return render(lay_out(build_table(results, metric), intervals=intervals), format)
    measure = _measure_by(evaluator) if view == "importances" else None
    return render(build_view(results, view, metric, reference, measure), format)


def _measure_by(evaluator: str) -> Measure:
    """Optuna is imported here alone: every other table is made without it."""
    from agsgtl.tuning.importances import measure_importances

    if evaluator not in EVALUATORS:
        raise UserError(f"--evaluator {evaluator}: measures no importance; {did_you_mean(evaluator, EVALUATORS)}")
    return partial(measure_importances, evaluator=evaluator)  # type: ignore[arg-type]


def _check(results: list[Path], paper: Path) -> int:
    from agsgtl.reporting.check import check_paper

    found = check_paper(results, paper)
    for finding in found.findings:
        print(finding)
    print(f"{paper}: {found}", file=sys.stderr)
    return NUMBERS_DIFFER if found.findings else 0

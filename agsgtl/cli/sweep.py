"""`agsgtl sweep`: search, then confirm, then the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Results = Annotated[Path, typer.Option("--results", help="The folder that holds one folder an experiment.")]


def sweep(
    experiment: Annotated[Path, typer.Argument(help="An experiment file, like experiments/quickstart.yaml.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, what is done, and how long it may take.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="A standing Ray cluster; left out, Ray starts here.")] = None,
    results: Results = Path("results"),
    yes: Annotated[
        bool, typer.Option("--yes", help="Set trials aside that a changed file has made meaningless.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the lease from a driver that seems alive.")
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Run again what failed, but not what diverged, once the cause is mended."),
    ] = False,
) -> int:
    """Search, confirm on fresh seeds, print the table; again: go on, or extend."""
    from agsgtl.tuning.stopping import interrupt_on_signals

    with interrupt_on_signals():  # around the imports too, which take seconds
        if dry_run:
            given = {"--address": address, "--yes": yes, "--take-over": take_over, "--retry-failed": retry_failed}
            _refuse_beside_dry_run(given)
            return _say_what_would_run(experiment, results)
        orders = {"address": address, "may_set_aside": yes, "take_over": take_over, "retry_failed": retry_failed}
        return _sweep(experiment, results, **orders)


def _refuse_beside_dry_run(options: dict[str, Any]) -> None:
    from agsgtl.errors import UserError

    if given := [name for name, value in options.items() if value]:
        raise UserError(
            f"--dry-run: does nothing with {', '.join(given)}, since it starts nothing, moves nothing and looks at this machine alone; "
            "leave out one or the other"
        )


def _say_what_would_run(experiment: Path, results: Path) -> int:
    from agsgtl.tuning import dryrun

    print(dryrun.describe(experiment, results))
    return 0


def _sweep(experiment: Path, results: Path, **orders: Any) -> int:
    """The exit code; `orders` are those of `tuning.sweep.Orders`."""
    from agsgtl.reporting.export import render
    from agsgtl.reporting.table import build_table
    from agsgtl.tuning.sweep import Orders, print_end
    from agsgtl.tuning.sweep import sweep as run_sweep

    end = run_sweep(experiment, results, Orders(**orders))
    print_end(end)
    has_record = any(folder.has_record() for folder in end.ledger.confirmations())
    if has_record and not end.is_interrupted:  # where nothing could be confirmed, `print_end` has said why
        print(render(build_table([end.ledger.path]), "md"), end="")
    return end.exit_code

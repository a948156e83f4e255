"""The `agsgtl` command: its commands, and what becomes of errors."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from agsgtl.cli import data, mapcommands, pictures, run, sweep, tables
from agsgtl.errors import UserError


class _Commands(TyperGroup):
    """Says that Ctrl-C was heard, which typer would turn into an exit code without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise


app = typer.Typer(
    name="agsgtl",
    cls=_Commands,
    help="Tune and compare methods that transfer a segmentation network from one hyperspectral scene to another.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(sweep.sweep)
app.command()(run.run)
app.command()(tables.status)
app.command()(tables.table)
app.command()(tables.explain)
app.command()(tables.evaluate)
app.command()(pictures.figures)
app.command()(pictures.report)
app.command()(pictures.dashboard)
app.command()(mapcommands.predict)
app.command()(mapcommands.import_weights)
app.add_typer(data.data_app, name="data")

BAD_INPUT = 1
INTERRUPTED = 130
FAULTS_OF_THE_DISK: Final = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ESTALE,
)
"""What the operating system says of a place, and no code of ours can mend; any other of its errors is a bug, with a traceback."""


def main() -> None:
    """Runs the command; a user's mistake or a failing disk is one line and exit code 1, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        _stop(str(error))
    except typer.TyperException as error:  # usage errors would exit with 2, which here means a failed trial
        message = error.format_message().rstrip(".")
        _stop(f"{message or 'which command?'}; see `agsgtl --help`")
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        _require_output()
        if error.errno not in FAULTS_OF_THE_DISK:
            raise
        _stop_for(error)
    _require_output()
    sys.exit(code if isinstance(code, int) else 0)


def _stop(message: str) -> NoReturn:
    print(f"agsgtl: {message}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def _stop_for(error: OSError) -> NoReturn:
    """One line that names the file where the system does; for the output, and a file that was open already, it does not."""
    where = f"{error.filename}: " if error.filename else ""
    _stop(f"{where}{error.strerror}; make room or name another place, and call again")


def _require_output() -> None:
    """Ends the command where nobody takes what it printed: quietly if the reader has gone (`| head`), else in one line."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # What is left goes nowhere, or Python would try it again at the end and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(BAD_INPUT)
        _stop_for(error)

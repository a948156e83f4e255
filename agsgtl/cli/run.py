"""`agsgtl run`: one trial in this process, without Ray, for looking closely."""

from __future__ import annotations

import pdb
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from agsgtl.config import AUTHORS_SETTINGS, configure, parse_overrides
from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.ledger import SINGLE_RUNS, TrialFolder
from agsgtl.reporting.record import SELECTION_RULES, Record
from agsgtl.seeds import Seeds

FAILED_TRIAL = 2
INTERRUPTED = 130


def run(
    pair: Annotated[str, typer.Argument(help="A pair of `agsgtl data list`, or a pair's YAML file.")],
    method: Annotated[str, typer.Option(help="The method to train.")] = "agsgtl",
    settings: Annotated[list[str] | None, typer.Option("--set", help="path=value, as often as wanted.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the labelled pixels and the first weights.")] = 0,
    init_seed: Annotated[int | None, typer.Option(min=0, help="Another seed for the weights; default: --seed.")] = None,
    select: Annotated[
        str, typer.Option(help="The selection rule: " + ", ".join(SELECTION_RULES) + ".")
    ] = "target_validation",
    out: Annotated[Path | None, typer.Option(help="The trial's folder; one with a checkpoint is gone on from.")] = None,
    use_pdb: Annotated[bool, typer.Option("--pdb", help="Open the debugger where the trial fails.")] = False,
) -> int:
    """Train one trial here and now; no test label is opened."""
    from agsgtl.data.pairing import load_pair
    from agsgtl.laststate import require_own_checkpoint
    from agsgtl.training.methods import method as find_method
    from agsgtl.trial import Place, debug_setup, hash_of, run_trial

    reads = find_method(method, "--method").reads
    if select not in SELECTION_RULES:
        raise UserError(f"--select {select}: is no selection rule; {did_you_mean(select, SELECTION_RULES)}")
    the_pair = load_pair(pair)
    authors = AUTHORS_SETTINGS[the_pair.authors_settings] if method == "paper" else {}
    overrides = parse_overrides(settings or [])
    config = configure(authors, overrides, origin="--set")
    if unread := [path for path in overrides if path not in reads]:
        print(f"--set: {method} does not read {', '.join(unread)}, which changes nothing here", file=sys.stderr)
    folder = TrialFolder(out or _free_folder(Path("results") / SINGLE_RUNS))
    if folder.has_record():
        raise UserError(f"--out {folder.path}: holds a finished trial already; choose another folder")
    seeds = Seeds(labels=seed, init=seed if init_seed is None else init_seed)
    setup = debug_setup(the_pair, config, method, seeds, select)
    require_own_checkpoint(folder, hash_of(config, the_pair, setup))
    with _LiveLine() as line:
        place = Place(folder, folder.path.parent / "pretrained", line.show, raises=use_pdb)
        try:
            record = run_trial(config, the_pair, setup, place)
        except Exception:
            if not use_pdb:
                raise
            line.stop()
            traceback.print_exc()
            pdb.post_mortem()
            return FAILED_TRIAL
    return _say(record, folder)


def _free_folder(root: Path) -> Path:
    """A new numbered folder, which two runs that start together do not share."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            taken = [int(path.name) for path in root.glob("*") if path.name.isdecimal()]
            folder = root / f"{max(taken, default=0) + 1:04d}"
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise UserError(f"{root}: cannot be written: {error.strerror}; name another folder with --out") from None


def _say(record: Record, folder: TrialFolder) -> int:
    if record.reason == "interrupted":
        print(
            f"interrupted; `--out {folder.path}` with the same arguments goes on from its last checkpoint",
            file=sys.stderr,
        )
        return INTERRUPTED
    if record.status == "failed":
        print(
            f"failed: {record.reason}: {record.message}\nthe record is {folder.path / 'record.json'}", file=sys.stderr
        )
        return {"bad_input": 1, "diverged": 0}.get(record.reason or "error", FAILED_TRIAL)
    outcome = record.outcomes[0]
    epochs = f"at epoch {outcome.epoch} of {outcome.epochs}" if outcome.epochs else "without epochs"
    print(f"{record.identity.method} on {record.identity.pair}: {record.select} {record.score:.4f} {epochs}")
    pixels = record.config["labels.validation_per_class"]
    for name, value in outcome.validation.items():
        print(f"  {name.replace('_', ' ')} on {pixels} validation pixels a class: {value:.4f}")
    print(
        f"  {record.cost.duration_s:.1f} s, {record.cost.peak_memory_mib:.0f} MiB; record, weights and class map in {folder.path}"
    )
    return 0


class _LiveLine:
    """One line that refreshes on a terminal: epoch, losses, score, time left; elsewhere a line now and then."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        self.started_at = self.shown_at = time.monotonic()

    def __enter__(self) -> _LiveLine:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Gives the terminal back."""
        if self.live:
            self.live.stop()

    def show(self, report: dict[str, object]) -> None:
        """Shows a trial's report."""
        now = time.monotonic()
        epoch, epochs = int(str(report["epoch"])), int(str(report["epochs"]))
        left = (now - self.started_at) / epoch * (epochs - epoch)
        losses = report["losses"]
        shown = ", ".join(f"{name} {value:.3g}" for name, value in losses.items()) if isinstance(losses, dict) else ""
        line = f"epoch {epoch}/{epochs}  loss: {shown}  score {report['score']:.3f}, best {report['best_score']:.3f}  {left:.0f} s left"
        if self.live:
            self.live.update(line, refresh=True)
        elif now - self.shown_at > 5 or epoch == epochs:
            self.shown_at = now
            print(line, file=sys.stderr, flush=True)

"""`--dry-run`: which studies and confirmations there are, what is done of them, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch

from agsgtl.config import Config, configure
from agsgtl.errors import Diverged
from agsgtl.reporting.ledger import Ledger
from agsgtl.seeds import Seeds
from agsgtl.training.methods import METHODS
from agsgtl.trial import Place, debug_setup, run_trial
from agsgtl.tuning.cluster import local_slots
from agsgtl.tuning.concurrency import concurrency_of, warnings_of
from agsgtl.tuning.confirm import fixed_choices
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import study_names
from agsgtl.tuning.resolved import find_changes, say_changes, stored_experiment, touched_studies
from agsgtl.tuning.starts import require_warm_start
from agsgtl.tuning.study import StudyName

TIMED_EPOCHS = 3


def describe(path: Path, results: Path) -> str:
    """What a sweep of this file would do on this machine; nothing is written, no Ray is started.

    The estimate times a few epochs of each method in the middle of its search space, here and now. A change of the file that
    the sweep would refuse without `--yes` is a note, and the studies that it touches count as not begun.

    Raises:
        UserError: the file is wrong, what it needs is damaged or not there, or not one trial fits on this machine.
    """
    experiment = load_experiment(path)
    slots = local_slots(experiment.file.resources, torch.cuda.device_count())
    ledger = Ledger((results / experiment.file.name).resolve())
    stored = stored_experiment(ledger)
    concurrency = stored["concurrency"] if stored else concurrency_of(experiment, slots)
    notes = [f"note: {warning}" for warning in warnings_of(experiment, concurrency)]
    changes = find_changes(stored, experiment, ledger) if stored else []
    if anew := touched_studies(changes):
        notes.append(f"note: the sweep refuses this file as it is: {say_changes(changes, experiment, ledger)}")
    names = [str(name) for name in study_names(experiment)]
    require_warm_start(experiment.warm_start, ledger, names, experiment.file.search.trials, anew)
    studies, searched_s = _describe_studies(experiment, ledger, anew, notes)
    confirmation, confirmed_s = _describe_confirmation(experiment, ledger, notes)
    return "\n".join(
        [
            *studies,
            confirmation,
            *dict.fromkeys(notes),
            f"estimate: about {(searched_s + confirmed_s) / slots / 60:.0f} min with {slots} trials at a time on this machine, from "
            "timed epochs; pruning shortens it, and done confirmations are not taken off",
        ]
    )


def _describe_studies(
    experiment: Experiment, ledger: Ledger, anew: Collection[str], notes: list[str]
) -> tuple[list[str], float]:
    """A line a study, and the seconds that their trials and finals may still take on one slot; those `anew` have none yet."""
    search, names = experiment.file.search, study_names(experiment)
    lines, core_s = [f"{experiment.file.name}: {len(names)} studies of {search.trials} trials"], 0.0
    finals = min(search.finalists, search.trials)
    for name in names:
        is_kept = str(name) not in anew
        done = sum(folder.has_record() for folder in ledger.trials(str(name)) if is_kept)
        ended = sum(folder.has_record() for folder in ledger.finals(str(name)) if is_kept)
        each = _training_s(experiment, name.method, name.pair, _centre(experiment, name), notes)
        final = f", then {finals} finals of {each * len(search.final_seeds):.0f} s" if finals else ""
        lines.append(
            f"  {name}: {done} of {search.trials} trials done, about {each * len(search.seeds):.0f} s each{final}"
        )
        core_s += each * len(search.seeds) * max(0, search.trials - done)
        core_s += each * len(search.final_seeds) * max(0, finals - ended)
    return lines, core_s


def _describe_confirmation(experiment: Experiment, ledger: Ledger, notes: list[str]) -> tuple[str, float]:
    """A line for all confirmations, and their seconds on one slot, done ones among them."""
    confirm = experiment.file.confirm
    cells = len(confirm.seeds) * confirm.inits_per_draw
    scored = sum(bool(folder.scores()) for folder in ledger.confirmations())
    line = f"confirmation: {len(confirm.methods)} methods x {cells} trainings a pair and k; {scored} scored so far"
    return line, sum(cells * _training_s(experiment, *confirmed, notes) for confirmed in _confirmed(experiment))


def _centre(experiment: Experiment, name: StudyName) -> Config:
    """The settings in the middle of a study's space."""
    values = experiment.base_values(name.method, name.per_class, None)
    return configure({**values, **experiment.spaces[name.method].centre()}, origin=experiment.origin)


def _confirmed(experiment: Experiment) -> Iterator[tuple[str, str, Config]]:
    """Method, pair and settings of every confirmation at each k; of a winner that is not known yet the middle of its space."""
    for pair in experiment.pairs:
        for choice in fixed_choices(experiment, pair, experiment.fixed_label_counts):
            yield choice.method, pair, choice.config
        for method in set(experiment.file.confirm.methods) & experiment.spaces.keys():
            for k in experiment.label_counts(method):
                yield method, pair, _centre(experiment, StudyName(method, pair, k))


def _training_s(experiment: Experiment, method: str, pair: str, config: Config, notes: list[str]) -> float:
    """Seconds of one training, pre-training left out: it is shared.

    One that diverges counts as if it went on; `notes` gets a sentence.
    """
    times: list[float] = []
    epochs = config.adapt.epochs

    def note(report: dict[str, Any]) -> None:
        times.append(time.monotonic())

    short = config.model_copy(
        update={
            "adapt": config.adapt.model_copy(update={"epochs": min(TIMED_EPOCHS, epochs), "early_stop": "none"}),
            "pretrain": config.pretrain.model_copy(update={"epochs": 1}),
        }
    )
    the_pair = experiment.pairs[pair]
    setup = debug_setup(the_pair, short, method, Seeds(labels=0, init=0), "source_validation")
    started = time.monotonic()
    try:
        run_trial(short, the_pair, setup, Place(on_report=note, raises=True))
    except Diverged as error:
        notes.append(
            f"note: {method} on {pair} diverged while it was timed, and counts as if it went on ({error}); a trial that diverges is "
            "recorded as failed"
        )
        return (time.monotonic() - started) / (len(times) + 1) * epochs
    if len(times) < 2 or METHODS[method].name in ("source_only", "lda"):
        return time.monotonic() - started
    return (times[-1] - times[0]) / (len(times) - 1) * epochs

"""`--dry-run`: which studies and confirmations there are, what is done of them, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agsgtl.config import Config, configure
from agsgtl.reporting.ledger import Ledger
from agsgtl.seeds import Seeds
from agsgtl.training.methods import METHODS
from agsgtl.trial import Place, debug_setup, run_trial
from agsgtl.tuning.cluster import usable_cpus
from agsgtl.tuning.confirm import fixed_choices
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import study_names

TIMED_EPOCHS = 3


def describe(path: Path, results: Path) -> str:
    """What a sweep of this file would do; nothing is written, no Ray is started.

    The estimate times a few epochs of each method in the middle of its search space, here and now.

    Raises:
        UserError: the file is wrong.
    """
    experiment = load_experiment(path)
    ledger = Ledger((results / experiment.file.name).resolve())
    search, confirm = experiment.file.search, experiment.file.confirm
    lines, core_s = [f"{experiment.file.name}: {len(study_names(experiment))} studies of {search.trials} trials"], 0.0
    for name in study_names(experiment):
        done = sum(folder.has_record() for folder in ledger.trials(str(name)))
        values = {
            **experiment.base_values(name.method, name.per_class, None),
            **experiment.spaces[name.method].centre(),
        }
        each = _training_s(experiment, name.method, name.pair, configure(values, origin=experiment.origin))
        lines.append(f"  {name}: {done} of {search.trials} trials done, about {each * len(search.seeds):.0f} s each")
        core_s += each * len(search.seeds) * (search.trials - done)
    cells = len(confirm.seeds) * confirm.inits_per_draw
    scored = sum(bool(folder.scores()) for folder in ledger.confirmations())
    lines.append(
        f"confirmation: {len(confirm.methods)} methods x {cells} trainings a pair and k; {scored} scored so far"
    )
    for method, pair, config in _confirmed(experiment):
        core_s += cells * _training_s(experiment, method, pair, config)
    slots = max(1, usable_cpus() // experiment.file.resources.cpu)
    lines.append(
        f"estimate: about {core_s / slots / 60:.0f} min with {slots} trials at a time on this machine, from timed epochs; pruning "
        "shortens it, and done confirmations are not taken off"
    )
    return "\n".join(lines)


def _confirmed(experiment: Experiment) -> Iterator[tuple[str, str, Config]]:
    """Method, pair and settings of every confirmation at each k; of a winner that is not known yet the middle of its space."""
    for pair in experiment.pairs:
        for choice in fixed_choices(experiment, pair, experiment.fixed_label_counts):
            yield choice.method, pair, choice.config
        for method in set(experiment.file.confirm.methods) & experiment.spaces.keys():
            centre = experiment.spaces[method].centre()
            for k in experiment.label_counts(method):
                values = {**experiment.base_values(method, k, pair), **centre}
                yield method, pair, configure(values, origin=experiment.origin)


def _training_s(experiment: Experiment, method: str, pair: str, config: Config) -> float:
    """Seconds of one training, pre-training left out: it is shared."""
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
    run_trial(short, the_pair, setup, Place(on_report=note, raises=True))
    if len(times) < 2 or METHODS[method].name in ("source_only", "lda"):
        return time.monotonic() - started
    return (times[-1] - times[0]) / (len(times) - 1) * epochs

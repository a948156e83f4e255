"""`experiment.yaml`: the experiment as it ran, every default spelled out, and what a changed file does to its records.

An experiment may grow (trials, pairs, methods, seeds, resources of one kind) without anything running again. Any other change takes
the meaning from the trials it touches: the driver says which, and goes on only when told to.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from agsgtl.durable import move_folder, set_aside
from agsgtl.errors import UserError
from agsgtl.provenance import versions
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.concurrency import warnings_of
from agsgtl.tuning.experiment import Experiment
from agsgtl.tuning.experimentfile import ConfirmSettings, SearchSettings
from agsgtl.tuning.retry import warnings_of_retries
from agsgtl.yamlfile import read_yaml, write_yaml

GROWING = (
    *("pairs", "search.spaces", "search.trials", "search.factors", "search.warnings"),
    *("search.finalists", "search.final_seeds"),
    *("confirm.methods", "confirm.seeds", "confirm.inits_per_draw"),
)
"""Keys of `trial`, `search` and `confirm` that may change while every record keeps its meaning."""

CONFIRM_ONLY = ("confirm.paper_epochs", "confirm.winners")
"""Keys that touch confirmations alone; each of those is run again if its own configuration is another."""

_BEFORE: Mapping[str, dict[str, Any]] = {
    "search": SearchSettings(spaces={}).model_dump(mode="json"),
    "confirm": ConfirmSettings().model_dump(mode="json"),
}
"""What an older version meant that did not know a key yet: its default."""

_PACKAGES = ("ray", "optuna", "scikit-learn", "scipy", "pandas")


@dataclass(frozen=True)
class Change:
    """A key that changed, and the studies whose trials lose their meaning by it."""

    key: str
    old: Any
    new: Any
    studies: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.key} was {self.old!r} and is {self.new!r}"


def stored_experiment(ledger: Ledger) -> dict[str, Any] | None:
    """The experiment as its last sweep stored it, with its `concurrency`; None where there is none that trials depend on.

    Raises:
        UserError: the stored file is damaged, and there are trials, whose order depends on the concurrency in it.
    """
    if not ledger.experiment_file.exists():
        return None
    try:
        stored = read_yaml(ledger.experiment_file)
        return {**stored, "concurrency": int(stored["concurrency"])}
    except (UserError, KeyError, TypeError, ValueError) as error:
        if any(ledger.studies()):
            raise UserError(
                f"{ledger.experiment_file}: cannot be read ({error}), and the order of the trials depends on it; restore it from a copy, "
                "or start under another name"
            ) from None
        return None


def remembered_concurrency(
    experiment: Experiment,
    ledger: Ledger,
    may_set_aside: bool,
    check: Callable[[Sequence[str]], None] = lambda begun_anew: None,
) -> int | None:
    """How many trials of a study run at once by the stored experiment, once it is judged what has changed in the file.

    None where nothing is stored, or no trial is left that was asked by it.

    Args:
        experiment: as the file says now.
        ledger: of the experiment.
        may_set_aside: move the studies that a change touches to `superseded/`.
        check: may refuse to go on, before anything is moved; it is told the studies that begin anew.

    Raises:
        UserError: a change touches studies that have trials, and `may_set_aside` is false; or the stored file is damaged.
    """
    stored = stored_experiment(ledger)
    changes = [] if stored is None else find_changes(stored, experiment, ledger)
    touched = touched_studies(changes)
    if touched and not may_set_aside:
        raise UserError(say_changes(changes, experiment, ledger))
    check(touched)
    if stored is None:
        if ledger.experiment_file.exists():
            set_aside(ledger.experiment_file)  # damaged, and no loss while no trial was asked
        return None
    for study in touched:
        move_folder(ledger.path / study, ledger.path / "superseded" / study)
    return None if touched and not ledger.studies() else int(stored["concurrency"])


def touched_studies(changes: Iterable[Change]) -> tuple[str, ...]:
    """The studies with trials that lose their meaning by some changes."""
    return tuple(dict.fromkeys(study for change in changes for study in change.studies))


def find_changes(stored: Mapping[str, Any], experiment: Experiment, ledger: Ledger) -> list[Change]:
    """What the file says otherwise than the stored experiment, growth left out."""
    changes = []
    ours = experiment.file.model_dump(mode="json") | {"distributions": _distributions(experiment)}
    for key in ("trial", "search", "confirm", "distributions"):
        before = _BEFORE.get(key, {}) | (stored.get(key) or {})
        for name, (old, new) in _differences(key, before, ours.get(key)).items():
            is_new_method = key == "distributions" and old is None and name.count(".") == 1
            if name.startswith((*GROWING, *CONFIRM_ONLY)) or is_new_method:
                continue
            method = name.split(".")[1] if key == "distributions" else None
            studies = tuple(study for study in ledger.studies() if method is None or study.startswith(f"{method}/"))
            changes.append(Change(name, old, new, studies))
    return changes + _change_of_device(stored, experiment, ledger)


def _change_of_device(stored: Mapping[str, Any], experiment: Experiment, ledger: Ledger) -> list[Change]:
    """Another part of a GPU is another pace; a GPU in place of the CPU is other numbers."""
    old, new = (stored.get("resources") or {}).get("gpu", 0), experiment.file.resources.gpu
    return [] if bool(old) == bool(new) else [Change("resources.gpu", old, new, tuple(ledger.studies()))]


def stored_cells(ledger: Ledger) -> list[dict[str, Any]]:
    """The confirmations that the stored experiment plans; none where there is none yet."""
    if not ledger.experiment_file.exists():
        return []
    return list(read_yaml(ledger.experiment_file).get("confirm_cells") or [])


def has_decided(content: Mapping[str, Any]) -> bool:
    """Whether a stored experiment has all its winners, so that test labels may be opened for its trials.

    An older version did not say so; it wrote cells when all were known, and none before.
    """
    return bool(content.get("is_decided", content.get("confirm_cells")))


def write_experiment(
    experiment: Experiment,
    ledger: Ledger,
    concurrency: int,
    lease: int,
    cells: Sequence[Mapping[str, Any]],
    is_decided: bool = False,
) -> None:
    """Writes the resolved experiment; `cells` are the confirmations that are known by now, all of them where it `is_decided`."""
    content = experiment.file.model_dump(mode="json")
    warnings = (*experiment.warnings, *warnings_of(experiment, concurrency), *warnings_of_retries(ledger))
    content["search"]["warnings"] = list(warnings)
    if experiment.file.confirm.winners is not None:
        content["borrowed_seeds"] = sorted(experiment.winners.seeds)
    content |= {
        "distributions": _distributions(experiment),
        "searched": {name: sorted(experiment.searched(name)) for name in experiment.file.confirm.methods},
        "data": {name: pair.fingerprint for name, pair in experiment.pairs.items()},
        "pair_files": dict(experiment.pair_arguments),
        "concurrency": concurrency,
        "lease": lease,
        "versions": {**versions(), **{name: version(name) for name in _PACKAGES}},
        "platform": platform.platform(),
        "is_decided": is_decided,
        "confirm_cells": [dict(cell) for cell in cells],
    }
    text = "# Written by `agsgtl sweep`: the experiment as it ran, every default spelled out.\n"
    ledger.write_experiment(text + write_yaml(content, width=120))


def _distributions(experiment: Experiment) -> dict[str, dict[str, str]]:
    return {
        name: {path: str(entry) for path, entry in space.distributions.items()}
        for name, space in experiment.spaces.items()
    }


def say_changes(changes: Iterable[Change], experiment: Experiment, ledger: Ledger) -> str:
    """What a sweep refuses with, without `--yes`: the changes that touch studies, those studies, and the remedies."""
    touching = [change for change in changes if change.studies]
    studies = touched_studies(touching)
    trials = sum(len(ledger.trials(study)) for study in studies)
    keeps = [study for study in ledger.studies() if study not in studies]
    return (
        f"{experiment.origin}: {'; '.join(str(change) for change in touching)}. {trials} trials of {', '.join(studies)} were asked "
        f"under the old file and would be set aside under superseded/ and run again; {', '.join(keeps) or 'no other study'} "
        "keeps its records. Give the experiment another name, set the key back, or go on with --yes"
    )


def _differences(key: str, old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in dict.fromkeys([*old, *new]):
            found |= _differences(f"{key}.{name}", old.get(name), new.get(name))
        return found
    return {} if old == new else {key: (old, new)}

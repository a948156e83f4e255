"""Confirmation: winners and fixed methods on fresh seeds; then, in the driver alone, the vault is opened and scores written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agsgtl.config import Config, configure, flatten
from agsgtl.data.mapped import map_pair
from agsgtl.data.pools import LabelImage
from agsgtl.data.vault import DrawnBy, LabelVault
from agsgtl.durable import move_folder
from agsgtl.evaluation.metrics import score_class_map
from agsgtl.reporting.ledger import Ledger, TrialFolder, pair_of
from agsgtl.reporting.record import Ask, Identity, Origin, Record, SelectionRule, Setup
from agsgtl.reporting.vaultlog import Purpose, VaultLog
from agsgtl.seeds import Seeds, derive_seed
from agsgtl.training.methods import METHODS
from agsgtl.trial import make_ask
from agsgtl.tuning.experiment import Experiment
from agsgtl.tuning.lease import Lease
from agsgtl.tuning.outcome import Outcome
from agsgtl.tuning.study import Study
from agsgtl.tuning.superseded import make_room, superseded_place


@dataclass(frozen=True)
class Choice:
    """A configuration to confirm: of a method, on a pair, at a k; `origin` says where it came from, if it was tuned.

    `select` is the rule that chose it, which also chooses its epoch where `adapt.keep` asks for one; None: the experiment's.
    """

    method: str
    pair: str
    per_class: int
    config: Config
    origin: Origin | None = None
    select: SelectionRule | None = None


def fixed_choices(experiment: Experiment, pair: str, label_counts: Iterable[int]) -> list[Choice]:
    """The methods that are confirmed as they are, at each k."""
    names = [name for name in experiment.file.confirm.methods if name not in experiment.spaces]
    winners = experiment.winners
    return [
        Choice(name, pair, count, experiment.base_config(name, count, pair), winners.origin(cell), winners.select(cell))
        for count in sorted(label_counts)
        for name in names
        for cell in [(name, pair, count)]
    ]


def tuned_choices(study: Study) -> list[Choice]:
    """The winner of a study, or each k of its front; none where no trial completed or the method is not confirmed."""
    if study.name.method not in study.experiment.file.confirm.methods:
        return []
    return [_tuned_choice(study, winner) for winner in study.winners()]


def _tuned_choice(study: Study, winner: Outcome) -> Choice:
    name, experiment = study.name, study.experiment
    values = {**experiment.base_values(name.method, name.per_class, None), **study.sampled(winner.number)}
    origin = Origin(study=str(name), trials=len(study.outcomes), trial=winner.number, score=winner.score)
    return Choice(name.method, name.pair, winner.per_class, configure(values, origin=experiment.origin), origin)


def confirmation_asks(experiment: Experiment, choice: Choice, lease: int = 0) -> list[Ask]:
    """One ask for each confirmation seed and initialisation; the label draw has the seed's own number."""
    asks = []
    for seed in experiment.file.confirm.seeds:
        for init in range(experiment.file.confirm.inits_per_draw):
            identity = Identity(
                experiment=experiment.file.name,
                kind="confirm",
                method=choice.method,
                pair=choice.pair,
                per_class=choice.per_class,
                number=seed,
                init=init,
            )
            seeds = Seeds(labels=seed, init=seed if init == 0 else derive_seed(seed, f"initialisation {init}"))
            select = choice.select or experiment.file.search.select
            setup = Setup(identity=identity, seeds=(seeds,), select=select, origin=choice.origin)
            asks.append(make_ask(flatten(choice.config), experiment.pairs[choice.pair], setup, lease=lease))
    return asks


def issue(ledger: Ledger, ask: Ask, notices: list[str]) -> TrialFolder:
    """The folder of a confirmation or a final, with its ask in place.

    What was asked otherwise there, since the search was extended and has another winner now, is set aside under
    `superseded/` first; nothing is deleted, and what lies there of this very ask comes back. A record that answers another
    ask is set aside in its folder. `notices` gets a sentence for it, and for each damaged file.
    """
    folder = ledger.folder(ask.identity)
    notices += folder.mend()
    there = folder.ask()
    if there is not None and there.config_hash != ask.config_hash:
        move_folder(folder.path, superseded_place(ledger, folder, there.config_hash))
        there = None
    elif there is None:
        notices += make_room(ledger, folder, ask)
    before = superseded_place(ledger, folder, ask.config_hash)
    if there is None and before.exists() and not folder.path.exists():
        move_folder(before, folder.path)
    folder.write_ask(ask)
    record = folder.record()
    if record is not None and record.config_hash != ask.config_hash:
        notices.append(folder.set_record_aside())
    return folder


def set_unasked_aside(ledger: Ledger, method: str, pair: str, asked: Collection[Path], notices: list[str]) -> None:
    """Moves the confirmations of a method on a pair whose folders are not among `asked` to `superseded/`.

    A winner at another k, a front that lost a point, a seed or a method that was taken out leave such confirmations; every
    table would count them. `notices` gets a sentence for each damaged file.
    """
    found = [
        path for name in ("ask", "record") for path in ledger.path.glob(f"confirm/{method}/{pair}/*/*/{name}.json")
    ]
    for path in sorted({path.parent for path in found} - set(asked)):
        folder = TrialFolder(path)
        notices += folder.mend()
        if document := folder.ask() or folder.record():
            move_folder(path, superseded_place(ledger, folder, document.config_hash))


def set_unlisted_aside(ledger: Ledger, pairs: Collection[str], notices: list[str]) -> None:
    """Moves the confirmations on pairs that are not among `pairs` to `superseded/`: their pair was taken out of the file.

    Tables would go on to count them, and nobody knows where the pair's files are. They come back when the pair does.
    """
    folder = ledger.path / "confirm"
    for method in METHODS:
        seeds = {path.parent for name in ("ask", "record") for path in folder.glob(f"{method}/**/{name}.json")}
        found = {pair_of(seed.parent.relative_to(folder).as_posix()) for seed in seeds}
        for pair in sorted(found - set(pairs)):
            set_unasked_aside(ledger, method, pair, (), notices)


def score_records(
    folders: Iterable[TrialFolder], ledger: Ledger, pair_files: Mapping[str, str], purpose: Purpose, lease: Lease
) -> int:
    """Scores every complete record that has no scores yet; how many.

    For each, the vault's log gets a durable line before any test label meets the class map. `pair_files` says from which
    file a user's own pair was loaded.

    Raises:
        UserError: the pair's files have changed since the record was made, or its pools are drawn otherwise now; or another
            driver has taken over.
    """
    opened: dict[tuple[str, str, DrawnBy | None], LabelImage] = {}
    log = VaultLog(ledger)
    scored = 0
    for folder in folders:
        record = folder.record()
        if record is None or record.status != "complete" or folder.scores():
            continue
        lease.require()
        class_maps = folder.class_map()
        log.append(folder, purpose, lease.number)
        name = record.identity.pair
        pair = map_pair(ledger.path, name)
        scores = []
        for outcome, class_map in zip(record.outcomes, class_maps, strict=True):
            drawn = _drawn_by(record, outcome.seeds.labels) if pair.tests_on_the_rest else None
            key = (name, record.pair_fingerprint, drawn)
            if key not in opened:
                vault = LabelVault(pair_files.get(name, name))
                opened[key] = vault.test_labels(record.pair_fingerprint, drawn)
                vault.require_unseen(opened[key], pair)
            scores.append(score_class_map(class_map, opened[key], pair.class_names))
        folder.write_scores(tuple(scores))
        scored += 1
    return scored


def _drawn_by(record: Record, label_seed: int) -> DrawnBy:
    per_class, validation = (int(record.config[f"labels.{name}"]) for name in ("per_class", "validation_per_class"))
    return DrawnBy(per_class, validation, label_seed)


def missing_cells(experiment: Experiment, ledger: Ledger, choices: Iterable[Choice]) -> list[str]:
    """Planned confirmations without scores, each with what is known of it."""
    missing = []
    for choice in choices:
        for ask in confirmation_asks(experiment, choice):
            folder = ledger.folder(ask.identity)
            if not folder.scores():
                record = folder.record()
                where = folder.path.relative_to(ledger.path).as_posix()
                missing.append(f"{where}: {record.reason or record.status if record else 'not run'}")
    return missing


def planned_cells(experiment: Experiment, choices: Iterable[Choice]) -> list[Mapping[str, str | int]]:
    """The confirmations that the experiment means to run, for the tables to know what is missing."""
    return [
        {
            "method": choice.method,
            "pair": choice.pair,
            "per_class": choice.per_class,
            "seed": seed,
            **({"trials": choice.origin.trials} if choice.origin else {}),
        }
        for choice in choices
        for seed in experiment.file.confirm.seeds
    ]


def known_cells(
    experiment: Experiment,
    choices: Iterable[Choice],
    stored: Iterable[Mapping[str, Any]],
    is_settled: Callable[[str, str], bool],
) -> list[Mapping[str, Any]]:
    """The confirmations planned by now, and of those `stored` before the ones that may still hold.

    A stored one holds while its method, pair and seed are the experiment's and the search that chose it goes on: until
    `is_settled(method, pair)` its records stand in the tables, which must know how many there should be.
    """
    planned = planned_cells(experiment, choices)
    places = {_place(cell) for cell in planned}
    confirm = experiment.file.confirm
    holding = [
        cell
        for cell in stored
        if cell["method"] in confirm.methods
        and cell["pair"] in experiment.pairs
        and cell["seed"] in confirm.seeds
        and not is_settled(cell["method"], cell["pair"])
        and _place(cell) not in places
    ]
    return [*planned, *holding]


def _place(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in ("method", "pair", "per_class", "seed"))

"""An experiment: its file with everything the file names, checked whole on load."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agsgtl.config import AUTHORS_SETTINGS, Config, Value, configure, describe_errors
from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.errors import UserError
from agsgtl.models.networks import require_bands
from agsgtl.reporting.ledger import OWN_FOLDERS
from agsgtl.reporting.record import READ_TARGET_LABELS
from agsgtl.training.methods import METHODS, method
from agsgtl.tuning.experimentfile import ExperimentFile
from agsgtl.tuning.places import find_pair_file, find_results, find_space, lasting
from agsgtl.tuning.space import SearchSpace, load_space, require_same_ranges
from agsgtl.tuning.starts import require_fitting
from agsgtl.tuning.winners import Cell, Winners, read_winners, require_same_protocol, require_unseen, require_winners
from agsgtl.yamlfile import read_yaml


@dataclass(frozen=True, eq=False)
class Experiment:
    """An experiment file with everything it names: search spaces by method and pairs by name, both checked.

    `pair_arguments` are what loads each pair again, from any folder.
    """

    origin: str
    file: ExperimentFile
    spaces: Mapping[str, SearchSpace]
    pairs: Mapping[str, DomainPair]
    pair_arguments: Mapping[str, str]
    winners: Winners = field(default_factory=Winners)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the note of every table of this experiment has to say about the search."""
        return (*self._warnings_of_search(), *self._warnings_of_label_counts())

    def _warnings_of_search(self) -> Iterator[str]:
        search = self.file.search
        if not self.spaces:
            return
        if search.enqueue:
            yield f"the searches began with settings that were known before ({len(search.enqueue)} in search.enqueue)"
        if search.finalists:
            yield (
                f"each winner was chosen among the best {search.finalists} trials of its search by the mean over "
                f"{len(search.seeds) + len(search.final_seeds)} seeds"
            )
        if search.warm_start:
            yield (
                f"the searches began with up to {search.warm_start_trials} of the best settings, by validation score, that "
                f"{search.warm_start} had found on other pairs"
            )

    def _warnings_of_label_counts(self) -> Iterator[str]:
        free = [name for name, space in self.spaces.items() if space.samples_label_count]
        if free and self.file.search.objectives == "score":
            yield (
                f"the number of labelled pixels a class was sampled as one of the hyperparameters of {', '.join(free)}, "
                "and the search rewarded score alone: it favours many labels"
            )

    @property
    def warm_start(self) -> Path | None:
        """The results folder of `search.warm_start`."""
        where = self.file.search.warm_start
        return None if where is None else find_results(Path(self.origin), where)

    def label_counts(self, name: str) -> tuple[int | None, ...]:
        """The k of a method's studies; None where Optuna samples it."""
        if name in self.spaces and self.spaces[name].samples_label_count:
            return (None,)
        return tuple(self.file.search.factors.get("labels.per_class", [self.protocol.labels.per_class]))

    @cached_property
    def protocol(self) -> Config:
        """The labels, data and runtime of every trial; all else is at its default here, since searches and winners set it."""
        return configure(_of_protocol(self.file.trial), origin=self.origin)

    @cached_property
    def fixed_label_counts(self) -> frozenset[int]:
        """Every k that some method's studies have from the start: those at which fixed methods are confirmed."""
        return frozenset(k for name in METHODS for k in self.label_counts(name) if k is not None)

    def searched(self, name: str) -> frozenset[str]:
        """What a search chose of a method's settings: here, or where `confirm.winners` come from, unless `trial` says it anew."""
        if name in self.spaces:
            return frozenset(self.spaces[name].distributions)
        return self.winners.searched.get(name, frozenset()) - self.file.trial.keys()

    def base_config(self, name: str, per_class: int | None = None, pair: str | None = None) -> Config:
        """The config of a method before anything is sampled: defaults <- experiment, or the authors' for `paper`."""
        return configure(self.base_values(name, per_class, pair), origin=self.origin)

    def base_values(self, name: str, per_class: int | None, pair: str | None) -> dict[str, Value]:
        """What `base_config` sets, by dotted path."""
        won = self.winners.settings((name, pair, per_class)) if pair and per_class else {}
        settings: dict[str, Value] = {**won, **self.file.trial}
        if name == "paper":
            authors = AUTHORS_SETTINGS[self.pairs[pair].authors_settings if pair else "houston"]
            settings = {**_of_protocol(settings), **authors}
            if self.file.confirm.paper_epochs is not None:
                settings["adapt.epochs"] = self.file.confirm.paper_epochs
        if per_class is not None:
            settings["labels.per_class"] = per_class
        if self.file.resources.gpu:
            settings["runtime.device"] = "cuda"
        return settings


def _of_protocol(settings: Mapping[str, Value]) -> dict[str, Value]:
    return {path: value for path, value in settings.items() if path.startswith(("labels.", "data.", "runtime."))}


def load_experiment(path: Path) -> Experiment:
    """The experiment of a YAML file, with its search spaces and pairs.

    Raises:
        UserError: one line that names the file, the key, the rule, what came, and the remedy.
    """
    try:
        file = ExperimentFile.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(describe_errors(error))}") from None
    spaces = {name: _load_space(path, name, where) for name, where in file.search.spaces.items()}
    for name in file.confirm.methods:
        method(name, f"{path}: confirm.methods")
    require_same_ranges(spaces.values())
    pairs, arguments = {}, {}
    for argument in file.pairs:
        place = find_pair_file(path, argument)
        pair = load_pair(place)
        if pair.name in pairs:
            raise UserError(f"{path}: pairs: two files are named '{pair.name}'; give each pair its own name")
        if OWN_FOLDERS & set(pair.name.split("/")):
            raise UserError(
                f"{path}: pairs: '{pair.name}' is the name of a folder inside of results; give the pair another name"
            )
        pairs[pair.name], arguments[pair.name] = pair, lasting(place)
    winners = Winners()
    if file.confirm.winners is not None:
        winners = read_winners(find_results(path, file.confirm.winners), f"{path}: confirm.winners")
    experiment = Experiment(str(path), file, spaces, pairs, arguments, winners)
    _check_whole(experiment)
    return experiment


def _load_space(experiment: Path, name: str, where: str) -> SearchSpace:
    tuned = method(name, f"{experiment}: search.spaces")
    if tuned.is_fixed:
        raise UserError(f"{experiment}: search.spaces: '{name}' is never tuned; remove it there")
    return load_space(find_space(experiment, where), tuned)


def _check_whole(experiment: Experiment) -> None:
    """What can only be judged with everything at hand: the merged config, label counts, rules against spaces."""
    file, origin = experiment.file, experiment.origin
    threads = experiment.protocol.runtime.threads
    if threads > file.resources.cpu:
        raise UserError(
            f"{origin}: a trial computes with runtime.threads {threads}, but resources.cpu gives it "
            f"{file.resources.cpu}; raise resources.cpu"
        )
    if experiment.protocol.runtime.device == "cuda" and not file.resources.gpu:
        raise UserError(
            f"{origin}: trial: runtime.device is cuda, but resources.gpu gives a trial no GPU; say how much of one it gets, as in "
            "`resources: {gpu: 0.5}`, which sets runtime.device by itself"
        )
    unsearchable = [name for name, pair in experiment.pairs.items() if pair.tests_on_the_rest]
    if experiment.spaces and unsearchable:
        raise UserError(
            f"{origin}: {', '.join(unsearchable)}: with `split: authors` every pixel that a seed does not draw is a test pixel, so a "
            "search would train on pixels that the next seed tests on; confirm on this one with search.spaces: {} and with settings "
            "under `trial:` that were chosen on other scenes"
        )
    _check_selection(experiment)
    _check_label_counts(experiment)
    require_fitting(file.search.enqueue, experiment.spaces.values(), origin)
    cells = [
        (name, pair, count)
        for name in file.confirm.methods
        for pair in experiment.pairs
        for count in experiment.label_counts(name)
        if name not in experiment.spaces and count is not None
    ]
    _check_winners(experiment, cells)
    for name, pair, count in cells:
        config = experiment.base_config(name, count, pair)
        _require_network(name, config.model.family, experiment.pairs[pair], origin)
    for name, space in experiment.spaces.items():
        config = configure(
            experiment.base_values(name, None, None), space.centre(), origin=f"{space.origin} in {origin}"
        )
        families = getattr(space.distributions.get("model.family"), "choices", [config.model.family])
        for domains, family in itertools.product(experiment.pairs.values(), families):
            _require_network(name, family, domains, f"{space.origin} in {origin}")


def _require_network(name: str, family: str, pair: DomainPair, where: str) -> None:
    """Refuses a network family that a pair does not allow, or whose bands it cannot take where the method trains a network."""
    pair.require_reach(family, where)
    if "model.family" in METHODS[name].reads:
        try:
            require_bands(family, pair.source_cube.shape[2], pair.name)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def _check_winners(experiment: Experiment, cells: Sequence[Cell]) -> None:
    """Holds what was borrowed to this experiment's pairs, seeds and protocol, at each k that a search may bring here too."""
    file, winners = experiment.file, experiment.winners
    key = f"{experiment.origin}: confirm.winners: {file.confirm.winners}"
    fingerprints = {name: pair.fingerprint for name, pair in experiment.pairs.items()}
    require_winners(winners, cells, fingerprints, key)
    beside: list[Cell] = []
    for name, space in experiment.spaces.items():
        counts = _sampled_label_counts(space)
        here = [(method, pair, k) for method, pair in dict.fromkeys(cell[:2] for cell in cells) for k in counts]
        require_winners(winners, here, fingerprints, f"{key}, beside {name}, whose labels.per_class is sampled")
        beside += here
    require_unseen(winners, file.confirm.seeds, experiment.origin)
    require_same_protocol(winners, [*cells, *beside], experiment.protocol, file.trial, key)


def _sampled_label_counts(space: SearchSpace) -> Sequence[int]:
    """Every k that a search may choose; none where it does not sample k."""
    if not space.samples_label_count:
        return []
    distribution: Any = space.distributions["labels.per_class"]
    if hasattr(distribution, "choices"):
        return list(distribution.choices)
    return range(distribution.low, distribution.high + 1, distribution.step)


def _check_selection(experiment: Experiment) -> None:
    search, origin = experiment.file.search, experiment.origin
    if search.select in READ_TARGET_LABELS and experiment.protocol.labels.validation_per_class < 1:
        raise UserError(
            f"{origin}: search.select {search.select} needs labels.validation_per_class of at least 1, got 0"
        )
    if search.select == "target_entropy":
        terms = ("loss.entropy", "loss.unlabelled_adversarial")
        used = [term for term in terms if experiment.file.trial.get(term)]
        used += [term for term in terms for space in experiment.spaces.values() if term in space.distributions]
        if used:
            raise UserError(
                f"{origin}: search.select target_entropy cannot be used with {', '.join(dict.fromkeys(used))}: the best such "
                "score is one class everywhere; select target_validation, or take the term out of the search space"
            )
    sampled = [name for name, space in experiment.spaces.items() if space.samples_label_count]
    if sampled and search.factors:
        raise UserError(
            f"{origin}: labels.per_class is in search.factors and in the search space of {', '.join(sampled)}; keep one of them"
        )
    if search.objectives == "score_and_labels" and len(sampled) != len(experiment.spaces):
        lacking = sorted(set(experiment.spaces) - set(sampled))
        raise UserError(
            f"{origin}: search.objectives score_and_labels needs labels.per_class in every search space; missing for "
            f"{', '.join(lacking)}"
        )


def _check_label_counts(experiment: Experiment) -> None:
    counts = [*experiment.fixed_label_counts]
    for space in experiment.spaces.values():
        counts += _sampled_label_counts(space)
    for pair in experiment.pairs.values():
        draw_labels(pair, max(counts), experiment.protocol.labels.validation_per_class, seed=0)

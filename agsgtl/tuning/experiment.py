"""An experiment file: what is searched, with how many trials, and what is confirmed. Checked whole on load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agsgtl.config import AUTHORS_SETTINGS, Config, Value, configure, describe_errors
from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.errors import UserError
from agsgtl.reporting.record import Reason, SelectionRule
from agsgtl.training.methods import METHODS, method
from agsgtl.tuning.rungs import Rungs
from agsgtl.tuning.samplers import MULTI_OBJECTIVE, SamplerName
from agsgtl.tuning.space import SearchSpace, load_space, require_same_ranges
from agsgtl.tuning.starts import require_fitting
from agsgtl.yamlfile import read_yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class SearchSettings(_Part):
    """How each study is searched; a study is (method, pair, k)."""

    spaces: dict[str, str]
    trials: int = Field(40, ge=1)
    seeds: list[int] = [0, 1]
    sampler: SamplerName = "tpe"
    sampler_seed: int = Field(0, ge=0)
    startup_trials: int = Field(10, ge=1)
    enqueue: list[dict[str, bool | int | float | str]] = []
    warm_start: str | None = None
    warm_start_trials: int = Field(5, ge=1)
    finalists: int = Field(0, ge=0)
    final_seeds: list[int] = [2, 3]
    scheduler: Literal["asha", "none"] = "asha"
    grace: float = Field(0.3, gt=0, lt=1)
    reduction: int = Field(3, ge=2)
    select: SelectionRule = "target_validation"
    order: Literal["fixed", "async"] = "fixed"
    objectives: Literal["score", "score_and_labels"] = "score"
    factors: dict[str, list[int]] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if set(self.factors) - {"labels.per_class"}:
            raise ValueError(f"search.factors knows labels.per_class alone, got {', '.join(self.factors)}")
        counts = self.factors.get("labels.per_class", [1])
        if not counts or len(set(counts)) != len(counts) or min(counts) < 1:
            raise ValueError(f"search.factors.labels.per_class must list different counts of at least 1, got {counts}")
        _require_seeds("search.seeds", self.seeds)
        if len(self.enqueue) > self.trials:
            raise ValueError(
                f"search.enqueue lists {len(self.enqueue)} settings, more than search.trials {self.trials}"
            )
        _require_seeds("search.final_seeds", self.final_seeds)
        if self.finalists and set(self.final_seeds) & set(self.seeds):
            raise ValueError(
                f"search.final_seeds must be others than search.seeds {self.seeds}, got {self.final_seeds}"
            )
        if self.objectives == "score_and_labels":
            if self.finalists:
                raise ValueError(
                    "search.objectives: score_and_labels has a front and no finals; set search.finalists: 0"
                )
            if self.scheduler != "none":
                raise ValueError("search.objectives: score_and_labels cannot be pruned; set search.scheduler: none")
            if self.sampler not in MULTI_OBJECTIVE:
                raise ValueError(
                    f"search.objectives: score_and_labels needs search.sampler {', '.join(MULTI_OBJECTIVE)}, got {self.sampler}"
                )
        return self

    @property
    def rungs(self) -> Rungs | None:
        """Where poor trials stop, or None."""
        return Rungs(self.grace, self.reduction) if self.scheduler == "asha" else None


class ConfirmSettings(_Part):
    """What is trained again on fresh seeds and then scored on the test pool."""

    methods: list[str] = ["source_only", "target_only", "fine_tune", "source_and_target", "lda", "paper", "agsgtl"]
    seeds: list[int] = [41, 50, 61, 70, 81]
    inits_per_draw: int = Field(1, ge=1)
    paper_epochs: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require_seeds("confirm.seeds", self.seeds)
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"confirm.methods names a method twice: {', '.join(self.methods)}")
        return self


class Resources(_Part):
    """What one trial occupies; a machine runs as many at once as fit."""

    cpu: int = Field(1, ge=1)
    gpu: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _whole_or_part_of_a_gpu(self) -> Self:
        if self.gpu > 1 and self.gpu != int(self.gpu):
            raise ValueError(f"resources.gpu must be a part of one GPU or a whole number, got {self.gpu:g}")
        return self


class Failures(_Part):
    """What becomes of a trial that fails: how often it is tried again, by the kind of failure; null is without limit.

    A process or node that is lost does not count, unless it is lost three times without an epoch of progress. Out of
    memory is tried once more, alone on its device. A trial that diverges would diverge again.
    """

    retries: dict[Reason, int | None] = {}
    timeout_s: float | None = Field(None, gt=0)

    @property
    def allowed(self) -> dict[Reason, int | None]:
        """The defaults, with the file's in their place."""
        defaults: dict[Reason, int | None] = {"node_lost": None, "interrupted": None, "out_of_memory": 1}
        return dict.fromkeys(get_args(Reason), 0) | defaults | self.retries

    @model_validator(mode="after")
    def _not_negative(self) -> Self:
        negative = {reason: count for reason, count in self.retries.items() if count is not None and count < 0}
        if negative:
            raise ValueError(f"failures.retries must be at least 0, or null for no limit, got {negative}")
        return self


class ExperimentFile(_Part):
    """The file as it is written; all but name, pairs and search.spaces has a default."""

    name: str
    pairs: list[str] = Field(min_length=1)
    trial: dict[str, bool | int | float | str] = {}
    search: SearchSettings
    confirm: ConfirmSettings = Field(default_factory=ConfirmSettings)
    resources: Resources = Field(default_factory=Resources)
    failures: Failures = Field(default_factory=Failures)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name must be letters, digits, '.', '_' and '-', since it names a folder; got '{self.name}'"
            )
        if len(set(self.pairs)) != len(self.pairs):
            raise ValueError(f"pairs names a pair twice: {', '.join(self.pairs)}")
        return self


@dataclass(frozen=True, eq=False)
class Experiment:
    """An experiment file with everything it names: search spaces by method and pairs by name, both checked."""

    origin: str
    file: ExperimentFile
    spaces: Mapping[str, SearchSpace]
    pairs: Mapping[str, DomainPair]
    pair_arguments: Mapping[str, str]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the note of every table of this experiment has to say about the search."""
        return (*self._warnings_of_search(), *self._warnings_of_label_counts())

    def _warnings_of_search(self) -> Iterator[str]:
        search = self.file.search
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

    def label_counts(self, name: str) -> tuple[int | None, ...]:
        """The k of a method's studies; None where Optuna samples it."""
        if name in self.spaces and self.spaces[name].samples_label_count:
            return (None,)
        return tuple(self.file.search.factors.get("labels.per_class", [self.base_config("agsgtl").labels.per_class]))

    def base_config(self, name: str, per_class: int | None = None, pair: str | None = None) -> Config:
        """The config of a method before anything is sampled: defaults <- experiment, or the authors' for `paper`."""
        return configure(self.base_values(name, per_class, pair), origin=self.origin)

    def base_values(self, name: str, per_class: int | None, pair: str | None) -> dict[str, Value]:
        """What `base_config` sets, by dotted path."""
        settings: dict[str, Value] = dict(self.file.trial)
        if name == "paper":
            kept = ("labels.", "data.", "runtime.")
            settings = {path: value for path, value in settings.items() if path.startswith(kept)}
            settings |= AUTHORS_SETTINGS[self.pairs[pair].authors_settings if pair else "houston"]
            if self.file.confirm.paper_epochs is not None:
                settings["adapt.epochs"] = self.file.confirm.paper_epochs
        if per_class is not None:
            settings["labels.per_class"] = per_class
        if self.file.resources.gpu:
            settings["runtime.device"] = "cuda"
        return settings


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
        pair = load_pair(_beside(path, argument))
        if pair.name in pairs:
            raise UserError(f"{path}: pairs: two files are named '{pair.name}'; give each pair its own name")
        pairs[pair.name], arguments[pair.name] = pair, _beside(path, argument)
    experiment = Experiment(str(path), file, spaces, pairs, arguments)
    _check_whole(experiment)
    return experiment


def _load_space(experiment: Path, name: str, where: str) -> SearchSpace:
    tuned = method(name, f"{experiment}: search.spaces")
    if tuned.is_fixed:
        raise UserError(f"{experiment}: search.spaces: '{name}' is never tuned; remove it there")
    return load_space(_find_space(experiment, where), tuned)


def _find_space(experiment: Path, where: str) -> Path:
    if where.endswith((".yaml", ".yml")):
        candidates = [experiment.parent / where, Path(where)]
    else:
        folders = (experiment.parent.parent / "search_spaces", Path("search_spaces"), experiment.parent)
        candidates = [folder / f"{where}.yaml" for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = ", ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise UserError(f"{experiment}: search.spaces: there is no search space '{where}'; looked for {looked}")


def _beside(experiment: Path, pair: str) -> str:
    beside = experiment.parent / pair
    return str(beside) if pair.endswith((".yaml", ".yml")) and beside.is_file() else pair


def _check_whole(experiment: Experiment) -> None:
    """What can only be judged with everything at hand: the merged config, label counts, rules against spaces."""
    file, origin = experiment.file, experiment.origin
    base = experiment.base_config("agsgtl")
    if base.runtime.threads > file.resources.cpu:
        raise UserError(
            f"{origin}: a trial computes with runtime.threads {base.runtime.threads}, but resources.cpu gives it "
            f"{file.resources.cpu}; raise resources.cpu"
        )
    unsearchable = [name for name, pair in experiment.pairs.items() if pair.tests_on_the_rest]
    if experiment.spaces and unsearchable:
        raise UserError(
            f"{origin}: {', '.join(unsearchable)}: with `split: authors` every pixel that a seed does not draw is a test pixel, so a "
            "search would train on pixels that the next seed tests on; search on another split, and confirm on this one with "
            "search.spaces: {}"
        )
    _check_selection(experiment, base)
    _check_label_counts(experiment, base)
    require_fitting(file.search.enqueue, experiment.spaces.values(), origin)
    for name, space in experiment.spaces.items():
        configure(experiment.base_values(name, None, None), space.centre(), origin=f"{space.origin} in {origin}")


def _check_selection(experiment: Experiment, base: Config) -> None:
    search, origin = experiment.file.search, experiment.origin
    if search.select == "target_validation" and base.labels.validation_per_class < 1:
        raise UserError(
            f"{origin}: search.select target_validation needs labels.validation_per_class of at least 1, got 0"
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


def _check_label_counts(experiment: Experiment, base: Config) -> None:
    counts = [count for name in METHODS for count in experiment.label_counts(name) if count is not None]
    for space in experiment.spaces.values():
        if space.samples_label_count:
            distribution: Any = space.distributions["labels.per_class"]
            counts.append(max(distribution.choices) if hasattr(distribution, "choices") else distribution.high)
    for pair in experiment.pairs.values():
        draw_labels(pair, max(counts), base.labels.validation_per_class, seed=0)


def _require_seeds(key: str, seeds: list[int]) -> None:
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ValueError(f"{key} must list different seeds of at least 0, got {seeds}")

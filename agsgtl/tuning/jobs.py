"""What runs next: source models, search trials and confirmations of all studies in one queue, so that no core idles.

A job is ready when what it needs is there: a trial its source models, an ask the trials that its order waits for, a
confirmation its study's winner. Among the ready ones the job with the most work behind it goes first. That choice moves
the end of the sweep and no result: each study's asks depend on its own trials alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from agsgtl.config import Config, Value, configure, flatten
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Ask
from agsgtl.seeds import Seeds
from agsgtl.training.methods import METHODS
from agsgtl.training.pretrain import source_model_file, source_model_key
from agsgtl.tuning.confirm import (
    Choice,
    confirmation_asks,
    fixed_choices,
    issue,
    set_unasked_aside,
    set_unlisted_aside,
    tuned_choices,
)
from agsgtl.tuning.experiment import Experiment
from agsgtl.tuning.study import Study, StudyName

JobKind = Literal["source_model", "trial"]


@dataclass(frozen=True)
class Job:
    """One piece of work for one worker: a source model of a pair, or a trial whose folder holds its ask.

    `key` names it among all jobs; `folder` is relative to the results folder. A job that `is_alone` runs while nothing else
    does: it ran out of memory before.
    """

    kind: JobKind
    key: str
    pair: str
    folder: str
    config: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    is_alone: bool = False


@dataclass
class _Waiting:
    """A trial that was asked and has no record, and the source models it needs."""

    folder: TrialFolder
    ask: Ask
    models: list[Job]
    work: float
    is_alone: bool = False


class JobQueue:
    """The jobs of one experiment, as its ledger stands; `asked` are the folders of the confirmations that it asks for."""

    def __init__(self, experiment: Experiment, ledger: Ledger, concurrency: int, lease: int = 0) -> None:
        self.experiment, self.ledger, self.concurrency, self.lease = experiment, ledger, concurrency, lease
        self.studies = [Study(name, experiment, ledger, concurrency, lease) for name in study_names(experiment)]
        self.notices: list[str] = []
        self.is_stopping = False
        self._by_name = {study.name: study for study in self.studies}
        self.running: dict[str, Job] = {}
        self.failed_models: set[str] = set()
        self.choices: list[Choice] = []
        self.confirmed = 0
        self.asked: set[Path] = set()
        self._planned: set[str] = set()
        self._chosen: dict[StudyName, list[Choice]] = {}
        self._units = {study.name: _typical_units(study) for study in self.studies}
        self._waiting: dict[str, _Waiting] = {}
        for study in self.studies:
            for folder in study.unfinished():
                self.notices += folder.torn_ends()
                self._wait_for(folder, study.name.method)
        set_unlisted_aside(ledger, experiment.pairs, self.notices)
        self._plan_confirmations()

    @property
    def is_finished(self) -> bool:
        """Whether nothing runs and nothing is left to run."""
        return not self.running and not self._waiting and all(study.is_done for study in self.studies)

    def take_notices(self) -> list[str]:
        """A sentence for each damaged or torn file that was met since the last call."""
        notices = [notice for study in self.studies for notice in study.take_notices()] + self.notices
        self.notices = []
        return notices

    def is_settled(self, method: str, pair: str) -> bool:
        """Whether all choices of a method on a pair are known: its studies are decided; of a fixed method, all of the pair."""
        studies = [study for study in self.studies if study.name.pair == pair]
        own = [study for study in studies if study.name.method == method]
        return all(study.is_decided for study in own or studies)

    def ask_ahead(self, concurrency: int) -> None:
        """Lets every study run so many trials at once from now on."""
        self.concurrency = concurrency
        for study in self.studies:
            study.concurrency = concurrency

    def stop(self) -> None:
        """Hands out nothing more; what runs is let go on until it has saved its checkpoint."""
        self.is_stopping = True

    def next(self) -> Job | None:
        """The job to start now; None where all that is left waits for something that runs, or after a stop."""
        while not (self.is_stopping or any(self._needs_silence(job) for job in self.running.values())):
            candidates = list(self._candidates())
            if not candidates:
                return None
            _, ready = max(candidates, key=lambda candidate: candidate[0])
            if isinstance(ready, Job) and self._needs_silence(ready) and self.running:
                return None  # wait until the device is free
            if isinstance(ready, Job):
                self.running[ready.key] = ready
                return ready
            folder, _ = ready.ask()
            self._wait_for(folder, ready.name.method)
        return None

    def _needs_silence(self, job: Job) -> bool:
        """Whether nothing else may run beside this job; one that gets a whole GPU leaves the other GPUs to others."""
        return job.is_alone and not self.experiment.file.resources.gpu

    def done(self, job: Job, is_lost: bool = False) -> None:
        """Takes note that a job has ended, well or not; a trial that left no record is issued again.

        A source model that left no file has failed, unless it `is_lost`: then nobody knows, and it is issued again.
        """
        del self.running[job.key]
        if job.kind == "source_model":
            if not (is_lost or source_model_file(self.ledger.pretrained, job.folder).exists()):
                self.failed_models.add(job.key)  # the trials that need it try it themselves and record why it fails
            return
        waiting = self._waiting[job.key]
        if not waiting.folder.has_record():
            waiting.is_alone = _ran_out_of_memory(waiting.folder)
            return
        del self._waiting[job.key]
        if study := self._study_of(waiting.ask):
            study.finish(waiting.folder)
        else:
            self.confirmed += 1
        self._plan_confirmations()

    def _candidates(self) -> Iterator[tuple[float, Job | Study]]:
        for key, waiting in self._waiting.items():
            if key in self.running:
                continue
            missing = [model for model in waiting.models if not self._model_is_settled(model)]
            if not missing:
                first = math.inf if waiting.is_alone else waiting.work
                yield first, Job("trial", key, waiting.ask.identity.pair, key, is_alone=waiting.is_alone)
            for model in missing:
                if model.key not in self.running:
                    yield waiting.work, model
        for study in self.studies:
            if study.may_ask():
                yield self._work_left(study), study

    def _wait_for(self, folder: TrialFolder, method: str) -> None:
        ask = folder.ask()
        assert ask is not None, f"{folder.path} was issued without an ask"
        key = folder.path.relative_to(self.ledger.path).as_posix()
        study = self._study_of(ask)
        work = self._work_left(study) if study else work_units(method, ask.config) * len(ask.seeds)
        self._waiting[key] = _Waiting(folder, ask, self._models_of(ask), work, _ran_out_of_memory(folder))

    def _models_of(self, ask: Ask) -> list[Job]:
        """The source models that a trial needs; none where its config makes no sense: the trial says so itself."""
        if not METHODS[ask.identity.method].needs_source_model:
            return []
        try:
            config = configure(ask.config, origin="ask.json")
        except UserError:
            return []
        return [self._model_job(config, ask.identity.pair, seeds) for seeds in ask.seeds]

    def _study_of(self, ask: Ask) -> Study | None:
        """The study of a search trial or a final; None for a confirmation."""
        if ask.identity.kind == "confirm":
            return None
        return self._by_name[StudyName(ask.identity.method, ask.identity.pair, ask.identity.per_class)]

    def _model_job(self, config: Config, pair: str, seeds: Seeds) -> Job:
        key = source_model_key(config, self.experiment.pairs[pair].fingerprint, seeds)
        return Job("source_model", f"pretrained/{key}", pair, key, flatten(config), seeds.model_dump())

    def _model_is_settled(self, model: Job) -> bool:
        return model.key in self.failed_models or source_model_file(self.ledger.pretrained, model.folder).exists()

    def _work_left(self, study: Study) -> float:
        """The study's trials still to end, and the confirmations that wait for them."""
        confirm = self.experiment.file.confirm
        trainings = study.remaining * len(study.search.seeds) + len(confirm.seeds) * confirm.inits_per_draw
        return self._units[study.name] * trainings

    def _plan_confirmations(self) -> None:
        """Issues what can be confirmed by now: fixed methods from the start, a study's winners once they are known.

        Earlier confirmations that nothing asks for any more are set aside as soon as that is known.
        """
        for study in self.studies:
            if study.is_done:
                self._plan_finals(study)
        for pair in self.experiment.pairs:
            counts = set(self.experiment.fixed_label_counts)
            for study in self.studies:
                if study.name.pair == pair and study.is_decided:
                    self._plan(f"tuned {study.name}", partial(self._winners, study))
                    counts |= {choice.per_class for choice in self._winners(study)}
            for count in sorted(counts):
                self._plan(f"fixed {pair} {count}", partial(fixed_choices, self.experiment, pair, [count]))
            self._set_unasked_aside(pair)

    def _set_unasked_aside(self, pair: str) -> None:
        """Clears a pair of the confirmations that no choice asks for, once for each method."""
        for method in METHODS:
            name = f"unasked {method} {pair}"
            if name not in self._planned and self.is_settled(method, pair):
                self._planned.add(name)
                set_unasked_aside(self.ledger, method, pair, self.asked, self.notices)

    def _plan_finals(self, study: Study) -> None:
        """Issues the finals of a study whose trials have all ended, unless that was done before."""
        name = f"finals {study.name}"
        if name in self._planned:
            return
        self._planned.add(name)
        for ask in study.final_asks():
            folder = issue(self.ledger, ask, self.notices)
            if folder.has_record():
                study.finish(folder)
            else:
                self._wait_for(folder, study.name.method)

    def _winners(self, study: Study) -> list[Choice]:
        """What a study that is decided has chosen; it never changes, so it is read once."""
        if study.name not in self._chosen:
            self._chosen[study.name] = tuned_choices(study)
        return self._chosen[study.name]

    def _plan(self, name: str, choose: Callable[[], Sequence[Choice]]) -> None:
        """Issues the confirmations of some choices, unless that was done before."""
        if name in self._planned:
            return
        self._planned.add(name)
        choices = choose()
        self.choices += choices
        for choice in choices:
            for ask in confirmation_asks(self.experiment, choice, self.lease):
                folder = issue(self.ledger, ask, self.notices)
                self.asked.add(folder.path)
                if folder.has_record():
                    self.confirmed += 1
                else:
                    self.notices += folder.torn_ends()
                    self._wait_for(folder, choice.method)


def _ran_out_of_memory(folder: TrialFolder) -> bool:
    """Whether a trial's last attempt did, whichever driver started it: it is tried again alone."""
    failures = folder.failures()
    return bool(failures) and failures[-1]["reason"] == "out_of_memory"


def study_names(experiment: Experiment) -> list[StudyName]:
    """Every study of an experiment, in the order of the file."""
    return [
        StudyName(method, pair, count)
        for pair in experiment.pairs
        for method in experiment.spaces
        for count in experiment.label_counts(method)
    ]


def _typical_units(study: Study) -> float:
    """How much work one training in the middle of the study's space is."""
    return work_units(study.name.method, study.base | study.space.centre())


def work_units(method: str, values: Mapping[str, Value]) -> float:
    """How much work one training is, in network passes: good enough to start the longest first."""
    epochs, discriminator_steps, target_steps = (
        float(values[f"adapt.{name}"]) for name in ("epochs", "discriminator_steps", "target_steps")
    )
    passes = {
        "source_only": 0.0,
        "lda": 0.0,
        "target_only": target_steps,
        "fine_tune": target_steps,
        "source_and_target": 2.0 * target_steps,
    }
    return 1.0 + epochs * passes.get(method, 2.0 * discriminator_steps + 2.0 * target_steps)

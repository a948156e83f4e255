"""One study: an Optuna search over one (method, pair, k), rebuilt from the ledger and asked one trial at a time.

`order: fixed` asks trial n from exactly the trials 0..n-c as finished and the c - 1 after them as running, c being the
experiment's concurrency (`concurrency.py`). Every ask uses a fresh sampler that is seeded by what names the ask. So whoever was killed in
between, trial n is asked alike. `order: async` asks from all that is finished at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import TrialState

from agsgtl.config import Value, flatten
from agsgtl.errors import UserError
from agsgtl.garbage import without_garbage_collection
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Ask, Identity, Record, Setup, by_score
from agsgtl.seeds import Seeds
from agsgtl.training import TRAINER_VERSION
from agsgtl.trial import make_ask
from agsgtl.tuning.askedtrial import asked_trial
from agsgtl.tuning.experiment import Experiment
from agsgtl.tuning.finals import decided, final_ask
from agsgtl.tuning.outcome import Outcome
from agsgtl.tuning.samplers import CONSTRAINED, require_harmless, sampler_for_ask
from agsgtl.tuning.starts import WARM_START, Start, enqueued, remembered_transfer, require_warm_start
from agsgtl.tuning.superseded import make_room, own_record

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it would say is in the ledger


@dataclass(frozen=True)
class StudyName:
    """What a study is about; `per_class` is None where Optuna samples k."""

    method: str
    pair: str
    per_class: int | None

    def __str__(self) -> str:
        return f"{self.method}/{self.pair}/{'sampled' if self.per_class is None else self.per_class}"


class Study:
    """The asks and outcomes of one study, and Optuna's view of them."""

    def __init__(
        self, name: StudyName, experiment: Experiment, ledger: Ledger, concurrency: int, lease: int = 0
    ) -> None:
        self.name, self.experiment, self.ledger, self.concurrency = name, experiment, ledger, concurrency
        self.lease, self.notices = lease, list[str]()
        self.search, self.pair = experiment.file.search, experiment.pairs[name.pair]
        self.space = experiment.spaces[name.method]
        self.base = flatten(experiment.base_config(name.method, name.per_class))
        two_objectives = self.search.objectives == "score_and_labels"
        directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE] if two_objectives else [StudyDirection.MAXIMIZE]
        self.optuna = optuna.create_study(directions=directions)
        self._trials = ledger.path / str(name) / "trials"
        self.outcomes: dict[int, Outcome] = {}
        self.finals: dict[int, Record] = {}
        self.asked = self._first_open = 0
        self._told: set[int] = set()
        self._untold: set[int] = set()
        self._rung_values: dict[float, list[float]] = {}
        with without_garbage_collection():  # records hold no cycles, and looking for some takes a quarter of the time
            self._rebuild()

    @property
    def is_done(self) -> bool:
        """Whether every trial was asked and all that were asked have ended."""
        return len(self.outcomes) >= max(self.search.trials, self.asked)

    @property
    def is_decided(self) -> bool:
        """Whether the winner is known: every trial has ended, and every finalist's final."""
        return self.is_done and all(finalist.number in self.finals for finalist in self.finalists())

    @property
    def remaining(self) -> int:
        """How many trials are not ended yet."""
        return max(self.search.trials, self.asked) - len(self.outcomes)

    def may_ask(self) -> bool:
        """Whether the order allows the next trial to be asked now."""
        if self.asked >= self.search.trials:
            return False
        if self.search.order == "fixed":
            return self.asked - self.concurrency + 1 <= self._ended_in_order()
        return self.asked - len(self.outcomes) < self.concurrency

    def _ended_in_order(self) -> int:
        """How many trials from the first one on have ended, none of them missing."""
        while self._first_open in self.outcomes:
            self._first_open += 1
        return self._first_open

    def ask(self) -> tuple[TrialFolder, Ask]:
        """Samples the next trial; its ask is durable in the ledger when this returns."""
        number = self.asked
        for known in self._newly_visible(number):
            self._show(known)
        self.optuna.sampler = sampler_for_ask(
            self.search.sampler, self.search.startup_trials, self.search.sampler_seed, str(self.name), number
        )
        before = self._study_attributes()
        start = self._starts[number] if number < len(self._starts) else None
        if start is not None:
            self.optuna.enqueue_trial(dict(start.settings))
        trial = self.optuna.ask(dict(self.space.distributions))
        fresh = {name: value for name, value in self._study_attributes().items() if before.get(name) != value}
        sampler_attributes = dict(self._frozen(number).system_attrs)
        attributes = {
            "sampler_attributes": sampler_attributes | ({"start": start.source} if start else {}),
            "study_attributes": fresh,
        }
        ask = self._document(number, trial.params, attributes)
        folder = self.ledger.folder(ask.identity)
        if folder.path.exists():  # killed before the ask, or the ask was damaged
            self.notices += make_room(self.ledger, folder, ask)
        folder.write_ask(ask)
        self.asked += 1
        return folder, ask

    @cached_property
    def _starts(self) -> list[Start]:
        """What is asked first, before the sampler chooses."""
        starts = enqueued(self.search.enqueue, self.space)
        other = self.experiment.warm_start
        if other is None:
            return starts
        study, file = (self.name.method, self.pair), self.ledger.path / str(self.name) / WARM_START
        require_warm_start(other, self.ledger, [str(self.name)], self.search.trials)
        return starts + remembered_transfer(file, other, study, self.space, self.search.warm_start_trials)

    def finish(self, folder: TrialFolder) -> None:
        """Takes the record of a trial, or of a final, from the ledger; one of another ask is refused."""
        self._take(own_record(folder), folder)

    def _take(self, record: Record | None, folder: TrialFolder) -> None:
        if record is not None and record.identity.kind == "final":
            self.finals[record.identity.number] = record
        elif record is not None:
            self.outcomes[record.identity.number] = self._outcome(record, folder)
            self._untold.add(record.identity.number)

    def _finish_if_same(self, folder: TrialFolder, ask: Ask, record: Record | None) -> None:
        """Takes a record that was there before this driver, unless it answers another ask."""
        if record is not None and record.config_hash != ask.config_hash:
            self.notices.append(folder.set_record_aside())
            record = None
        self._take(record, folder)

    def take_notices(self) -> list[str]:
        """A sentence for each damaged file that was met since the last call, and for what became of it."""
        notices, self.notices = self.notices, []
        return notices

    def unfinished(self) -> list[TrialFolder]:
        """Trials that were asked and have no record: they are issued again."""
        return [self._folder(number) for number in range(self.asked) if number not in self.outcomes]

    def finalists(self) -> list[Outcome]:
        """The best trials, as many as `search.finalists`, that get further seeds once all trials have ended."""
        return self._ranked()[: self.search.finalists]

    def final_asks(self) -> list[Ask]:
        """What is asked of the finalists."""
        asks = [self._folder(finalist.number).ask() for finalist in self.finalists()]
        return [final_ask(ask, self.search.final_seeds, self.lease) for ask in asks if ask]

    def winners(self) -> list[Outcome]:
        """The trial with the best score; with two objectives the best at each k of the front, by increasing k.

        A pruned or failed trial cannot win; ties go to the lower number. Finalists are ranked by all their seeds.
        """
        ranked = self._ranked()
        if self.search.finalists and self.is_decided:
            return decided(self.finalists(), self.finals, len(self.search.seeds))[:1]
        if self.search.objectives == "score":
            return ranked[:1]
        front: list[Outcome] = []
        for outcome in sorted(ranked, key=lambda outcome: outcome.labels):  # stable: best first at each count
            if not front or (outcome.score or 0.0) > (front[-1].score or 0.0):
                front.append(outcome)
        return front

    def _ranked(self) -> list[Outcome]:
        complete = [outcome for outcome in self.outcomes.values() if outcome.status == "complete"]
        return sorted(complete, key=lambda outcome: by_score(outcome.score, outcome.number))

    def sampled(self, number: int) -> dict[str, Value]:
        """What Optuna chose for a trial."""
        ask = self._folder(number).ask()
        return dict(ask.sampled) if ask else {}

    def _newly_visible(self, number: int) -> list[int]:
        """Ended trials that ask `number` sees and no earlier ask saw; what was seen before is not gone through again."""
        last = number - self.concurrency if self.search.order == "fixed" else number
        return sorted(known for known in self._untold if known <= last)

    def _document(self, number: int, params: dict[str, Any], attributes: dict[str, Any]) -> Ask:
        values = self.base | params
        rungs, epochs = self.search.rungs, int(values["adapt.epochs"])
        setup = Setup(
            identity=Identity(
                experiment=self.experiment.file.name,
                kind="search",
                method=self.name.method,
                pair=self.name.pair,
                per_class=self.name.per_class,
                number=number,
            ),
            seeds=tuple(Seeds(labels=seed, init=seed) for seed in self.search.seeds),
            select=self.search.select,
            cutoffs=rungs.cutoffs_of(self._rung_values, epochs) if rungs else {},
        )
        distributions = {path: distribution_to_json(entry) for path, entry in self.space.distributions.items()}
        return make_ask(
            values, self.pair, setup, lease=self.lease, sampled=params, distributions=distributions, **attributes
        )

    def _study_attributes(self) -> dict[str, Any]:
        # Optuna has no public way to a study's system attributes any more; NSGA-II's parents lie there, a list a generation.
        return dict(self.optuna._storage.get_study_system_attrs(self.optuna._study_id))

    def _rebuild(self) -> None:
        """Optuna's trials as the ledger has them: all running at first, told as asks make them visible."""
        numbers = [int(folder.path.name) for folder in self.ledger.trials(str(self.name))]
        for number in range(max(numbers, default=-1) + 1):
            folder = self._folder(number)
            ask, record = self._read(folder)
            if ask is None:
                # Killed before the ask, or the ask was damaged: the same question is put again.
                if number == max(numbers):
                    break
                folder, ask = self.ask()
                self._finish_if_same(folder, ask, folder.record())
                continue
            self._require_same(ask, folder)
            require_harmless(ask.sampler_attributes, str(folder.path / "ask.json"))
            self.optuna.add_trial(asked_trial(ask))
            for name, value in ask.study_attributes.items():
                self.optuna._storage.set_study_system_attr(self.optuna._study_id, name, value)
            self.asked += 1
            self._finish_if_same(folder, ask, record)

    def _read(self, folder: TrialFolder) -> tuple[Ask | None, Record | None]:
        """A trial's documents, each read once; damaged ones are set aside first."""
        try:
            folder.scores()
            return folder.ask(), folder.record()
        except UserError:
            self.notices += folder.mend()
            return folder.ask(), folder.record()

    def _require_same(self, ask: Ask, folder: TrialFolder) -> None:
        if ask.trainer_version != TRAINER_VERSION or ask.pair_fingerprint != self.pair.fingerprint:
            what = "another version of the trainer" if ask.trainer_version != TRAINER_VERSION else "other data"
            raise UserError(
                f"{folder.path}: was asked with {what}; its results cannot be mixed with new ones: give the experiment another name"
            )

    def _show(self, number: int) -> None:
        """Makes a trial visible to this ask and all later ones."""
        self._require_rungs(self.outcomes[number])
        self._tell(number)
        for fraction, score in self.outcomes[number].rungs.items():
            self._rung_values.setdefault(fraction, []).append(score)

    def _tell(self, number: int) -> None:
        outcome = self.outcomes[number]
        if outcome.status == "complete":
            values = [outcome.score or 0.0]
            self.optuna.tell(number, values + ([float(outcome.labels)] if len(self.optuna.directions) == 2 else []))
        elif outcome.reason == "out_of_memory" and self.search.sampler in CONSTRAINED:
            # The configuration is not bad but impossible here: a violated constraint keeps samplers away from its kind.
            told = (
                self.outcomes[known].score for known in self._told
            )  # what was not told yet may not show in a fixed order
            lowest = min((score for score in told if score is not None), default=0.0)
            self._trial(number).set_constraint("memory", 1.0)
            self.optuna.tell(number, [lowest] + ([float(outcome.labels)] if len(self.optuna.directions) == 2 else []))
        elif outcome.status == "pruned" and outcome.score is not None:
            self._trial(number).report(outcome.score, outcome.epochs)
            self.optuna.tell(number, state=TrialState.PRUNED)
        else:
            self.optuna.tell(number, state=TrialState.FAIL)
        self._told.add(number)
        self._untold.discard(number)

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.optuna, self._frozen(number)._trial_id)

    def _frozen(self, number: int) -> optuna.trial.FrozenTrial:
        """Optuna's own trial, not to be changed; `study.trials` would copy all of them for every ask."""
        return self.optuna.get_trials(deepcopy=False)[number]

    def _outcome(self, record: Record, folder: TrialFolder) -> Outcome:
        per_class, validation = (int(record.config[f"labels.{name}"]) for name in ("per_class", "validation_per_class"))
        epochs = max((outcome.epochs for outcome in record.outcomes), default=0)
        rungs, lost = self._rungs_of(record, folder, epochs)
        return Outcome(
            number=record.identity.number,
            status=record.status,
            reason=record.reason,
            score=record.score,
            per_class=per_class,
            labels=per_class + validation,
            epochs=epochs,
            rungs=rungs,
            lost=lost,
            cost=record.cost,
        )

    def _rungs_of(
        self, record: Record, folder: TrialFolder, epochs_run: int
    ) -> tuple[dict[float, float], tuple[int, ...]]:
        """The trial's score at each rung that it reached, and the epochs of those whose report is lost."""
        if not (rungs := self.search.rungs):
            return {}, ()
        epochs = int(record.config["adapt.epochs"])
        standing = rungs.epochs(epochs).values()
        reports = folder.reports_at(standing)
        scores = {epoch: float(report["score"]) for epoch, report in reports.items()}
        return rungs.values(scores, epochs), tuple(
            epoch for epoch in standing if epoch <= epochs_run and epoch not in scores
        )

    def _require_rungs(self, outcome: Outcome) -> None:
        """Refuses to ask from a trial whose scores at rungs are lost: later trials would be pruned otherwise, in silence."""
        if outcome.lost:
            folder = self._folder(outcome.number).path
            raise UserError(
                f"{folder / 'progress.jsonl'}: must hold the report of epoch {outcome.lost[0]}, a rung that this trial reached and "
                "later ones are held to, and does not; restore the file from a copy, or remove record.json and checkpoint there: "
                "the trial then runs again"
            )

    def _folder(self, number: int) -> TrialFolder:
        return TrialFolder(self._trials / str(number))

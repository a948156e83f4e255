"""What a study asks before its sampler chooses: settings that the file names, then the best of other pairs' studies.

Both count among the study's trials. What another results folder gave is written down once, at the study's first ask, so
that the study goes on alike whatever becomes of that folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from agsgtl.config import Value, hyperparameter
from agsgtl.data.mapped import has_target_of
from agsgtl.data.pairing import DomainPair
from agsgtl.durable import write_once
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, pair_of
from agsgtl.reporting.record import Record, by_score, read_document, write_document
from agsgtl.tuning.space import SearchSpace

WARM_START = "warm_start.json"
"""In a study's folder: the starts that it took from another results folder."""


class Start(BaseModel):
    """Settings to ask, by dotted path, and in words where they come from; a sampler chooses what they leave out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: dict[str, Value]
    source: str


class _Starts(BaseModel):
    """The content of `warm_start.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    starts: tuple[Start, ...]


def require_fitting(entries: Sequence[Mapping[str, Value]], spaces: Iterable[SearchSpace], origin: str) -> None:
    """Refuses entries of `search.enqueue` that no search space can ask.

    Raises:
        UserError: a path is unknown or not sampled, a value is out of its range, or no space has all of an entry's paths.
    """
    spaces = list(spaces)
    for index, entry in enumerate(entries):
        where = f"{origin}: search.enqueue[{index}]"
        for path in entry:
            hyperparameter(path, where)
            if not any(path in space.distributions for space in spaces):
                raise UserError(f"{where}: '{path}' is in no search space here; set it under `trial:`, or leave it out")
        fitting = [space for space in spaces if entry.keys() <= space.distributions.keys()]
        if not entry or not fitting:
            raise UserError(f"{where}: no search space has all of {', '.join(entry) or 'nothing'}; split the entry")
        for path, value in entry.items():
            fitting[0].require(path, value, where)  # spaces that share a path share its range


def enqueued(entries: Sequence[Mapping[str, Value]], space: SearchSpace) -> list[Start]:
    """The entries of `search.enqueue` whose paths this space samples."""
    return [
        Start(settings=dict(entry), source=f"search.enqueue[{index}]")
        for index, entry in enumerate(entries)
        if entry.keys() <= space.distributions.keys()
    ]


def require_warm_start(
    other: Path | None, ledger: Ledger, studies: Iterable[str], trials: int, anew: Collection[str] = ()
) -> None:
    """Refuses a `search.warm_start` that cannot be read, while some study has yet to write down what it takes from there.

    Args:
        other: the results folder that the file names, if it names one.
        ledger: of the experiment.
        studies: of the experiment, by name.
        trials: how many trials each is to have.
        anew: those that begin anew, whatever lies there.

    Raises:
        UserError: `other` is the experiment's own folder, or holds no experiment.
    """
    lacking = [
        name
        for name in studies
        if name in anew or (not (ledger.path / name / WARM_START).exists() and len(ledger.trials(name)) < trials)
    ]
    if other is None or not lacking:
        return
    if other.resolve() == ledger.path.resolve():
        raise UserError(f"search.warm_start: {other} is this experiment's own folder; name another one's")
    _require_experiment(Ledger(other))


def remembered_transfer(
    file: Path, other: Path, study: tuple[str, DomainPair], space: SearchSpace, count: int
) -> list[Start]:
    """The starts in `file`, or, where it does not exist yet, those of `transferred`, which it then holds.

    Raises:
        UserError: as `transferred`.
    """
    if not file.exists():
        write_once(file, write_document(_Starts(starts=tuple(transferred(other, *study, space, count)))))
    return list(read_document(_Starts, file).starts)


def transferred(other: Path, method: str, pair: DomainPair, space: SearchSpace, count: int) -> list[Start]:
    """The best settings of a method's studies on other pairs: the best of each study, then the second best of each.

    Trials are ranked by the score that their own search saw, within their study; test scores are not read. Settings that
    lie outside this study's space, and those that are there already, are left out.

    Args:
        other: another experiment's results folder.
        method: of the study that is to start.
        pair: of the study that is to start, which itself gives nothing, under another name or split neither: its searches
            may have been judged on pixels that are test pixels here.
        space: of the study that is to start.
        count: how many settings at most.

    Raises:
        UserError: `other` holds no experiment, or a damaged record.
    """
    ledger = Ledger(other)
    _require_experiment(ledger)
    studies = [name for name in ledger.studies() if name.startswith(f"{method}/") and not _is_of(ledger, name, pair)]
    ranked = zip_longest(*(_ranked(ledger, name) for name in studies))
    starts: list[Start] = []
    for name, record in (entry for entry in chain.from_iterable(ranked) if entry):
        settings = {path: record.config[path] for path in space.distributions if path in record.config}
        is_known = any(start.settings == settings for start in starts)
        if len(starts) < count and not is_known and all(space.holds(*item) for item in settings.items()):
            source = f"{other}: {name}, trial {record.identity.number}, score {record.score:.4f}"
            starts.append(Start(settings=settings, source=source))
    return starts


def _require_experiment(other: Ledger) -> None:
    if not other.experiment_file.exists():
        raise UserError(
            f"search.warm_start: {other.path} holds no experiment.yaml; name a folder that `agsgtl sweep` wrote"
        )


def _ranked(ledger: Ledger, study: str) -> Iterator[tuple[str, Record]]:
    """A study's complete trials, best first, each with the study's name."""
    records = [record for folder in ledger.trials(study) if (record := folder.record()) is not None]
    complete = [record for record in records if record.status == "complete" and record.score is not None]
    best_first = sorted(complete, key=lambda record: by_score(record.score, record.identity.number))
    return ((study, record) for record in best_first)


def _is_of(ledger: Ledger, study: str, pair: DomainPair) -> bool:
    """Whether a study was a search on this pair: by its name, by its data, or by the target that it is tested on."""
    name = pair_of(study)
    first = next((ask for folder in ledger.trials(study) if (ask := folder.ask()) is not None), None)
    is_same = first is not None and first.pair_fingerprint == pair.fingerprint  # a study has one
    return name == pair.name or is_same or has_target_of(ledger.path, name, pair)

"""What is asked of a trial and what came of it: the two JSON documents that the ledger is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agsgtl.config import ADDED_LATER, Value, describe_errors, digest, in_full
from agsgtl.durable import json_bytes
from agsgtl.errors import OtherVersion, Torn, UserError
from agsgtl.evaluation.scores import Scores as Scores  # noqa: PLC0414 - a part of the ledger too
from agsgtl.seeds import Seeds

SCHEMA_VERSION = 1

SchemaVersion = Annotated[int, Field(le=SCHEMA_VERSION)]
"""The schema that a document was written with: one that is known here."""

SelectionRule = Literal["target_validation", "target_probability", "source_validation", "target_entropy"]
SELECTION_RULES: Final[tuple[SelectionRule, ...]] = get_args(SelectionRule)
READ_TARGET_LABELS: Final[tuple[SelectionRule, ...]] = ("target_validation", "target_probability")
"""The rules that need labelled target pixels for validation."""

Kind = Literal["search", "final", "confirm", "run"]
Status = Literal["complete", "pruned", "failed"]
Reason = Literal["diverged", "out_of_memory", "bad_input", "interrupted", "node_lost", "timeout", "error"]


def by_score(score: float | None, number: int) -> tuple[float, int]:
    """What complete trials are sorted by, best first: the higher score, then the lower number."""
    return -(score or 0.0), number


Settings = Annotated[dict[str, Value], AfterValidator(in_full)]
"""Every hyperparameter by dotted path; what an older file does not name has the value that it ran with."""

Document = TypeVar("Document", bound=BaseModel)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Identity(_Document):
    """Which trial this is: the same identity is never run twice in a ledger.

    `number` is the trial number in its study, or the confirmation seed. `per_class` is k, or None while Optuna samples
    it; `init` counts the initialisations of one label draw in a confirmation, from 0.
    """

    experiment: str
    kind: Kind
    method: str
    pair: str
    per_class: int | None
    number: int
    init: int = 0


class Origin(_Document):
    """Where a confirmed configuration came from; `trial` is None for a method that is not tuned."""

    study: str
    trials: int
    trial: int | None
    score: float | None


class Setup(_Document):
    """What decides a trial besides its config: who it is, which seeds it trains on, how it is judged and stopped.

    `cutoffs` maps an epoch to the score below which the trial stops there: ASHA's rungs as they stood at the ask.
    """

    identity: Identity
    seeds: tuple[Seeds, ...]
    select: SelectionRule = "target_validation"
    cutoffs: dict[int, float] = Field(default_factory=dict)
    origin: Origin | None = None


class Ask(Setup):
    """Everything that decides a trial's outcome, written before the trial starts.

    `lease` is the number of the driver that asked; it decides nothing. `config` holds every hyperparameter by dotted
    path, `sampled` the part that Optuna chose. What a sampler keeps with a trial and with the study (CMA-ES its
    optimiser, NSGA-II the parents of a generation) is stored for the next asks; of the study what this ask has added.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    lease: int = 0
    config: Settings
    pair_fingerprint: str
    trainer_version: int
    sampled: dict[str, Value] = Field(default_factory=dict)
    distributions: dict[str, str] = Field(default_factory=dict)
    sampler_attributes: dict[str, Any] = Field(default_factory=dict)
    study_attributes: dict[str, Any] = Field(default_factory=dict)

    @property
    def config_hash(self) -> str:
        """Identifies what decides the outcome: two asks with one hash give one outcome."""
        return outcome_hash(self, self.config, self.pair_fingerprint, self.trainer_version)


def outcome_hash(setup: Setup, config: Mapping[str, Value], pair_fingerprint: str, trainer_version: int) -> str:
    """Identifies what decides an outcome: two trials with one hash give one outcome.

    A hyperparameter that was added later counts where it changes something: what ran before it was known keeps its hash.
    """
    deciding = setup.model_dump(mode="json", include={"seeds", "select", "cutoffs"})
    settings = {path: value for path, value in config.items() if (path, value) not in ADDED_LATER.items()}
    return digest([deciding, settings, setup.identity.method, pair_fingerprint, trainer_version])


class SeedOutcome(_Document):
    """What one training of a trial gave; `epoch` is the one kept, `epochs` how many ran, both counted from 1.

    `validation` holds the kept epoch's metrics on the target validation pixels (fractions), `losses` its mean losses.
    """

    seeds: Seeds
    score: float | None
    epoch: int
    epochs: int
    best_score: float | None
    best_epoch: int
    validation: dict[str, float] = Field(default_factory=dict)
    losses: dict[str, float] = Field(default_factory=dict)


class Cost(_Document):
    """What a trial cost and where it ran; the only part of a record that a repetition may change.

    `gpu_memory_mib` is what its process held of a GPU of `gpu_total_mib`, None without one.
    """

    duration_s: float
    cpu_s: float
    peak_memory_mib: float
    device: str
    host: str
    process: int
    attempt: int
    started_at: float
    ended_at: float
    gpu_memory_mib: float | None = None
    gpu_total_mib: float | None = None


class Record(_Document):
    """One trial's outcome. `score` is the mean over its seeds of the kept epochs' selection scores.

    `pair_notes` say how the pair was made: bands matched, pools parted.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    identity: Identity
    status: Status
    reason: Reason | None = None
    message: str | None = None
    config: Settings
    config_hash: str
    pair_fingerprint: str
    trainer_version: int
    select: SelectionRule
    score: float | None = None
    best_score: float | None = None
    outcomes: tuple[SeedOutcome, ...] = ()
    origin: Origin | None = None
    pair_notes: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    cost: Cost

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record in a file; a UserError where the file is no record of this version."""
        return read_document(cls, path)

    def outcome(self) -> dict[str, Any]:
        """Everything that a repetition of the same ask gives again: all but cost and versions."""
        return self.model_dump(mode="json", exclude={"cost", "versions"})


class ScoresFile(_Document):
    """`scores.json`: one entry for each of the record's seeds, in their order."""

    scores: tuple[Scores, ...]


_OF_OTHER_VERSIONS: Final[Mapping[str, str]] = {
    "extra_forbidden": "is not known here",
    "literal_error": "has a value that is not known here",
    "missing": "is not there",
}
"""How a document that is whole differs from those of this version, by pydantic's kind of error."""


def read_document(kind: type[Document], path: Path | str) -> Document:
    """The document in a JSON file.

    Raises:
        OtherVersion: another version wrote it: its schema is a later one, or it has keys or values that are not known here,
            or lacks one.
        Torn: it is no JSON, or has values that no version writes.
        UserError: the system does not let it be read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return kind.model_validate_json(file.read())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        _refuse_other_version(kind, path, error)
        raise Torn(f"{path}: is no {kind.__name__} of this version: {describe_errors(error)[0]}") from None


def _refuse_other_version(kind: type[BaseModel], path: Path | str, error: ValidationError) -> None:
    """Raises OtherVersion for a document that was not torn by a crash, but written with a schema that this version lacks."""
    for item in error.errors():
        if item["loc"][-1:] == ("schema_version",) and item["type"] == "less_than_equal":
            raise OtherVersion(
                f"{path}: was written by a newer agsgtl (schema {item['input']}, this one reads up to {SCHEMA_VERSION}); update "
                "agsgtl"
            ) from None
    news = [item for item in error.errors() if item["type"] in _OF_OTHER_VERSIONS]
    if news:
        named = ", ".join(f"{'.'.join(map(str, item['loc']))} {_OF_OTHER_VERSIONS[item['type']]}" for item in news[:3])
        raise OtherVersion(
            f"{path}: is no {kind.__name__} of this version: {named}; another agsgtl wrote it, or it was changed by hand: go on with "
            "the version that wrote it, or a newer one"
        ) from None


def write_document(document: BaseModel) -> bytes:
    """The JSON text of a document; a NaN in it is an error, never `null` in silence."""
    return json_bytes(document.model_dump(mode="json"))

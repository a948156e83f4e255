"""What an experiment file may say: every key with its type, its default and the rules that the file alone can break."""

from __future__ import annotations

import re
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agsgtl.reporting.ledger import OWN_FOLDERS, SINGLE_RUNS
from agsgtl.reporting.record import Reason, SelectionRule
from agsgtl.tuning.rungs import Rungs
from agsgtl.tuning.samplers import MULTI_OBJECTIVE, SamplerName

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
    winners: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require_seeds("confirm.seeds", self.seeds)
        if not self.methods:
            raise ValueError("confirm.methods must name at least one method: nothing else is tabled")
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
        if self.name in {*OWN_FOLDERS, SINGLE_RUNS}:
            raise ValueError(f"name '{self.name}' is that of a folder inside of results; choose another one")
        searched = {*self.search.seeds, *(self.search.final_seeds if self.search.finalists else ())}
        shared = sorted(searched & set(self.confirm.seeds)) if self.search.spaces else []
        if shared:
            raise ValueError(
                f"confirm.seeds must be seeds that no search saw, but {shared} are in search.seeds or search.final_seeds too"
            )
        if len(set(self.pairs)) != len(self.pairs):
            raise ValueError(f"pairs names a pair twice: {', '.join(self.pairs)}")
        return self


def _require_seeds(key: str, seeds: list[int]) -> None:
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ValueError(f"{key} must list different seeds of at least 0, got {seeds}")

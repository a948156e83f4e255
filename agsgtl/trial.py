"""One trial, whole: draw labels, pre-train, adapt, evaluate, and leave one record. Read this first.

run_trial
  _train            every epoch, all seeds side by side, so that the trial's score is their mean from the start
    _start_seed       draw_labels -> training_inputs -> obtain_source_model -> the method's Training
    SeedRun.advance   one epoch of one seed, its selection score, and the weights that `adapt.keep` wants
  SeedRun.outcome   the kept weights' validation metrics and class map
A failure of any kind ends in a record with its reason. Nothing here trains or selects on a test label.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agsgtl.config import Config, Value, flatten
from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import DomainPair
from agsgtl.durable import NotWritable
from agsgtl.errors import Diverged, Interrupted, TimedOut, UserError
from agsgtl.laststate import LastState
from agsgtl.provenance import Stopwatch, versions
from agsgtl.reporting.ledger import Attempt, TrialFolder
from agsgtl.reporting.record import (
    READ_TARGET_LABELS,
    Ask,
    Identity,
    Reason,
    Record,
    SelectionRule,
    Setup,
    Status,
    outcome_hash,
)
from agsgtl.seedrun import SeedRun
from agsgtl.seeds import Seeds
from agsgtl.training import TRAINER_VERSION
from agsgtl.training.allocator import keep_freed_memory
from agsgtl.training.checkpoint import Tensors
from agsgtl.training.inputs import TrainingInputs, normalised_cubes, training_inputs
from agsgtl.training.methods import METHODS
from agsgtl.training.pretrain import never, obtain_source_model, source_model_file, source_model_key
from agsgtl.training.training import Training

_OUT_OF_MEMORY = (
    "can't allocate memory",  # PyTorch on a CPU
    "CUDA error: out of memory",  # the driver, where it is not PyTorch's allocator that asks
    "ALLOC_FAILED",  # CUBLAS_STATUS_, CUDNN_STATUS_, CUSOLVER_STATUS_
    "ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_HOST_, _DEVICE_
)
"""What errors of other kinds than `OutOfMemoryError` say where memory ran out: RuntimeError, AcceleratorError."""

Report = dict[str, Any]
"""One epoch's line: epoch, epochs, score, best_score, best_epoch and the mean losses over the seeds."""


@dataclass(frozen=True)
class Place:
    """Where a trial keeps things, whom it tells, and who may end it; every part may be left out.

    `retries` says how many failures of a kind are noted and tried again before one is the trial's record. `should_stop`
    is asked after every epoch; a trial that stops saves its checkpoint first. `raises` lets an error through instead of
    recording it, for a debugger.
    """

    folder: TrialFolder | None = None
    source_models: Path | None = None
    on_report: Callable[[Report], None] = lambda report: None
    should_stop: Callable[[], bool] = never
    timeout_s: float = math.inf
    retries: Mapping[str, int] = field(default_factory=dict)
    raises: bool = False


def debug_setup(pair: DomainPair, config: Config, method: str, seeds: Seeds, select: SelectionRule) -> Setup:
    """The setup of a single trial outside any experiment."""
    identity = Identity(
        experiment="run",
        kind="run",
        method=method,
        pair=pair.name,
        per_class=config.labels.per_class,
        number=seeds.labels,
    )
    return Setup(identity=identity, seeds=(seeds,), select=select)


def make_ask(values: Mapping[str, Value], pair: DomainPair, setup: Setup, **sampling: Any) -> Ask:
    """The document that decides a trial: every hyperparameter's value by dotted path, and the setup.

    `sampling` is what Optuna needs to know of it again. The values are not judged here: a sampled combination that makes no
    sense is the trial's failure, not the sweep's.
    """
    return Ask(
        **dict(setup),
        config=dict(values),
        pair_fingerprint=pair.fingerprint,
        trainer_version=TRAINER_VERSION,
        **sampling,
    )


def hash_of(config: Config, pair: DomainPair, setup: Setup) -> str:
    """Identifies what decides the outcome, as in the record and the checkpoint."""
    return outcome_hash(setup, flatten(config), pair.fingerprint, TRAINER_VERSION)


def run_trial(config: Config, pair: DomainPair, setup: Setup | None = None, place: Place | None = None) -> Record:
    """Runs one trial to its record: complete, pruned, or failed with a reason.

    A folder that holds a checkpoint of the same trial is gone on from, to the same result. The record and the class
    maps are written there, once. A trial that is interrupted leaves its checkpoint and no `record.json`.

    Args:
        config: every hyperparameter.
        pair: the scenes, without test labels.
        setup: identity, seeds, selection rule and cutoffs; left out: `agsgtl` on seeds 0.
        place: folders and listeners; left out: nothing is written.
    """
    place = place or Place()
    setup = setup or debug_setup(pair, config, "agsgtl", Seeds(labels=0, init=0), "target_validation")
    attempt = place.folder.start_attempt() if place.folder else None
    stopwatch = Stopwatch(config.runtime.device, attempt=attempt.number if attempt else 1)
    try:
        status, runs = _train(config, pair, setup, place, attempt)
        outcomes = [run.outcome(setup.select) for run in runs]
        record = _record(config, pair, setup, stopwatch, status, outcomes=tuple(outcomes), **_means(runs))
        if attempt is not None and status == "complete":
            attempt.require_current()
            attempt.folder.write_class_map(np.stack([run.class_map() for run in runs]))
    except NotWritable:
        raise  # nothing can be recorded on a full disk; the driver says so and stops
    except BaseException as error:
        if place.raises or isinstance(error, (SystemExit, GeneratorExit)):
            raise
        reason = _reason(error)
        message = (
            str(error) if reason in ("diverged", "bad_input", "interrupted", "timeout") else traceback.format_exc()
        )
        record = _record(config, pair, setup, stopwatch, "failed", reason=reason, message=message)
    if attempt is not None:
        _leave(record, attempt, place.retries)
    return record


def _leave(record: Record, attempt: Attempt, retries: Mapping[str, int]) -> None:
    """Writes the record, unless the trial is not over: interrupted, taken over, or with a retry left for its failure."""
    reason = record.reason
    if reason == "interrupted":
        return
    failed_before = sum(failure["reason"] == reason for failure in attempt.folder.failures())
    with suppress(Interrupted):
        if reason is not None and failed_before < retries.get(reason, 0):
            attempt.append_failure(reason, record.message or "")
        else:
            attempt.write_record(record)


def source_inputs(config: Config, pair: DomainPair, seeds: Seeds) -> TrainingInputs:
    """The inputs of one seed.

    Raises:
        UserError: a class has too few pixels, the device is missing, or the network looks farther than `split: blocks` keeps
            test pixels from training pixels.
    """
    pair.require_reach(config.model.family, "trial")
    if config.runtime.device == "cuda" and not torch.cuda.is_available():
        raise UserError("runtime.device is cuda, but PyTorch sees no GPU here; ask for resources.gpu or set it to cpu")
    cubes = normalised_cubes(pair, config.data.normalisation, config.runtime.device)
    draw = draw_labels(pair, config.labels.per_class, config.labels.validation_per_class, seeds.labels)
    return training_inputs(*cubes, draw, pair.classes)


def start_training(
    config: Config, pair: DomainPair, method: str, inputs: TrainingInputs, seeds: Seeds, source_models: Path | None
) -> Training:
    """A method's training before its first epoch; a source model that it needs lies in `source_models`, or is made and kept there."""
    source: Tensors = {}
    if METHODS[method].needs_source_model:
        file = None
        if source_models is not None:
            file = source_model_file(source_models, source_model_key(config, pair.fingerprint, seeds))
        source = obtain_source_model(config, inputs, seeds, file).best
    return METHODS[method].start(config, inputs, source, seeds.init)


def ensure_source_model(
    config: Config, pair: DomainPair, seeds: Seeds, folder: Path, should_stop: Callable[[], bool] = never
) -> None:
    """Pre-trains the source model of these settings and seeds, unless it lies in `folder` already; `Interrupted` by a stop."""
    prepare_process(config)
    file = source_model_file(folder, source_model_key(config, pair.fingerprint, seeds))
    if not file.exists():
        obtain_source_model(config, source_inputs(config, pair, seeds), seeds, file, should_stop)


def prepare_process(config: Config) -> None:
    """What a process that ran other trials before, or none, has to be like for this one."""
    settle_arithmetic(config)
    keep_freed_memory()


def settle_arithmetic(config: Config) -> None:
    """As many threads as the config says, and on a GPU the float32 and the kernels that every trial has there."""
    torch.set_num_threads(config.runtime.threads)
    # On a GPU float32 is float32 too, where PyTorch's convolutions would be TF32; and a kernel that is chosen by its time
    # could be another one when a trial goes on.
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def _train(
    config: Config, pair: DomainPair, setup: Setup, place: Place, attempt: Attempt | None
) -> tuple[Status, list[SeedRun]]:
    prepare_process(config)
    if setup.select in READ_TARGET_LABELS and not config.labels.validation_per_class:
        raise UserError(f"select {setup.select} needs labels.validation_per_class of at least 1, got 0")
    runs = [_start_seed(config, pair, setup, seeds, place) for seeds in setup.seeds]
    last = LastState(attempt, hash_of(config, pair, setup))
    epoch, epochs, started = last.restore(runs), runs[0].training.epochs, time.monotonic()
    if epochs == 0:
        for run in runs:
            run.judge_untrained(setup.select)
    while not all(run.is_finished for run in runs):
        epoch += 1
        for run in runs:
            if not run.is_finished:
                run.advance(epoch, setup.select)
        report = _report(epoch, epochs, runs)
        if attempt is not None:
            attempt.append_progress(report)
        place.on_report(report)
        is_over = all(run.is_finished for run in runs)  # of an early stop too: what trained to its end is complete
        if not is_over and report["score"] < setup.cutoffs.get(epoch, -math.inf):
            return "pruned", runs
        if place.should_stop():
            last.save(runs, epoch)
            raise Interrupted(f"stopped after epoch {epoch}")
        if not is_over and time.monotonic() - started > place.timeout_s:
            raise TimedOut(f"epoch {epoch} of {epochs} ended after the {place.timeout_s:g} s that a trial may take")
        last.save_if_due(runs, epoch)
    last.save(runs, epoch, keeps=True)
    return "complete", runs


def _start_seed(config: Config, pair: DomainPair, setup: Setup, seeds: Seeds, place: Place) -> SeedRun:
    inputs = source_inputs(config, pair, seeds)
    training = start_training(config, pair, setup.identity.method, inputs, seeds, place.source_models)
    return SeedRun(seeds, training, config.adapt.keep)


def _report(epoch: int, epochs: int, runs: Sequence[SeedRun]) -> Report:
    names = sorted({name for run in runs for name in run.latest_losses})
    return {
        "epoch": epoch,
        "epochs": epochs,
        **_means(runs),
        "best_epoch": max(run.best_epoch for run in runs),
        "losses": {name: float(np.mean([run.latest_losses[name] for run in runs])) for name in names},
    }


def _means(runs: Sequence[SeedRun]) -> dict[str, float]:
    return {
        "score": float(np.mean([run.score for run in runs])),
        "best_score": float(np.mean([run.best_score for run in runs])),
    }


def failed_record(ask: Ask, reason: Reason, message: str) -> Record:
    """The record of a trial that could not leave its own."""
    return Record(
        identity=ask.identity,
        status="failed",
        reason=reason,
        message=message,
        config=ask.config,
        config_hash=ask.config_hash,
        pair_fingerprint=ask.pair_fingerprint,
        trainer_version=ask.trainer_version,
        select=ask.select,
        origin=ask.origin,
        versions=versions(),
        cost=Stopwatch("cpu", attempt=0).cost(),
    )


def _record(
    config: Config, pair: DomainPair, setup: Setup, stopwatch: Stopwatch, status: Status, **outcome: Any
) -> Record:
    settings = flatten(config)
    return Record(
        identity=setup.identity,
        status=status,
        config=settings,
        config_hash=hash_of(config, pair, setup),
        pair_fingerprint=pair.fingerprint,
        trainer_version=TRAINER_VERSION,
        select=setup.select,
        origin=setup.origin,
        pair_notes=pair.notes,
        versions=versions(),
        cost=stopwatch.cost(),
        **outcome,
    )


def _reason(error: BaseException) -> Reason:
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, UserError):
        return "bad_input"
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return "interrupted"
    if isinstance(error, TimedOut):
        return "timeout"
    is_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return "out_of_memory" if is_memory or any(text in str(error) for text in _OUT_OF_MEMORY) else "error"

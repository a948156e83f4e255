"""Ledgers with known truth for tests and benchmarks of reporting: what a table must say is decided by the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from agsgtl.config import Value, configure, flatten
from agsgtl.evaluation.scores import Scores
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import (
    Ask,
    Cost,
    Identity,
    Kind,
    Origin,
    Reason,
    Record,
    ScoresFile,
    SeedOutcome,
    Status,
    write_document,
)
from agsgtl.seeds import Seeds

CLASSES = ("corn", "oats", "woods")
PAIR = "toy/a_to_b"


def scores_of(macro_f1: float, classes: Sequence[str] = CLASSES) -> Scores:
    """Scores with this macro F1; the other metrics lie .01, .02, .03 and .04 below it."""
    return Scores(
        class_names=tuple(classes),
        test_pixels=300,
        macro_f1=macro_f1,
        balanced_accuracy=macro_f1 - 0.01,
        mean_iou=macro_f1 - 0.02,
        overall_accuracy=macro_f1 - 0.03,
        kappa=macro_f1 - 0.04,
        per_class_f1=tuple(macro_f1 + step for step in np.linspace(-0.1, 0.1, len(classes))),
        confusion_matrix=tuple(
            tuple(80 if row == column else 10 for column in range(len(classes))) for row in range(len(classes))
        ),
    )


def make_record(
    identity: Identity,
    seeds: Sequence[Seeds],
    score: float = 0.5,
    config: Mapping[str, Value] | None = None,
    status: Status = "complete",
    reason: Reason | None = None,
    origin: Origin | None = None,
    fingerprint: str = "0123456789abcdef",
) -> tuple[Ask, Record]:
    """An ask and the record that came of it."""
    settings = flatten(configure({"labels.per_class": identity.per_class or 3}, config or {}, origin="synthetic"))
    ask = Ask(
        identity=identity,
        config=settings,
        seeds=tuple(seeds),
        select="target_validation",
        pair_fingerprint=fingerprint,
        trainer_version=1,
        sampled=dict(config or {}) if identity.kind == "search" else {},
        origin=origin,
    )
    done = status == "complete"
    outcomes = tuple(
        SeedOutcome(
            seeds=seed, score=score, epoch=8, epochs=10, best_score=score, best_epoch=8, validation={"macro_f1": score}
        )
        for seed in seeds
    )
    record = Record(
        identity=identity,
        status=status,
        reason=reason,
        config=settings,
        config_hash=ask.config_hash,
        pair_fingerprint=fingerprint,
        trainer_version=1,
        select="target_validation",
        score=score if done else None,
        best_score=score if done else None,
        outcomes=outcomes if status != "failed" else (),
        origin=origin,
        versions={"torch": "2.13.0", "agsgtl": "0.1.0"},
        cost=Cost(
            duration_s=2.0,
            cpu_s=2.0,
            peak_memory_mib=100.0,
            device="cpu",
            host="h",
            process=1,
            attempt=1,
            started_at=0.0,
            ended_at=2.0,
        ),
    )
    return ask, record


def write_run(
    folder: TrialFolder, ask: Ask, record: Record | None, test: Sequence[float] = (), classes: Sequence[str] = CLASSES
) -> None:
    """Writes one run's documents without waiting for the disk; `test` holds the macro F1 of each seed."""
    folder.path.mkdir(parents=True, exist_ok=True)
    (folder.path / "ask.json").write_bytes(write_document(ask))
    if record is not None:
        (folder.path / "record.json").write_bytes(write_document(record))
    if test:
        content = ScoresFile(scores=tuple(scores_of(value, classes) for value in test))
        (folder.path / "scores.json").write_bytes(write_document(content))


def write_confirm(
    folder: Path,
    method: str,
    values: Mapping[int, float | Reason | None],
    pair: str = PAIR,
    per_class: int = 3,
    config: Mapping[str, Value] | None = None,
    experiment: str | None = None,
    trials: int | None = None,
    init: int = 0,
    fingerprint: str = "0123456789abcdef",
    notes: tuple[str, ...] = (),
) -> None:
    """Confirmations of one method on one pair: by seed the macro F1 on test, None (unscored) or a reason of failure.

    `trials` makes the method a tuned one, whose winner was trial 0 of so many with score .9.
    """
    ledger = Ledger(folder)
    name = experiment or folder.name
    origin = Origin(study=f"{method}/{pair}/{per_class}", trials=trials, trial=0, score=0.9) if trials else None
    for seed, value in values.items():
        kind: Kind = "confirm"
        identity = Identity(
            experiment=name, kind=kind, method=method, pair=pair, per_class=per_class, number=seed, init=init
        )
        seeds = [Seeds(labels=seed, init=seed + 1000 * init)]
        failed = value if isinstance(value, str) else None
        status: Status = "failed" if failed else "complete"
        ask, record = make_record(identity, seeds, 0.7, config, status, failed, origin, fingerprint)
        record = record.model_copy(update={"pair_notes": notes})
        write_run(ledger.folder(identity), ask, record, [value] if isinstance(value, float) else ())


def write_search(
    folder: Path,
    method: str,
    scores: Sequence[float],
    pair: str = PAIR,
    per_class: int | None = 3,
    test: Sequence[Sequence[float]] | None = None,
    config: Callable[[int], Mapping[str, Value]] = lambda _: {},
    distributions: Mapping[str, str] | None = None,
) -> None:
    """Search trials on seeds 0 and 1 with these validation scores; `test` opens them: each trial's two macro F1.

    `distributions` are the asks' own, as Optuna writes them.
    """
    ledger = Ledger(folder)
    for number, score in enumerate(scores):
        identity = Identity(
            experiment=folder.name, kind="search", method=method, pair=pair, per_class=per_class, number=number
        )
        ask, record = make_record(identity, [Seeds(labels=0, init=0), Seeds(labels=1, init=1)], score, config(number))
        ask = ask.model_copy(update={"distributions": dict(distributions or {})})
        write_run(ledger.folder(identity), ask, record, test[number] if test else ())


def write_experiment(folder: Path, **content: object) -> None:
    """`experiment.yaml` with this content; the name is the folder's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump({"name": folder.name, **content}))


def write_ledger(folder: Path, trials: int = 10, seeds: Sequence[int] = (41, 50, 61)) -> Path:
    """A small finished experiment: fixed source_only, tuned fine_tune and agsgtl, on two pairs; returns the folder.

    Macro F1 is `base(method) + .1 (second pair) + .01 * index of the seed`, with bases .4, .6 and .7.
    """
    bases = {"source_only": 0.4, "fine_tune": 0.6, "agsgtl": 0.7}
    pairs = (PAIR, "toy/b_to_a")
    cells = [{"method": m, "pair": p, "per_class": 3, "seed": s} for m in bases for p in pairs for s in seeds]
    write_experiment(
        folder,
        pairs=list(pairs),
        search={"spaces": {"agsgtl": {}, "fine_tune": {}}, "trials": trials},
        confirm={"methods": list(bases), "seeds": list(seeds)},
        confirm_cells=cells,
    )
    for method, base in bases.items():
        for shift, pair in enumerate(pairs):
            values = {seed: base + 0.1 * shift + 0.01 * index for index, seed in enumerate(seeds)}
            write_confirm(folder, method, values, pair, trials=None if method == "source_only" else trials)
            if method != "source_only":
                write_search(
                    folder,
                    method,
                    [0.5 + 0.01 * n for n in range(trials)],
                    pair,
                    config=lambda n: {"loss.entropy": 0.1 * n},
                )
    return folder

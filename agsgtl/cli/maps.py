"""What `agsgtl predict` and `agsgtl import-weights` do: maps out of a record, and the authors' ten runs as records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import typer

from agsgtl.config import AUTHORS_SETTINGS, Config, Value, configure, flatten
from agsgtl.data.catalog import pair_names
from agsgtl.data.labels import draw_labels
from agsgtl.data.mapped import map_pair
from agsgtl.data.normalisation import fit_scaling
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.data.vault import DrawnBy, LabelVault
from agsgtl.durable import exclusively
from agsgtl.errors import UserError
from agsgtl.evaluation.mapfiles import write_maps
from agsgtl.evaluation.metrics import score_class_map
from agsgtl.evaluation.predict import TILE, Predictor, linear_predictor, network_predictor, predict_scene
from agsgtl.laststate import BESIDE, BEST, LAST
from agsgtl.models.authors_weights import NetworkSizes, from_authors, read_sizes
from agsgtl.models.weights_reader import StateDict, read_state_dicts
from agsgtl.provenance import Stopwatch, versions
from agsgtl.reads import AUTHORS_METHOD, READS
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Identity, Record, SeedOutcome, Setup
from agsgtl.reporting.vaultlog import VaultLog
from agsgtl.seeds import Seeds
from agsgtl.training import TRAINER_VERSION, checkpoint
from agsgtl.trial import make_ask

GATES = ("attention.target", "attention.discriminator")
"""What switches a gate on, in a config; a method that does not read it never trained that gate."""
AUTHORS_SEEDS = (41, 50, 61, 70, 81, 90, 101, 200, 301, 400)
"""Numbers of the ten runs: the seeds of the authors' later code; those of the published weights are not known."""
AUTHORS_PER_CLASS = {"houston": 9, "botswana": 10, "c2seg_ab": 10}
"""The authors' n of labelled target pixels a class."""


def predict(
    record: Path,
    scene: str = "target",
    seed: int = 0,
    pair: str | None = None,
    root: Path | None = None,
    out: Path | None = None,
    tile: int = TILE,
) -> None:
    """Writes a record's class map, confidence and attention map of a scene; `agsgtl predict --help` has the arguments.

    Raises:
        UserError: there is no such scene, record or pair, the record is not complete, or its weights are gone.
    """
    if scene not in ("target", "source"):
        raise UserError(f"--scene must be target or source, got '{scene}'")
    folder = TrialFolder(record.parent if record.name == "record.json" else record)
    found = folder.record()
    if found is None:
        raise UserError(
            f"{folder.path}: there is no record.json; name a trial's folder, like results/demo/confirm/agsgtl/.../41"
        )
    if found.status != "complete":  # what may lie there is of some epoch on the way, and no result's
        raise UserError(
            f"{folder.path}: the trial is {found.status}, and only complete trials keep their weights; name a complete one's folder"
        )
    of_pair = _find_pair(folder.path, found, pair, root)
    predictor = load_predictor(folder, found, of_pair, seed)
    scalings = fit_scaling(of_pair, str(found.config["data.normalisation"]))
    cube = of_pair.target_cube if scene == "target" else of_pair.source_cube
    prediction = predict_scene(predictor, cube, scalings[scene == "target"], tile)
    place = of_pair.target_georeference if scene == "target" else of_pair.source_georeference
    for path in write_maps(
        out or folder.path / "maps" / scene, prediction, of_pair.class_names, of_pair.colours, place
    ):
        typer.echo(str(path))


def import_weights(
    file: Path,
    pair: str,
    discriminators: Path | None = None,
    results: Path = Path("results/authors"),
    root: Path | None = None,
) -> None:
    """Turns the authors' weights into records that `predict` and `table` treat as any other method's.

    Raises:
        UserError: the files hold something else, or networks for another pair.
    """
    segmenters = _checked(file, "segmenter")
    judges = _checked(discriminators, "discriminator") if discriminators is not None else [{}] * len(segmenters)
    if len(judges) != len(segmenters) or len(segmenters) > len(AUTHORS_SEEDS):
        raise UserError(
            f"{file}: holds {len(segmenters)} runs, and the discriminators' file {len(judges)}; at most {len(AUTHORS_SEEDS)}, as many "
            "in both, are expected"
        )
    of_pair = load_pair(pair, root)
    sizes = [_require_fitting(read_sizes(weights, str(file)), of_pair, file) for weights in segmenters]
    config = _authors_config(sizes[0], judges[0], of_pair)
    predictors = [_predictor(config, of_pair, *weights, file) for weights in zip(segmenters, judges, strict=True)]
    if of_pair.tests_on_the_rest:  # before any look: the draw must leave pixels to test on
        draw_labels(of_pair, config.labels.per_class, config.labels.validation_per_class, AUTHORS_SEEDS[0])
    ledger, vault = Ledger(results), LabelVault(pair, root)
    scaling = fit_scaling(of_pair, config.data.normalisation)[1]
    with exclusively(results / ".import.guard"):  # two imports at once would mix their weights
        log = VaultLog(ledger)
        for number, predictor, *weights in zip(AUTHORS_SEEDS, predictors, segmenters, judges, strict=False):
            folder = _write_run(ledger, config, of_pair, number, (weights[0], weights[1]))
            if not folder.has_record():
                watch = Stopwatch("cpu", attempt=1)
                folder.write_class_map(predict_scene(predictor, of_pair.target_cube, scaling).class_map[None])
                folder.write_record(_record(config, of_pair, number, watch, results.name))
            _score(log, folder, vault, of_pair, config, number)
            typer.echo(str(folder.path))


def load_predictor(folder: TrialFolder, record: Record, pair: DomainPair, seed: int) -> Predictor:
    """What a record's kept weights predict with.

    Raises:
        UserError: the record has no such seed, or its weights are gone or not its own.
    """
    file = folder.checkpoint / BEST
    if not file.exists():
        raise UserError(
            f"{file}: the weights are not there; only complete trials keep theirs, and losers' may be cleaned away"
        )
    tensors, _ = checkpoint.load(file)
    weights = checkpoint.under(str(seed), tensors)
    if not weights:
        raise UserError(
            f"{file}: holds no weights of seed {seed}; --seed counts the record's {len(record.outcomes)} seeds from 0"
        )
    if "coefficients" in weights:
        return linear_predictor(weights)
    discriminator = checkpoint.under(f"{BESIDE}.{seed}.discriminator", tensors)
    if not discriminator and record.outcomes[seed].epoch == record.outcomes[seed].epochs:
        discriminator = _last_discriminator(folder, seed)
    method, origin = record.identity.method, str(folder.path / "record.json")
    config = configure(record.config, {gate: False for gate in GATES if not _trains(method, gate)}, origin=origin)
    if not discriminator and method != AUTHORS_METHOD and config.attention.discriminator:
        typer.echo(f"no attention map: {file} holds no discriminator of the epoch that was kept", err=True)
    if config.runtime.precision == "bfloat16":
        typer.echo("computed in float32; the trial's own class map is of bfloat16: single pixels may differ", err=True)
    return _predictor(config, pair, weights, discriminator, file)


def _trains(method: str, gate: str) -> bool:
    """Whether a record of this method has that gate trained; weights that were imported may have any."""
    return method == AUTHORS_METHOD or gate in READS.get(method, ())


def _last_discriminator(folder: TrialFolder, seed: int) -> StateDict:
    """The discriminator of the last epoch, which records have that were made before the kept epoch's was kept too."""
    last = folder.checkpoint / LAST
    return checkpoint.under(f"{seed}.state.discriminator", checkpoint.load(last)[0]) if last.exists() else {}


def _predictor(config: Config, pair: DomainPair, weights: StateDict, discriminator: StateDict, file: Path) -> Predictor:
    ours = [from_authors(part) if any(_is_theirs(name) for name in part) else part for part in (weights, discriminator)]
    try:
        return network_predictor(config, pair.target_cube.shape[2], pair.classes, *ours)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: these weights do not fit the networks of pair '{pair.name}': {reason}") from None


def _is_theirs(name: str) -> bool:
    return not name.startswith(("body.", "classifier.", "attention."))


def _find_pair(folder: Path, record: Record, pair: str | None, root: Path | None) -> DomainPair:
    """The pair that a sweep unpacked beside the record, or else the one whose files are named or known."""
    name = record.identity.pair
    unpacked = [
        parent for parent in folder.resolve().parents if (parent / "pairs" / f"{name.replace('/', '__')}.npz").is_file()
    ]
    if pair is None and not unpacked and name not in pair_names():
        raise UserError(
            f"{folder}: was trained on pair '{name}', which the catalog does not know and no sweep unpacked here; name its .yaml "
            "file with --pair"
        )
    found = map_pair(unpacked[0], name) if unpacked and pair is None else load_pair(pair or name, root)
    if found.fingerprint != record.pair_fingerprint:
        raise UserError(
            f"{folder}: was trained on pair '{name}' with fingerprint {record.pair_fingerprint}, but the files now have "
            f"{found.fingerprint}; restore them"
        )
    return found


def _checked(file: Path, network: Literal["segmenter", "discriminator"]) -> list[StateDict]:
    dicts = read_state_dicts(file)
    kinds = {read_sizes(weights, str(file)).network for weights in dicts}
    if kinds != {network}:
        raise UserError(f"{file}: must hold {network}s, but holds {' and '.join(sorted(kinds))}s")
    return dicts


def _require_fitting(sizes: NetworkSizes, pair: DomainPair, file: Path) -> NetworkSizes:
    bands = pair.target_cube.shape[2]
    if (sizes.inputs, sizes.outputs) != (bands, pair.classes):
        raise UserError(
            f"{file}: these networks take {sizes.inputs} bands and tell {sizes.outputs} classes apart, but pair '{pair.name}' has "
            f"{bands} and {pair.classes}; name their own pair, or give it its bands (`bands`, `multiple_of_21`)"
        )
    return sizes


def _authors_config(sizes: NetworkSizes, discriminator: StateDict, pair: DomainPair) -> Config:
    judge = read_sizes(discriminator, "the discriminators").width if discriminator else 2 * sizes.width
    widths = {
        "model.width": sizes.width,
        "model.discriminator_width": sizes.width if sizes.family == "depthwise" else judge,
    }
    labels = {"labels.per_class": AUTHORS_PER_CLASS[pair.authors_settings], "labels.validation_per_class": 0}
    own: dict[str, Value] = {"model.family": sizes.family, **widths, **labels, "data.normalisation": "authors"}
    return configure(AUTHORS_SETTINGS[pair.authors_settings], own, origin="the authors' settings")


def _setup(config: Config, pair: DomainPair, number: int, experiment: str) -> Setup:
    identity = Identity(
        experiment=experiment,
        kind="confirm",
        method=AUTHORS_METHOD,
        pair=pair.name,
        per_class=config.labels.per_class,
        number=number,
    )
    return Setup(identity=identity, seeds=(Seeds(labels=number, init=number),))


def _write_run(
    ledger: Ledger, config: Config, pair: DomainPair, number: int, weights: tuple[StateDict, StateDict]
) -> TrialFolder:
    """The folder of one run with what was asked and its weights as safetensors, under our names."""
    setup = _setup(config, pair, number, ledger.path.name)
    folder, ask = ledger.folder(setup.identity), make_ask(flatten(config), pair, setup)
    there = folder.ask()
    if there is not None and there.config_hash != ask.config_hash:
        raise UserError(f"{folder.path}: holds weights for other data or settings; name another folder with --results")
    segmenter, discriminator = (from_authors(part) for part in weights)
    file, ours = folder.checkpoint / BEST, checkpoint.prefixed("0", segmenter)
    if file.exists() and not _are_same(checkpoint.under("0", checkpoint.load(file)[0]), segmenter):
        raise UserError(f"{folder.path}: holds the weights of another file; name another folder with --results")
    folder.write_ask(ask)
    checkpoint.save(file, ours | checkpoint.prefixed(f"{BESIDE}.0.discriminator", discriminator), {"epochs": [0]})
    return folder


def _are_same(one: StateDict, other: StateDict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _record(config: Config, pair: DomainPair, number: int, watch: Stopwatch, experiment: str) -> Record:
    setup = _setup(config, pair, number, experiment)
    ask = make_ask(flatten(config), pair, setup)
    outcome = SeedOutcome(seeds=setup.seeds[0], score=None, epoch=0, epochs=0, best_score=None, best_epoch=0)
    return Record(
        identity=setup.identity,
        status="complete",
        message="the authors' published weights; which target pixels they were trained on is not known, test pixels may be among them",
        config=ask.config,
        config_hash=ask.config_hash,
        pair_fingerprint=pair.fingerprint,
        trainer_version=TRAINER_VERSION,
        select=setup.select,
        outcomes=(outcome,),
        pair_notes=pair.notes,
        versions=versions(),
        cost=watch.cost(),
    )


def _score(
    log: VaultLog, folder: TrialFolder, vault: LabelVault, pair: DomainPair, config: Config, number: int
) -> None:
    """Scores a run on the pair's test pool, once, after the look is in the vault's log."""
    if folder.scores():
        return
    log.append(folder, "confirm")
    drawn = DrawnBy(config.labels.per_class, config.labels.validation_per_class, number)
    labels = vault.test_labels(pair.fingerprint, drawn)
    folder.write_scores(tuple(score_class_map(np.asarray(one), labels, pair.class_names) for one in folder.class_map()))

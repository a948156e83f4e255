"""`predict` and `import-weights`, called as the command line calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from authors_files import FAMILIES, authors_lists, write_pickle
from tiny import write_tiny_pair

import agsgtl.laststate
from agsgtl.cli.maps import import_weights, predict
from agsgtl.config import Value, configure
from agsgtl.data.mapped import unpack_pair
from agsgtl.data.pairing import load_pair
from agsgtl.errors import UserError
from agsgtl.models.authors_weights import from_authors
from agsgtl.models.networks import build_segmenter
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.table import build_table
from agsgtl.seeds import Seeds
from agsgtl.training import checkpoint
from agsgtl.trial import Place, debug_setup, run_trial

QUICK = {
    "pretrain.epochs": 2,
    "adapt.epochs": 2,
    "adapt.discriminator_steps": 2,
    "adapt.target_steps": 1,
    "model.width": 4,
}


@pytest.fixture
def pair_file(tmp_path: Path) -> Path:
    return write_tiny_pair(tmp_path / "scenes")


@pytest.mark.parametrize("method", ["agsgtl", "fine_tune", "lda"])
def test_a_records_maps_equal_its_own_class_map(tmp_path: Path, pair_file: Path, method: str) -> None:
    pair = load_pair(str(pair_file))
    unpack_pair(pair, tmp_path / "results")
    folder = TrialFolder(tmp_path / "results" / "one")
    run_trial(
        configure(QUICK, origin="test"),
        pair,
        debug_setup(pair, configure(QUICK, origin="test"), method, Seeds(labels=0, init=0), "target_validation"),
        Place(folder=folder),
    )
    predict(folder.path / "record.json", tile=4)
    np.testing.assert_array_equal(np.load(folder.path / "maps" / "target" / "class_map.npy"), folder.class_map()[0])
    assert (folder.path / "maps" / "target" / "attention.png").exists() == (method == "agsgtl")
    predict(folder.path, scene="source", pair=str(pair_file), out=tmp_path / "elsewhere")
    assert np.load(tmp_path / "elsewhere" / "confidence.npy").shape == (12, 12)


@pytest.mark.parametrize("method", ["source_only", "target_only", "fine_tune", "agsgtl"])
def test_an_attention_map_is_drawn_of_a_gate_that_the_method_trained(
    tmp_path: Path, pair_file: Path, method: str
) -> None:
    """A sweep's `trial:` sets the gates for all methods; most carry theirs along as it was made at random."""
    pair = load_pair(str(pair_file))
    gates: dict[str, Value] = {"attention.target": True, "attention.discriminator": False}
    config = configure(QUICK, gates, origin="test")
    folder = TrialFolder(tmp_path / "one")
    setup = debug_setup(pair, config, method, Seeds(labels=0, init=0), "target_validation")
    run_trial(config, pair, setup, Place(folder))
    predict(folder.path, pair=str(pair_file))
    assert (folder.path / "maps" / "target" / "attention.npy").exists() == (method == "agsgtl")


def test_the_attention_is_of_the_epoch_that_was_kept(tmp_path: Path, pair_file: Path) -> None:
    """Training on with the same seed moves the discriminator; what is kept at an epoch must not."""
    pair = load_pair(str(pair_file))
    config = configure(QUICK | {"adapt.keep": "best_validation", "adapt.epochs": 6}, origin="test")
    setup = debug_setup(pair, config, "agsgtl", Seeds(labels=0, init=0), "target_validation")
    longer = TrialFolder(tmp_path / "longer")
    kept = run_trial(config, pair, setup, Place(longer)).outcomes[0].epoch
    assert 0 < kept < 6, "this test needs a trial that keeps an epoch before its last one"

    config = configure(QUICK | {"adapt.keep": "last", "adapt.epochs": kept}, origin="test")
    run_trial(config, pair, setup, Place(TrialFolder(tmp_path / "shorter")))
    maps = []
    for name in ("longer", "shorter"):
        predict(tmp_path / name, pair=str(pair_file))
        maps.append(
            [np.load(tmp_path / name / "maps" / "target" / f"{kind}.npy") for kind in ("class_map", "attention")]
        )
    np.testing.assert_array_equal(maps[0][0], maps[1][0])
    np.testing.assert_array_equal(maps[0][1], maps[1][1])


def test_a_record_without_the_kept_discriminator_says_so(
    tmp_path: Path, pair_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they were made before the kept epoch's discriminator was kept: the last epoch's is another network."""
    pair = load_pair(str(pair_file))
    config = configure(QUICK | {"adapt.keep": "best_validation", "adapt.epochs": 6}, origin="test")
    setup = debug_setup(pair, config, "agsgtl", Seeds(labels=0, init=0), "target_validation")
    folder = TrialFolder(tmp_path / "old")
    run_trial(config, pair, setup, Place(folder))
    best = folder.checkpoint / "best.safetensors"
    tensors, facts = checkpoint.load(best)
    checkpoint.save(best, {name: one for name, one in tensors.items() if not name.startswith("beside.")}, facts)
    predict(folder.path, pair=str(pair_file))
    assert "no attention map" in capsys.readouterr().err
    assert not (folder.path / "maps" / "target" / "attention.npy").exists()


def test_predict_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no record\.json; name a trial's folder"):
        predict(tmp_path)
    with pytest.raises(UserError, match="--scene must be target or source, got 'moon'"):
        predict(tmp_path, scene="moon")


def test_a_trial_that_failed_or_was_pruned_has_no_maps(
    tmp_path: Path, pair_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may have left weights of some epoch on the way."""
    monkeypatch.setattr(agsgtl.laststate, "CHECKPOINT_EVERY_S", 0.0)
    pair, config = load_pair(str(pair_file)), configure(QUICK | {"adapt.epochs": 4}, origin="test")
    setup = debug_setup(pair, config, "fine_tune", Seeds(labels=0, init=0), "target_validation")
    failed, pruned = TrialFolder(tmp_path / "failed"), TrialFolder(tmp_path / "pruned")

    def fails_in_epoch_three(report: dict[str, Any]) -> None:
        if report["epoch"] == 3:
            raise RuntimeError("a bug of ours")

    run_trial(config, pair, setup, Place(failed, on_report=fails_in_epoch_three))
    run_trial(config, pair, setup.model_copy(update={"cutoffs": {3: 1.1}}), Place(pruned))
    for folder, status in ((failed, "failed"), (pruned, "pruned")):
        assert (folder.checkpoint / "best.safetensors").exists(), "this test needs weights"
        with pytest.raises(UserError, match=f"the trial is {status}, and only complete trials keep their weights"):
            predict(folder.path, pair=str(pair_file))
        assert not (folder.path / "maps").exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_predict_says_where_a_trial_computed_in_another_number_format(
    tmp_path: Path, pair_file: Path, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    pair, config = load_pair(str(pair_file)), configure(QUICK | {"runtime.precision": precision}, origin="test")
    folder = TrialFolder(tmp_path / "one")
    setup = debug_setup(pair, config, "fine_tune", Seeds(labels=0, init=0), "target_validation")
    run_trial(config, pair, setup, Place(folder))
    predict(folder.path, pair=str(pair_file))
    assert ("class map is of bfloat16" in capsys.readouterr().err) == (precision == "bfloat16")


def test_the_authors_runs_become_confirmations_with_scores(tmp_path: Path, pair_file: Path) -> None:
    segmenters, discriminators = authors_lists(FAMILIES["shallow"], 8, 3, runs=2)
    files = [
        write_pickle(tmp_path / f"{name}.pkl", dicts) for name, dicts in (("s", segmenters), ("d", discriminators))
    ]
    results = tmp_path / "results"
    import_weights(files[0], str(pair_file), discriminators=files[1], results=results)
    folders = list(Ledger(results).confirmations())
    assert [folder.path.relative_to(results).as_posix() for folder in folders] == [
        "confirm/authors/tiny/9/41",
        "confirm/authors/tiny/9/50",
    ]
    pair = load_pair(str(pair_file))
    network = build_segmenter(FAMILIES["shallow"], 8, 3, seed=0)
    network.load_state_dict(from_authors(segmenters[1]))
    cube = torch.from_numpy(np.ascontiguousarray(pair.target_cube.transpose(2, 0, 1))[None])
    with torch.no_grad():
        expected = network.eval()(cube)[0].argmax(0).numpy() + 1  # raw numbers: the authors' normalisation divides by 1
    np.testing.assert_array_equal(folders[1].class_map()[0], expected)
    assert len(folders[1].scores()) == 1
    assert len((results / "vault.jsonl").read_text().splitlines()) == 2
    with pytest.raises(
        UserError, match=r"pair 'tiny', which the catalog does not know .*; name its \.yaml file with --pair"
    ):
        predict(folders[0].path)
    predict(folders[0].path, pair=str(pair_file))
    assert (folders[0].path / "maps" / "target" / "attention.npy").exists()
    table = build_table([results])
    assert [row.method for row in table.rows] == ["authors"]
    assert (
        "authors: the authors' published weights; which target pixels they were trained on is not known, test pixels may be "
        "among them."
    ) in table.note


def test_importing_again_changes_nothing(tmp_path: Path, pair_file: Path) -> None:
    file = write_pickle(tmp_path / "s.pkl", authors_lists(FAMILIES["shallow"], 8, 3, runs=1)[0])
    for _ in range(2):
        import_weights(file, str(pair_file), results=tmp_path / "results")
    folder = next(Ledger(tmp_path / "results").confirmations())
    assert folder.record() is not None
    assert len((tmp_path / "results" / "vault.jsonl").read_text().splitlines()) == 1


def test_a_pair_whose_draw_would_leave_no_test_pool_is_refused_before_any_look(tmp_path: Path, pair_file: Path) -> None:
    pair_file.write_text(pair_file.read_text() + "test_pool: {split: authors, minimum: 32}\n")
    file = write_pickle(tmp_path / "s.pkl", authors_lists(FAMILIES["shallow"], 8, 3, runs=1)[0])
    with pytest.raises(UserError, match=r"k = 9 .* must leave 32 to test on"):
        import_weights(file, str(pair_file), results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_another_files_weights_never_get_into_a_record(tmp_path: Path, pair_file: Path) -> None:
    first, second = (authors_lists(FAMILIES["shallow"], 8, 3, runs=1)[0] for _ in range(2))
    second[0]["decoder11.bias"] = second[0]["decoder11.bias"] + 1
    import_weights(write_pickle(tmp_path / "a.pkl", first), str(pair_file), results=tmp_path / "results")
    best = next(Ledger(tmp_path / "results").confirmations()).checkpoint / "best.safetensors"
    before = best.read_bytes()
    with pytest.raises(UserError, match="holds the weights of another file; name another folder with --results"):
        import_weights(write_pickle(tmp_path / "b.pkl", second), str(pair_file), results=tmp_path / "results")
    assert best.read_bytes() == before


@pytest.mark.parametrize(
    ("bands", "classes", "message"),
    [(9, 3, "take 9 bands and tell 3 classes apart, but pair 'tiny' has 8 and 3"), (8, 5, "tell 5 classes apart")],
)
def test_weights_of_another_pair_are_refused_and_nothing_is_written(
    tmp_path: Path, pair_file: Path, bands: int, classes: int, message: str
) -> None:
    file = write_pickle(tmp_path / "s.pkl", authors_lists(FAMILIES["shallow"], bands, classes, runs=1)[0])
    with pytest.raises(UserError, match=message):
        import_weights(file, str(pair_file), results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_discriminators_are_no_segmenters_and_damaged_weights_are_named(tmp_path: Path, pair_file: Path) -> None:
    segmenters, discriminators = authors_lists(FAMILIES["shallow"], 8, 3, runs=1)
    with pytest.raises(UserError, match="must hold segmenters, but holds discriminators"):
        import_weights(write_pickle(tmp_path / "d.pkl", discriminators), str(pair_file), results=tmp_path / "results")
    del segmenters[0]["decoder11.bias"]
    with pytest.raises(UserError, match=r"do not fit the networks of pair 'tiny': .*decoder11\.bias"):
        import_weights(write_pickle(tmp_path / "s.pkl", segmenters), str(pair_file), results=tmp_path / "results")
    assert not (tmp_path / "results").exists()

"""`agsgtl data`, called as the command line calls it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from fake_scenes import make_fake_scenes
from tiny import write_tiny_pair
from typer.testing import CliRunner

from agsgtl.cli.data import data_app
from agsgtl.data.indices import read_index_file
from agsgtl.errors import UserError

RUNNER = CliRunner()


def call(*arguments: str) -> tuple[object, str]:
    """What a command returns (its exit code) and prints; errors come through as `main` gets them."""
    result = RUNNER.invoke(data_app, arguments, standalone_mode=False, catch_exceptions=False)
    return result.return_value, result.stdout


def test_list_names_every_pair_with_its_files() -> None:
    _, text = call("list")
    assert "pair  houston_shadow/sun_to_shadow: 6 classes" in text
    assert "349 x 1905 x 144; HU_cube.mat, TRLabel.mat" in text
    assert "source: {scene: salinas/1998" in text


def test_check_counts_and_draws_a_usable_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_fake_scenes("houston_shadow", tmp_path / "files")
    code, text = call("check", "houston_shadow/sun_to_shadow", "--root", "files", "--per-class", "5")
    assert code == 0
    assert "test pixels that training has seen: 100.0%" in text
    assert "the segmenter looks 7 pixels far, segmenter and discriminator 14" in text
    assert (tmp_path / "houston_shadow__sun_to_shadow.check.png").exists()


@pytest.mark.parametrize(("option", "number"), [("--per-class", "0"), ("--validation-per-class", "-1")])
def test_check_counts_no_fewer_pixels_than_a_run_can_draw(tmp_path: Path, option: str, number: str) -> None:
    picture = ["--picture", str(tmp_path / "p.png")]
    result = RUNNER.invoke(data_app, ["check", str(write_tiny_pair(tmp_path)), option, number, *picture])
    assert result.exit_code == 2
    assert option in result.output


def test_check_of_an_unusable_pair_is_1_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = call("check", "botswana/may_to_july")
    assert code == 1
    assert "error: botswana/may_to_july: there is no file 'BOT5_rfl_data.mat'; it comes from" in text
    assert list(tmp_path.iterdir()) == []


def test_indices_are_imported_for_a_pair_and_used_by_it(tmp_path: Path) -> None:
    file = write_tiny_pair(tmp_path / "scenes")
    labels = np.load(file.parent / "target_labels.npy")
    chosen = np.argwhere(labels)[::2]
    (tmp_path / "idx.pkl").write_bytes(pickle.dumps(chosen))
    _, text = call(
        "import-indices", str(tmp_path / "idx.pkl"), "--pair", str(file), "--out", str(file.parent / "test.json")
    )
    assert "60 test pixels of" in text
    np.testing.assert_array_equal(read_index_file(file.parent / "test.json", labels.shape), chosen @ [12, 1])
    file.write_text(file.read_text() + "test_pool: {split: fixed, indices: test.json}\n")
    assert call("check", str(file), "--picture", str(tmp_path / "p.png"))[0] == 0


def test_a_malicious_pickle_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    file = write_tiny_pair(tmp_path / "scenes")
    (tmp_path / "idx.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UserError, match=r"asks for os\.system"):
        call("import-indices", str(tmp_path / "idx.pkl"), "--pair", str(file), "--out", str(tmp_path / "test.json"))
    assert not (tmp_path / "test.json").exists()


@pytest.mark.parametrize("shape", [(12, 12, 3), (144,)])
def test_indices_are_imported_for_a_label_image_alone(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = write_tiny_pair(tmp_path / "scenes")
    np.save(tmp_path / "idx.npy", np.array([1, 2, 3]))
    np.save(file.parent / "target_labels.npy", np.ones(shape, np.uint8))
    with pytest.raises(UserError, match=r"target: a label image must be \(height, width\), but its shape is") as error:
        call("import-indices", str(tmp_path / "idx.npy"), "--pair", str(file), "--out", str(tmp_path / "test.json"))
    assert str(shape) in str(error.value)
    assert not (tmp_path / "test.json").exists()

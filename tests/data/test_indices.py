"""Test pixels as files: the authors' pickles become plain integers, checked, once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from agsgtl.data import plainpickle
from agsgtl.data.indices import import_indices, read_index_file, write_index_file
from agsgtl.data.labels import draw_labels
from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.pairing import load_pair
from agsgtl.data.plainpickle import load_plain
from agsgtl.data.vault import DrawnBy, LabelVault
from agsgtl.errors import UserError

LABELLED = np.zeros((4, 5), bool)
LABELLED[1:3, 1:4] = True
CHOSEN = np.argwhere(LABELLED)[::2]


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def pickled(folder: Path, content: object, protocol: int = 4) -> Path:
    path = folder / "test_labels_idx.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_authors_rows_and_columns_become_row_major_indices(tmp_path: Path, protocol: int) -> None:
    path = pickled(tmp_path, CHOSEN, protocol)
    np.testing.assert_array_equal(import_indices(path, LABELLED), [6, 8, 12])


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (CHOSEN[::-1], [6, 8, 12]),
        (np.repeat(CHOSEN, 2, axis=0), [6, 8, 12]),
        (CHOSEN.tolist(), [6, 8, 12]),
        (CHOSEN.astype(float), [6, 8, 12]),
        (CHOSEN @ [5, 1], [6, 8, 12]),
        ({"test": CHOSEN}, [6, 8, 12]),
        (LABELLED & (np.arange(5) != 2), [6, 8, 11, 13]),
        ((LABELLED & (np.arange(5) != 2)).astype(np.uint8), [6, 8, 11, 13]),
    ],
    ids=["backwards", "twice", "list", "float", "flat", "dict", "mask", "mask of 0 and 1"],
)
def test_other_plain_forms_are_read_too(tmp_path: Path, content: Any, pixels: list[int]) -> None:
    np.testing.assert_array_equal(import_indices(pickled(tmp_path, content), LABELLED), pixels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            CHOSEN[:, ::-1],
            "have no label in this pair's target; they belong to another scene, or rows and columns are swapped",
        ),
        (CHOSEN + 4, "rows and columns must lie in the target's label image"),
        (np.array([99]), r"indices must lie in 0\.\.19"),
        (np.array([0.5]), "must hold whole numbers"),
        ([[1], [1, 2]], "must hold whole numbers"),
        (np.zeros((2, 3), int), r"\(n, 2\) rows and columns, \(n,\) indices or a mask"),
        (LABELLED.astype(np.uint8) * 255, "a mask must hold 0 and 1, and some 1, but its numbers go from 0 to 255"),
        (Runs(), r"asks for posix\.system"),
        (np.array([{}], object), "an array must hold plain numbers"),
        (TensorDataset(torch.zeros(2)), "asks for torch"),
    ],
)
def test_every_other_content_is_one_clear_line(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        import_indices(pickled(tmp_path, content), LABELLED)
    assert "\n" not in str(error.value)


def test_an_index_file_is_plain_integers_with_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    write_index_file(path, np.array([6, 8, 12]), (4, 5))
    np.testing.assert_array_equal(read_index_file(path, (4, 5)), [6, 8, 12])
    content = json.loads(path.read_text())
    assert content["indices"] == [6, 8, 12]
    path.write_text(json.dumps(content | {"indices": [6, 8, 13]}))
    with pytest.raises(UserError, match="was changed by hand"):
        read_index_file(path, (4, 5))
    with pytest.raises(UserError, match="is no index file"):
        read_index_file(pickled(tmp_path, 1), (4, 5))


@pytest.mark.parametrize("wrong", ["Infinity", "NaN", '"x"', "{}"])
def test_an_index_file_with_something_else_in_it_is_no_index_file(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "test.json"
    file.write_text(f'{{"shape": [4, 5], "sha256": "", "indices": [1, {wrong}]}}')
    with pytest.raises(UserError, match="is no index file"):
        read_index_file(file, (4, 5))


def test_an_index_file_of_another_image_is_refused(tmp_path: Path) -> None:
    write_index_file(tmp_path / "test.json", np.array([1]), (4, 5))
    with pytest.raises(UserError, match=r"of a label image of shape \(4, 5\), but the target's is \(12, 12\)"):
        read_index_file(tmp_path / "test.json", (12, 12))


@pytest.mark.parametrize("outside", [-1, 144, 2**70])
def test_an_index_outside_the_image_is_refused_and_none_wraps(tiny_file: Path, outside: int) -> None:
    indices = [0, 1, outside]
    checksum = hashlib.sha256(json.dumps([[12, 12], indices]).encode()).hexdigest()
    content = {"shape": [12, 12], "sha256": checksum, "indices": indices}
    (tiny_file.parent / "test.json").write_text(json.dumps(content))
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: fixed, indices: test.json, minimum: 1}\n")
    with pytest.raises(UserError, match=r"test\.json: indices must lie in 0\.\.143 .*, but 1 of its 3 do not"):
        load_pair(str(tiny_file))


def test_a_fixed_pool_is_the_index_files_pixels_and_its_content_is_in_the_fingerprint(tiny_file: Path) -> None:
    labels = np.load(tiny_file.parent / "target_labels.npy")
    pixels = np.flatnonzero(labels)
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: fixed, indices: test.json, minimum: 1}\n")
    fingerprints = set()
    for chosen in (pixels[::3], pixels[::2]):
        write_index_file(tiny_file.parent / "test.json", chosen, labels.shape)
        pair, test = load_pair(str(tiny_file)), LabelVault(str(tiny_file)).test_labels()
        np.testing.assert_array_equal(np.flatnonzero(test), chosen)
        assert not np.any((test > 0) & (pair.development_labels > 0))
        fingerprints.add(pair.fingerprint)
    assert len(fingerprints) == 2
    write_index_file(tiny_file.parent / "test.json", np.flatnonzero(labels != 12), labels.shape)
    message = r"class 'class 1' has 40 test pixels \(at least 1 are needed\) and 0 for development"
    with pytest.raises(UserError, match=message):
        load_pair(str(tiny_file))


@pytest.mark.parametrize(("test_pixels", "is_enough"), [(14, False), (15, True)])
def test_an_index_file_must_hold_the_minimum_of_each_class(tiny_file: Path, test_pixels: int, is_enough: bool) -> None:
    labels = np.load(tiny_file.parent / "target_labels.npy")
    chosen = np.concatenate(
        [np.flatnonzero(labels == index)[:n] for index, n in ((11, 20), (12, test_pixels), (13, 20))]
    )
    write_index_file(tiny_file.parent / "test.json", np.sort(chosen), labels.shape)
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: fixed, indices: test.json}\n")
    if is_enough:
        assert load_pair(str(tiny_file))
        return
    with pytest.raises(UserError, match=r"class 'class 2' has 14 test pixels \(at least 15 are needed\)"):
        load_pair(str(tiny_file))
    tiny_file.write_text(tiny_file.read_text().replace("test.json}", "test.json, minimum: 14}"))
    assert load_pair(str(tiny_file))


def test_fixed_and_indices_need_each_other(tiny_file: Path) -> None:
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: fixed}\n")
    with pytest.raises(UserError, match="`split: fixed` and `indices: FILE` need each other"):
        load_pair(str(tiny_file))


def test_with_the_authors_split_everything_not_drawn_is_test(tiny_file: Path) -> None:
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: authors}\n")
    pair, vault = load_pair(str(tiny_file)), LabelVault(str(tiny_file))
    assert pair.tests_on_the_rest
    test = vault.test_labels(pair.fingerprint, DrawnBy(9, 0, seed=41))
    assert np.bincount(test.ravel())[1:].tolist() == [31, 31, 31]
    other = vault.test_labels(pair.fingerprint, DrawnBy(9, 0, seed=50))
    assert not np.array_equal(test, other)
    with pytest.raises(UserError, match="with `split: authors` the test pool depends on a run's draw"):
        vault.test_labels()


def test_with_the_authors_split_a_draw_must_leave_the_minimum_to_test_on(tiny_file: Path, tmp_path: Path) -> None:
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: authors}\n")
    pair = load_pair(str(tiny_file))
    unpack_pair(pair, tmp_path / "sweep")
    message = (
        "class 'class 1' has 40 labelled target pixels, but k = 21 .* v = 5 .* must leave 15 to test on .* 41 in all"
    )
    for one in (pair, map_pair(tmp_path / "sweep", "tiny")):
        assert draw_labels(one, 20, 5, seed=41)
        with pytest.raises(UserError, match=message):
            draw_labels(one, 21, 5, seed=41)
    tiny_file.write_text(tiny_file.read_text().replace("authors}", "authors, minimum: 14}"))
    lowered = load_pair(str(tiny_file))
    assert draw_labels(lowered, 21, 5, seed=41)
    assert lowered.fingerprint == pair.fingerprint  # it moves no pixel


def test_a_small_file_that_unfolds_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plainpickle, "_MOST_ITEMS", 1000)
    content: list[Any] = [1]
    for _ in range(40):
        content = [content, content]
    with pytest.raises(UserError, match="unfolds to more than 1000 items"):
        load_plain(pickled(tmp_path, content))


@pytest.mark.parametrize("put", [b"r" + (2**20).to_bytes(4, "little"), b"p1048576\n"], ids=["LONG_BINPUT", "PUT"])
def test_a_pickle_that_numbers_an_object_beyond_its_length_is_refused(tmp_path: Path, put: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02N" + put + b".")
    with pytest.raises(UserError, match=r"it numbers an object 1048576, more than it can hold"):
        load_plain(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "name", ["_codecs encode", "numpy._core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"]
)
def test_a_pickle_cannot_change_what_later_ones_are_built_with(tmp_path: Path, name: str) -> None:
    looked_up = b"c" + name.replace(" ", "\n").encode() + b"\n"
    sets_defaults = b"(N}X\x0c\x00\x00\x00__defaults__)stb."  # BUILD with (None, {"__defaults__": ()})
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x02" + looked_up + sets_defaults)
    with contextlib.suppress(UserError):
        load_plain(tmp_path / "bad.pkl")
    builder = plainpickle.PLAIN[*name.split()]
    assert getattr(builder, "__defaults__", None) is None
    np.testing.assert_array_equal(load_plain(pickled(tmp_path, CHOSEN, 2)), CHOSEN)


def test_a_plain_pickle_keeps_fortran_order_and_byte_order(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    np.testing.assert_array_equal(load_plain(pickled(tmp_path, {"a": [array, np.float32(2.5)]}))["a"][0], array)

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.errors import UserError


def assert_same(first: DomainPair, second: DomainPair) -> None:
    for field in dataclasses.fields(DomainPair):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other)
        elif not field.name.endswith(("_part", "shared")):
            assert one == other, field.name


def test_a_mapped_pair_equals_the_loaded_one(tiny: DomainPair, tmp_path: Path) -> None:
    unpack_pair(tiny, tmp_path)
    mapped = map_pair(tmp_path, "tiny")
    assert_same(tiny, mapped)
    assert isinstance(mapped.source_cube, np.memmap)
    assert not mapped.source_cube.flags.writeable


def test_a_crop_of_a_bundled_cube_is_mapped_from_one_whole_cube(tmp_path: Path) -> None:
    for name in ("indian_pines/west_to_east", "indian_pines/south_to_north"):
        pair = load_pair(name)
        unpack_pair(pair, tmp_path)
        assert_same(pair, map_pair(tmp_path, name))
    cubes = list((tmp_path / "data").rglob("cube.npy"))
    assert len(cubes) == 1
    assert np.load(cubes[0], mmap_mode="r").shape == (145, 145, 200)
    assert pair.source_part is not None
    assert cubes[0].parent.name == pair.source_part.checksum
    assert sorted(os.listdir(tmp_path / "pairs")) == [
        "indian_pines__south_to_north.npz",
        "indian_pines__west_to_east.npz",
    ]


def test_a_pair_made_in_memory_and_in_fortran_order_unpacks_too(tiny: DomainPair, tmp_path: Path) -> None:
    made = dataclasses.replace(
        tiny, source_cube=np.asfortranarray(tiny.source_cube), source_part=None, target_part=None
    )
    unpack_pair(made, tmp_path)
    mapped = map_pair(tmp_path, "tiny")
    assert_same(made, mapped)
    assert mapped.source_cube.flags.c_contiguous


def test_unpacking_again_writes_nothing(tiny: DomainPair, tmp_path: Path) -> None:
    unpack_pair(tiny, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.np?")}
    unpack_pair(tiny, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.np?")} == times


def test_other_data_under_one_name_is_refused(tiny: DomainPair, tmp_path: Path) -> None:
    unpack_pair(tiny, tmp_path)
    with pytest.raises(
        UserError, match=r"tiny.npz: was made of other data .* give the pair or the experiment another name"
    ):
        unpack_pair(dataclasses.replace(tiny, fingerprint="0" * 16), tmp_path)


def test_a_crash_midway_leaves_no_half_file(tiny: DomainPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            unpack_pair(tiny, tmp_path)
    assert not list(tmp_path.rglob("cube.npy"))
    unpack_pair(tiny, tmp_path)
    assert_same(tiny, map_pair(tmp_path, "tiny"))


def test_two_processes_may_unpack_at_once(tiny: DomainPair, tiny_file: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as processes:
        list(processes.map(unpack_pair, [tiny] * 4, [tmp_path / "sweep"] * 4))
    assert_same(tiny, map_pair(tmp_path / "sweep", "tiny"))
    assert all(not path.name.startswith(".") for path in (tmp_path / "sweep").rglob("*"))


def test_a_pair_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no unpacked pair 'a/b'"):
        map_pair(tmp_path, "a/b")

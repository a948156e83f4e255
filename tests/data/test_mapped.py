from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from agsgtl.data.georeference import Georeference
from agsgtl.data.labels import draw_labels
from agsgtl.data.mapped import has_target_of, map_pair, unpack_pair
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


def test_what_the_fingerprint_leaves_out_is_told_anew(tiny: DomainPair, tiny_file: Path, tmp_path: Path) -> None:
    text, pairs = tiny_file.read_text(), []
    for minimum, colour in ((35, "#111111"), (5, "#222222")):
        coloured = text.replace("target: 11}", f"target: 11, colour: '{colour}'}}")
        tiny_file.write_text(f"{coloured}test_pool: {{split: authors, minimum: {minimum}}}\n")
        pairs.append(load_pair(str(tiny_file)))
    before, after = pairs
    after = dataclasses.replace(after, target_georeference=Georeference("EPSG:32614", (30.0, 0, 6e5, 0, -30.0, 3e6)))
    assert (before.fingerprint, before.rest_minimum) == (after.fingerprint, 35)
    unpack_pair(before, tmp_path)
    with open(tmp_path / "pairs" / "tiny.npz", "rb") as read_meanwhile:
        assert unpack_pair(after, tmp_path) == []
        with np.load(read_meanwhile) as archive:
            assert "#111111" in str(archive["description"])
    assert_same(after, map_pair(tmp_path, "tiny"))
    assert draw_labels(map_pair(tmp_path, "tiny"), 10, 5, 0).target_train.any()
    assert os.listdir(tmp_path / "pairs") == ["tiny.npz"]


def test_another_draw_of_the_pools_from_the_same_data_is_refused(tiny: DomainPair, tmp_path: Path) -> None:
    """Pixels that trained by then would be test pixels now."""
    unpack_pair(tiny, tmp_path)
    before = (tmp_path / "pairs" / "tiny.npz").read_bytes()
    drawn_otherwise = dataclasses.replace(tiny, development_labels=np.flip(tiny.development_labels).copy())
    with pytest.raises(UserError, match=r"tiny.npz: of the same data, but other pixels .*; go on with the versions of"):
        unpack_pair(drawn_otherwise, tmp_path)
    assert (tmp_path / "pairs" / "tiny.npz").read_bytes() == before


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda whole: whole[: len(whole) // 2], lambda whole: whole[:-1] * 2]
)
def test_a_damaged_pair_is_set_aside_and_unpacked_again(
    tiny: DomainPair, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    assert unpack_pair(tiny, tmp_path) == []
    path = tmp_path / "pairs" / "tiny.npz"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"tiny.npz: is damaged or no .npz file .*; `agsgtl sweep` unpacks the pair"):
        map_pair(tmp_path, "tiny")
    with pytest.raises(UserError, match=r"tiny.npz: is damaged"):
        has_target_of(tmp_path, "tiny", tiny)
    (said,) = unpack_pair(tiny, tmp_path)
    assert said.startswith(f"{path}: is damaged")
    assert said.endswith("; set aside as tiny.npz.damaged")
    assert path.with_name("tiny.npz.damaged").read_bytes() == damaged
    assert_same(tiny, map_pair(tmp_path, "tiny"))


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

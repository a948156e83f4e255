"""Normalised cubes that the processes of a sweep share: the same numbers, one copy, and no harm from what a crash leaves."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.normalisation import fit_scaling
from agsgtl.data.pairing import DomainPair
from agsgtl.data.sharing import normalised_pixels
from agsgtl.errors import UserError

KINDS = ("per_domain", "source", "none", "authors")


@pytest.fixture
def mapped(tiny_pair: DomainPair, tmp_path: Path) -> DomainPair:
    unpack_pair(tiny_pair, tmp_path)
    return map_pair(tmp_path, tiny_pair.name)


def files(pair: DomainPair) -> list[Path]:
    return sorted(pair.shared.glob("*.npy"))


def as_predict_reads(pair: DomainPair, kind: str) -> list[np.ndarray]:
    """Both cubes (height, width, bands) by the other way that they are normalised: the parts of a prediction."""
    scalings = fit_scaling(pair, kind)
    parts = [s.apply(cube)[0] for s, cube in zip(scalings, (pair.source_cube, pair.target_cube), strict=True)]
    return [part.transpose(1, 2, 0) for part in parts]


@pytest.mark.parametrize("kind", KINDS)
def test_in_memory_and_mapped_alike_are_the_numbers_that_a_prediction_reads(
    tiny_pair: DomainPair, mapped: DomainPair, kind: str
) -> None:
    for pair in (tiny_pair, mapped):
        for pixels, plain in zip(normalised_pixels(pair, kind), as_predict_reads(tiny_pair, kind), strict=True):
            assert np.array_equal(pixels, plain)
            assert pixels.flags.c_contiguous
            assert pixels.dtype == np.float32


def test_a_second_trial_maps_what_the_first_one_made(mapped: DomainPair) -> None:
    normalised_pixels(mapped, "per_domain")
    before = [(file.name, file.stat().st_ino) for file in files(mapped)]
    source, _ = normalised_pixels(mapped, "per_domain")
    assert [(file.name, file.stat().st_ino) for file in files(mapped)] == before
    assert isinstance(source, np.memmap)


def test_writing_to_a_shared_cube_stays_in_this_process(mapped: DomainPair) -> None:
    source, _ = normalised_pixels(mapped, "per_domain")
    source[:] = 7.0
    assert not np.any(normalised_pixels(mapped, "per_domain")[0] == 7.0)


def test_a_torn_file_is_set_aside_and_made_again(tiny_pair: DomainPair, mapped: DomainPair) -> None:
    normalised_pixels(mapped, "per_domain")
    for file, length in zip(files(mapped), (0, 300), strict=True):
        with file.open("r+b") as torn:
            torn.truncate(length)
    pixels = normalised_pixels(mapped, "per_domain")
    for made, plain in zip(pixels, as_predict_reads(tiny_pair, "per_domain"), strict=True):
        assert np.array_equal(made, plain)
    assert len(list(mapped.shared.glob("*.damaged"))) == 2


def test_processes_that_start_together_share_one_file(mapped: DomainPair, tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from agsgtl.data.mapped import map_pair;"
        "from agsgtl.data.sharing import normalised_pixels;"
        f"cubes = normalised_pixels(map_pair(Path({str(tmp_path)!r}), 'tiny'), 'per_domain');"
        "print(*[os.stat(cube.filename).st_ino for cube in cubes]); print(cubes[0].sum())"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate(timeout=120)[0] for process in started}
    assert len(said) == 1
    assert said.pop().strip()


def test_where_nothing_can_be_written_a_trial_takes_memory_instead(tiny_pair: DomainPair, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    nowhere = dataclasses.replace(tiny_pair, shared=tmp_path / "file" / "below")
    found = normalised_pixels(nowhere, "per_domain")
    assert np.array_equal(found[0], normalised_pixels(tiny_pair, "per_domain")[0])
    assert not isinstance(found[0], np.memmap)


def test_values_beyond_float32_are_refused_and_leave_no_file(mapped: DomainPair) -> None:
    huge = dataclasses.replace(mapped, target_cube=mapped.target_cube.astype(np.float64) * 1e300)
    expected = re.escape("tiny: the target has values beyond float32 after data.normalisation 'none'")
    with pytest.raises(UserError, match=expected):
        normalised_pixels(huge, "none")
    assert [file.name for file in files(mapped)] == ["none-source.npy"]

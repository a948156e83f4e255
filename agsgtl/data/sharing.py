"""A normalised cube as networks read it, (height, width, bands) float32 in memory: made once, mapped by every trial.

Where a pair was mapped from a sweep's folder, its normalised cubes lie there too, as `<normalisation>-source.npy` and
`-target.npy`: the trials of a host share their pages. Elsewhere they are made in memory. No label lies there, and all of
it may be deleted while no sweep runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.normalisation import BandScaling, fit_scaling
from agsgtl.data.pairing import DomainPair
from agsgtl.durable import NotWritable, exclusively, replace, set_aside
from agsgtl.errors import UserError

Pixels = NDArray[np.float32]
"""(height, width, bands) in C order: one pixel's bands side by side. Writing to a mapped one changes this process's copy."""


def normalised_pixels(pair: DomainPair, kind: str) -> tuple[Pixels, Pixels]:
    """The source and the target, normalised as `data.normalisation` says (`normalisation.fit_scaling`).

    Raises:
        UserError: a normalised value is beyond float32.
        ValueError: `kind` is none of the four.
    """
    if pair.shared is None:
        return _in_memory(pair, kind)
    files = pair.shared / f"{kind}-source.npy", pair.shared / f"{kind}-target.npy"
    try:
        return _mapped_or_made(pair, kind, files)
    except NotWritable:
        return _in_memory(pair, kind)  # a full disk costs memory, not the trial


def _in_memory(pair: DomainPair, kind: str) -> tuple[Pixels, Pixels]:
    source, target = (np.empty(cube.shape, np.float32) for cube in (pair.source_cube, pair.target_cube))
    for side, (cube, scaling), out in zip(("source", "target"), _sides(pair, kind), (source, target), strict=True):
        for rows, pixels in scaling.in_blocks(cube):
            out[rows] = _finite(pixels, pair.name, side, kind)
    return source, target


def _mapped_or_made(pair: DomainPair, kind: str, files: tuple[Path, Path]) -> tuple[Pixels, Pixels]:
    """Both files mapped; what is missing or torn is made, by one process while the others wait for it."""
    found = [_mapped(file) for file in files]
    if any(pixels is None for pixels in found):
        with exclusively(files[0].with_name(f".{kind}.guard")):
            for side, (cube, scaling), file in zip(("source", "target"), _sides(pair, kind), files, strict=True):
                if _mapped(file) is None:
                    if file.exists():
                        set_aside(file)
                    _write(file, cube, scaling, (pair.name, side, kind))
        found = [_mapped(file) for file in files]
    source, target = found
    if source is None or target is None:
        raise NotWritable(f"{files[0].parent}: what was just written cannot be read")
    return source, target


def _sides(pair: DomainPair, kind: str) -> list[tuple[NDArray[Any], BandScaling]]:
    return list(zip((pair.source_cube, pair.target_cube), fit_scaling(pair, kind), strict=True))


def _mapped(file: Path) -> Pixels | None:
    """The file's array, mapped copy-on-write since PyTorch crashes where it writes to a read-only map.

    None where there is no file, or one shorter than its header says, as a crash of the host may leave it.
    """
    try:
        pixels: Pixels = np.load(file, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return pixels


def _write(file: Path, cube: NDArray[Any], scaling: BandScaling, whose: tuple[str, str, str]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as out:
            header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": cube.shape}
            np.lib.format.write_array_header_1_0(out, header)
            for _, pixels in scaling.in_blocks(cube):
                out.write(_finite(pixels, *whose).tobytes())

    replace(file, write)


def _finite(pixels: Pixels, name: str, side: str, kind: str) -> Pixels:
    if not np.isfinite(pixels).all():
        raise UserError(
            f"{name}: the {side} has values beyond float32 after data.normalisation '{kind}'; rescale the cube"
        )
    return pixels

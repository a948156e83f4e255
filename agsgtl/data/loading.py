"""The two scenes of a pair out of their files: axes put right, bands chosen and matched, ready to be cut."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data import bands as band_plans
from agsgtl.data.axes import ORDER, arrange
from agsgtl.data.bands import BandPlan
from agsgtl.data.catalog import FoundPair
from agsgtl.data.georeference import Georeference
from agsgtl.data.readers import as_label_image, is_turned, read_array, read_georeference, read_wavelengths_nm
from agsgtl.data.scene import Scene, cube_checksum, require_fitting
from agsgtl.data.schema import Domain
from agsgtl.data.scratch import in_c_order
from agsgtl.errors import UserError

PALETTE = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
    *("#332288", "#882255", "#999933", "#44AA99", "#AA4499", "#CC6677", "#DDCC77", "#88CCEE", "#BBBBBB"),
)
"""For classes without a colour, repeated past 16: Okabe and Ito (2008), then Paul Tol's "muted" (2021)."""

PIXELS_APART = 0.1
"""Pixels by which the coordinates of one place may differ: what headers round away."""

_PIXELS_COMPARED = 300


@dataclass(frozen=True, eq=False)
class _Read:
    """One side as its files have it: the scene's arrays, of fitting shapes, and its class names by id."""

    name: str
    cube: NDArray[Any]
    labels: NDArray[Any]
    class_names: Mapping[int, str]
    wavelengths_nm: NDArray[np.float64] | None
    georeference: Georeference | None
    is_turned: bool


def read_scenes(found: FoundPair) -> tuple[Scene, Scene, tuple[str, ...], bool]:
    """The source, the target, sentences about what was done to their bands and coordinates, and whether one is a copy of the other.

    Both have the same bands.

    Raises:
        UserError: a file is missing or wrong, or the bands do not fit.
    """
    spec = found.spec
    source = _read_side(found, spec.source, "source", {row.source: row.name for row in spec.classes}, found.bands[0])
    target_names = {row.target: row.name for row in spec.classes}
    if _cube_of(spec.source) == _cube_of(spec.target):  # one cube, cut in two: it is read once
        name = f"{found.origin}: target"
        target = replace(source, name=name, class_names=target_names, labels=read_labels(found, spec.target, name))
        require_fitting(name, target.cube, target.labels, target.wavelengths_nm)
        require_one_place(found, spec.target, target.labels, name)
        if spec.target.axes is None and source.georeference is None:
            arrange(source.cube, target.labels, None, f"{name}: {spec.target.cube}")  # refuses labels that lie turned
    else:
        target = _read_side(found, spec.target, "target", target_names, found.bands[1])
    plans, notes = _plan_bands(source, target, found)
    first = _scene(source, plans[0], None)
    is_same = source.cube is target.cube and _equal(*plans)
    notes = (*notes, *_turned(source, target))
    return first, _scene(target, plans[1], first if is_same else None), notes, _is_copy(source, target)


def _cube_of(domain: Domain) -> tuple[type[Domain], Mapping[str, Any]]:
    """What decides which cube is read, and how; the catalog's files are looked for elsewhere than a user's own."""
    named = {"cube", "cube_array", "axes", "wavelengths", "wavelengths_array", "wavelengths_nm"}
    return type(domain), domain.model_dump(include=named)


def _read_side(found: FoundPair, domain: Domain, side: str, class_names: Mapping[int, str], bands: int | None) -> _Read:
    name = f"{found.origin}: {side}"
    path = found.locate(domain.cube, domain)
    labels = read_labels(found, domain, name)
    cube = _kept_cube(path, domain, labels, name)
    wavelengths_nm = read_wavelengths(found, domain, path)
    require_fitting(name, cube, labels, wavelengths_nm)
    require_one_place(found, domain, labels, name)
    if bands is not None and cube.shape[2] != bands:
        raise UserError(
            f"{name}: this scene has {bands} bands, but {domain.cube} has {cube.shape[2]}; fetch the usual file"
        )
    return _Read(name, cube, labels, class_names, wavelengths_nm, read_georeference(path), is_turned(path))


_KEPT: weakref.WeakValueDictionary[str, NDArray[Any]] = weakref.WeakValueDictionary()
"""Cubes that somebody in this process still holds, by file (its path, size and time) and how they were read."""


def _kept_cube(path: Path, domain: Domain, labels: NDArray[Any], name: str) -> NDArray[Any]:
    """As `arranged_cube`; a cube that is still held here is not read again: the vault reads a pair that the sweep holds."""
    stat = path.stat()
    labelled = hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()  # it decides the order of axes
    read_as = (path.resolve(), stat.st_size, stat.st_mtime_ns, domain.cube_array, domain.axes, labels.shape, labelled)
    cube = _KEPT.get(repr(read_as))
    if cube is None:
        cube, _ = arranged_cube(path, domain, labels, name)
        _KEPT[repr(read_as)] = cube
    return cube


def arranged_cube(path: Path, domain: Domain, labels: NDArray[Any], name: str) -> tuple[NDArray[Any], tuple[int, ...]]:
    """A domain's cube as (height, width, bands), in the file's dtype, mapped where it is large; and its shape in the file.

    Raises:
        UserError: the file is wrong, or the order of its axes cannot be told, or `axes` would turn a cube with coordinates.
    """
    cube = read_array(path, domain.cube_array)
    if read_georeference(path) is not None:  # its format says the axes, and turning it would turn its coordinates wrong
        if domain.axes not in (None, list(ORDER)):
            raise UserError(
                f"{name}: axes: {domain.cube} has coordinates, so its axes are {list(ORDER)}, as its format says, got {domain.axes}; "
                "leave `axes` out, and turn the label image if that lies otherwise"
            )
        return cube, cube.shape
    return in_c_order(arrange(cube, labels, domain.axes, f"{name}: {domain.cube}")), cube.shape


def read_labels(found: FoundPair, domain: Domain, name: str) -> NDArray[Any]:
    """A domain's label image (height, width), whole numbers."""
    return as_label_image(
        read_array(found.locate(domain.labels, domain), domain.labels_array), f"{name}: {domain.labels}"
    )


def require_one_place(found: FoundPair, domain: Domain, labels: NDArray[Any], name: str) -> None:
    """Refuses a label image whose coordinates are not its cube's: its labels would stand on other pixels.

    Where one file has none, or only counts its pixels, there is nothing to compare. The coordinates' systems are not: one
    system has many spellings, and two that differ give one place other numbers.

    Raises:
        UserError: the two lie more than a small part of a pixel apart.
    """
    cube, own = (read_georeference(found.locate(file, domain)) for file in (domain.cube, domain.labels))
    if cube is None or own is None or cube.counts_pixels != own.counts_pixels:
        return
    apart = cube.pixels_apart(own, *labels.shape)
    if not apart <= PIXELS_APART:
        corners = [f"({place.transform[2]:.10g}, {place.transform[5]:.10g})" for place in (own, cube)]
        raise UserError(
            f"{name}: {domain.labels} must lie where {domain.cube} does, but by their coordinates they are up to {apart:.4g} pixels "
            f"apart (upper left corners {corners[0]} and {corners[1]}); cut or resample the labels onto the cube's grid, or, if "
            "the pixels fit and the coordinates are wrong, save the labels without coordinates"
        )


def read_wavelengths(found: FoundPair, domain: Domain, cube: Path) -> NDArray[np.float64] | None:
    """The band centres (bands,) in nanometres of a domain's cube, from its own file, its list or the cube's header."""
    if domain.wavelengths is not None:
        return read_array(found.locate(domain.wavelengths, domain), domain.wavelengths_array).astype(np.float64).ravel()
    if domain.wavelengths_nm is not None:
        return np.array(domain.wavelengths_nm)
    return read_wavelengths_nm(cube)


def _is_copy(source: _Read, target: _Read) -> bool:
    """Whether two cubes show one scene: some band of one, as its file has it, is some band of the other at labelled pixels.

    So a copy in another type, or with other bands, is known. Two dates on one grid have no band in common but constant ones.
    """
    if source.labels.shape != target.labels.shape:
        return False
    labelled = np.flatnonzero((source.labels > 0) | (target.labels > 0))
    some = labelled[:: max(1, len(labelled) // _PIXELS_COMPARED)]
    first, second = (_varying_bands(side.cube[np.unravel_index(some, side.labels.shape)]) for side in (source, target))
    return not first.isdisjoint(second)


def _varying_bands(spectra: NDArray[Any]) -> set[bytes]:
    """Of (pixels, bands): each band's numbers in float64, without the constant ones; of no pixels, nothing."""
    exact = spectra.astype(np.float64)
    return {band.tobytes() for band in exact.T if len(band) and np.ptp(band) > 0}


def _turned(source: _Read, target: _Read) -> list[str]:
    """A sentence for each side whose coordinates are dropped for their rotation."""
    return [
        f"{side}: its coordinates are turned (`rotation` in its map info), which is not read here, and its maps have none"
        for side, read in (("source", source), ("target", target))
        if read.is_turned
    ]


def _plan_bands(source: _Read, target: _Read, found: FoundPair) -> tuple[tuple[BandPlan, BandPlan], tuple[str, ...]]:
    spec, notes = found.spec, []
    first, second = (
        band_plans.choose(domain.bands, read.wavelengths_nm, read.cube.shape[2], read.name)
        for read, domain in ((source, spec.source), (target, spec.target))
    )
    if spec.match_bands is not None:
        first, second, note = band_plans.match(first, second, spec.match_bands, found.origin)
        notes.append(note)
    count = len(first.lower)
    if count != len(second.lower):
        raise UserError(
            f"{found.origin}: both cubes must have the same bands, but the source has {count} and the target {len(second.lower)}; "
            "choose them with `bands` on each side, or give wavelengths and `match_bands: nearest`"
        )
    if spec.multiple_of_21 is not None:
        first, second = (band_plans.fit_groups(plan, spec.multiple_of_21) for plan in (first, second))
        if len(first.lower) == 0:
            raise UserError(f"{found.origin}: multiple_of_21: trim leaves none of {count} bands; say `pad`")
        done = {"pad": "padded with zeros", "trim": "trimmed"}[spec.multiple_of_21]
        notes.append(f"bands {done} from {count} to {len(first.lower)}, a multiple of 21")
    return (first, second), tuple(notes)


def _scene(read: _Read, plan: BandPlan, same_cube: Scene | None) -> Scene:
    """The scene with the planned bands; `same_cube` has them already."""
    cube = plan.apply(read.cube) if same_cube is None else same_cube.cube
    return Scene(
        name=read.name,
        cube=cube,
        labels=read.labels,
        class_names=read.class_names,
        colours={class_id: PALETTE[i % len(PALETTE)] for i, class_id in enumerate(read.class_names)},
        wavelengths_nm=plan.wavelengths_nm,
        checksum=cube_checksum(cube) if same_cube is None else same_cube.checksum,
        georeference=read.georeference,
    )


def _equal(first: BandPlan, second: BandPlan) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("lower", "upper", "share"))

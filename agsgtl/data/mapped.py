"""A sweep unpacks each cube once; its trials map it. A pair's test pool never lies there.

In the sweep's folder: `data/<checksum>/cube.npy`, a whole raw cube, and `pairs/<name>.npz` (a '/' in the name is '__' there):
which cubes and crops, source labels, development labels; with `split: authors`, where what is test depends on each run's
draw, these are all of the target's. Both appear whole or not at all. What trials make of the cubes lies in `data/normalised/`
(`sharing.py`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.cubepart import CubePart
from agsgtl.data.georeference import Georeference
from agsgtl.data.pairing import DomainPair
from agsgtl.data.pools import LabelImage
from agsgtl.data.readers import guarded, read_array
from agsgtl.data.scene import cube_checksum, row_blocks
from agsgtl.durable import replace, replace_bytes, set_aside
from agsgtl.errors import UserError


@dataclass(frozen=True, eq=False)
class _Stored:
    """What lies in a pair's file."""

    description: dict[str, Any]
    source_labels: LabelImage
    development_labels: LabelImage


def unpack_pair(pair: DomainPair, folder: Path) -> list[str]:
    """Write what `map_pair` needs, and a sentence for each damaged file that was set aside.

    What is there already stays, but for what the fingerprint leaves out: colours, coordinates, a test pool's minimum may have
    changed. Two processes may do it at once, and others may read meanwhile.

    Raises:
        UserError: the folder holds a pair of this name with other data.
    """
    parts = _part(pair.source_cube, pair.source_part), _part(pair.target_cube, pair.target_part)
    for part in parts:
        _unpack_cube(part, folder)
    path = _pair_path(folder, pair.name)
    description, said = _describe(pair, parts), []
    if path.exists():
        try:
            stored = _read(path)
        except UserError as error:
            said.append(f"{error}; set aside as {set_aside(path).name}")
        else:
            _require_same(stored, pair, path)
            if stored.description == description:
                return []
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        description=np.array(json.dumps(description)),
        source_labels=pair.source_labels,
        development_labels=pair.development_labels,
    )
    replace_bytes(path, archive.getvalue())
    return said


def map_pair(folder: Path, name: str) -> DomainPair:
    """The pair that `unpack_pair` wrote, its cubes read-only memory maps; the same fingerprint, equal arrays.

    Raises:
        UserError: there is no such pair in the folder, or its file is damaged.
    """
    path = _pair_path(folder, name)
    if not path.is_file():
        raise UserError(f"{path}: there is no unpacked pair '{name}'; start the sweep's driver, which unpacks it")
    stored = _read(path)
    description = stored.description
    source, target = (
        CubePart(read_array(_cube_path(folder, checksum), None), checksum, (rows[0], rows[1]), (columns[0], columns[1]))
        for checksum, rows, columns in description["parts"]
    )
    centres = [
        None if stored is None else np.array(stored, np.float64)
        for stored in description.get("wavelengths_nm", (None, None))
    ]
    places = [_from_json(stored) for stored in description.get("georeferences", (None, None))]
    return DomainPair(
        name=description["name"],
        class_names=tuple(description["class_names"]),
        colours=tuple(description["colours"]),
        source_cube=source.pixels,
        source_labels=stored.source_labels,
        target_cube=target.pixels,
        development_labels=stored.development_labels,
        authors_settings=description["authors_settings"],
        authors_scale=(description["authors_scale"][0], description["authors_scale"][1]),
        fingerprint=description["fingerprint"],
        source_part=source,
        target_part=target,
        notes=tuple(description.get("notes", ())),
        tests_on_the_rest=description.get("tests_on_the_rest", False),
        rest_minimum=description.get("rest_minimum", 0),
        source_georeference=places[0],
        target_georeference=places[1],
        source_wavelengths_nm=centres[0],
        target_wavelengths_nm=centres[1],
        shares_cube=description.get("shares_cube", False),
        buffer_family=description.get("buffer_family"),
        shared=folder / "data" / "normalised" / description["fingerprint"],
    )


def has_target_of(folder: Path, name: str, pair: DomainPair) -> bool:
    """Whether the pair `name` that was unpacked there is tested on this pair's target crop, whatever it is called.

    Not to be told, and so false, of a folder that was packed without its pairs.
    """
    path = _pair_path(folder, name)
    if not path.is_file():
        return False
    checksum, rows, columns = _read(path).description["parts"][1]
    part = _part(pair.target_cube, pair.target_part)
    return (checksum, tuple(rows), tuple(columns)) == (part.checksum, part.rows, part.columns)


def _describe(pair: DomainPair, parts: Sequence[CubePart]) -> dict[str, Any]:
    """All of a pair but its arrays, as JSON gives it back."""
    description = {
        "name": pair.name,
        "class_names": pair.class_names,
        "colours": pair.colours,
        "authors_settings": pair.authors_settings,
        "authors_scale": pair.authors_scale,
        "fingerprint": pair.fingerprint,
        "notes": pair.notes,
        "tests_on_the_rest": pair.tests_on_the_rest,
        "rest_minimum": pair.rest_minimum,
        "shares_cube": pair.shares_cube,
        "buffer_family": pair.buffer_family,
        "georeferences": [_as_json(place) for place in (pair.source_georeference, pair.target_georeference)],
        "wavelengths_nm": [
            None if centres is None else centres.tolist()
            for centres in (pair.source_wavelengths_nm, pair.target_wavelengths_nm)
        ],
        "parts": [[part.checksum, part.rows, part.columns] for part in parts],
    }
    return json.loads(json.dumps(description))  # type: ignore[no-any-return]


def _read(path: Path) -> _Stored:
    def read() -> _Stored:
        with np.load(path, allow_pickle=False) as archive:
            description = json.loads(str(archive["description"]))
            return _Stored(description, archive["source_labels"], archive["development_labels"])

    return guarded(read, path, remedy="`agsgtl sweep` unpacks the pair again")


def _require_same(stored: _Stored, pair: DomainPair, path: Path) -> None:
    there = stored.description["fingerprint"]
    if there != pair.fingerprint:
        raise UserError(
            f"{path}: was made of other data (fingerprint {there}) than pair '{pair.name}' has now ({pair.fingerprint}); "
            "give the pair or the experiment another name"
        )
    # A pool is drawn by rule and seed, which the fingerprint holds, and by NumPy, which it does not.
    if not (
        np.array_equal(stored.source_labels, pair.source_labels)
        and np.array_equal(stored.development_labels, pair.development_labels)
    ):
        raise UserError(
            f"{path}: of the same data, but other pixels may train than the pools of pair '{pair.name}' leave now: test pixels may "
            "have been trained on; go on with the versions of agsgtl and NumPy that began, or give the experiment another name"
        )


def _as_json(place: Georeference | None) -> list[Any] | None:
    return None if place is None else [place.crs, list(place.transform)]


def _from_json(stored: list[Any] | None) -> Georeference | None:
    return None if stored is None else Georeference(stored[0], tuple(stored[1]))


def _part(cube: NDArray[Any], part: CubePart | None) -> CubePart:
    """The cube's part; a cube made in memory is a part of itself."""
    return part or CubePart(cube, cube_checksum(cube), (0, cube.shape[0]), (0, cube.shape[1]))


def _cube_path(folder: Path, checksum: str) -> Path:
    return folder / "data" / checksum / "cube.npy"


def _pair_path(folder: Path, name: str) -> Path:
    return folder / "pairs" / f"{name.replace('/', '__')}.npz"


def _unpack_cube(part: CubePart, folder: Path) -> None:
    path = _cube_path(folder, part.checksum)
    if not path.exists():
        replace(path, lambda temporary: _write_cube(temporary, part.cube))


def _write_cube(path: Path, cube: NDArray[Any]) -> None:
    """A .npy in C order, block by block, so that a memory-mapped cube is never in memory whole."""
    with path.open("wb") as file:
        header = {"descr": cube.dtype.str, "fortran_order": False, "shape": cube.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in row_blocks(cube):
            file.write(np.ascontiguousarray(cube[rows]).tobytes())

"""A sweep unpacks each cube once; its trials map it. A pair's test pool never lies there.

In the sweep's folder: `data/<checksum>/cube.npy`, a whole raw cube, and `pairs/<name>.npz` (a '/' in the name is '__' there):
which cubes and crops, source labels, development labels; with `split: authors`, where what is test depends on each run's
draw, these are all of the target's. Both appear whole or not at all. What trials make of the cubes lies in `data/normalised/`
(`sharing.py`).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.georeference import Georeference
from agsgtl.data.pairing import CubePart, DomainPair
from agsgtl.data.readers import read_array
from agsgtl.data.scene import cube_checksum, row_blocks
from agsgtl.durable import replace, replace_bytes
from agsgtl.errors import UserError


def unpack_pair(pair: DomainPair, folder: Path) -> None:
    """Write what `map_pair` needs; what is there already stays, and two processes may do it at once.

    Raises:
        UserError: the folder holds a pair of this name with other data.
    """
    parts = _part(pair.source_cube, pair.source_part), _part(pair.target_cube, pair.target_part)
    for part in parts:
        _unpack_cube(part, folder)
    path = _pair_path(folder, pair.name)
    if path.exists():
        there = map_pair(folder, pair.name).fingerprint
        if there != pair.fingerprint:
            raise UserError(
                f"{path}: was made of other data (fingerprint {there}) than pair '{pair.name}' has now ({pair.fingerprint}); "
                "give the pair or the experiment another name"
            )
        return
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
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        description=np.array(json.dumps(description)),
        source_labels=pair.source_labels,
        development_labels=pair.development_labels,
    )
    replace_bytes(path, archive.getvalue())


def map_pair(folder: Path, name: str) -> DomainPair:
    """The pair that `unpack_pair` wrote, its cubes read-only memory maps; the same fingerprint, equal arrays.

    Raises:
        UserError: there is no such pair in the folder.
    """
    path = _pair_path(folder, name)
    if not path.is_file():
        raise UserError(f"{path}: there is no unpacked pair '{name}'; start the sweep's driver, which unpacks it")
    with np.load(path, allow_pickle=False) as archive:
        description = json.loads(str(archive["description"]))
        source_labels, development_labels = archive["source_labels"], archive["development_labels"]
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
        source_labels=source_labels,
        target_cube=target.pixels,
        development_labels=development_labels,
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
    with np.load(path, allow_pickle=False) as archive:
        checksum, rows, columns = json.loads(str(archive["description"]))["parts"][1]
    part = _part(pair.target_cube, pair.target_part)
    return (checksum, tuple(rows), tuple(columns)) == (part.checksum, part.rows, part.columns)


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

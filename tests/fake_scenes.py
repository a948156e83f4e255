"""Small made-up scenes under the real names of files and arrays, with their dtypes and axis order: `make_fake_scenes`."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from agsgtl.data.catalog import entries
from agsgtl.data.schema import CatalogEntry, CatalogScene

MATLAB_CLASSES = {"float32": "single", "float64": "double"}


def make_fake_scenes(entry_name: str, folder: Path, height: int = 50, width: int = 40, seed: int = 0) -> CatalogEntry:
    """Writes every file of a catalog entry into `folder`; its bands are the real ones, its size is not.

    Classes are vertical stripes with spectra of their own, half of whose pixels are labelled. The lower half of a scene
    that shares its cube with another one holds the second one's labels, and some of the first one's lie under them.
    """
    entry = entries()[entry_name]
    rng = np.random.default_rng(seed)
    files: dict[str, tuple[str, dict[str, np.ndarray]]] = {}
    for number, (name, scene) in enumerate(entry.scenes.items()):
        ids = _ids(entry, name)
        truth = np.repeat(
            np.array(ids)[np.minimum(np.arange(width) * len(ids) // width, len(ids) - 1)][None], height, axis=0
        )
        labels = np.where(rng.random((height, width)) < 0.5, truth, 0)
        if number and scene.cube == next(iter(entry.scenes.values())).cube and scene.cube != scene.labels:
            labels[: height // 2] = 0
        of_labels = files.setdefault(scene.labels, (scene.mat_version, {}))[1]
        of_labels[scene.labels_array or ""] = labels.astype(scene.labels_dtype)
        cubes = files.setdefault(scene.cube, (scene.mat_version, {}))[1]
        if scene.cube_array not in cubes:
            cubes[scene.cube_array or ""] = _cube(scene, truth, rng)
    folder.mkdir(parents=True, exist_ok=True)
    for file, (version, arrays_of_file) in files.items():
        (write_mat73 if version == "7.3" else _write_mat5)(folder / file, arrays_of_file)
    return entry


def write_mat73(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A `.mat` as MATLAB writes version 7.3: HDF5 behind a header of 512 bytes, axes reversed, chunks deflated."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            stored = file.create_dataset(name, data=array.T, chunks=True, compression="gzip")
            stored.attrs["MATLAB_class"] = np.bytes_(MATLAB_CLASSES.get(array.dtype.name, array.dtype.name))
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM")


def write_geotiff(
    path: Path, array: np.ndarray, transform: tuple[float, ...] | None = None, epsg: int | None = None
) -> None:
    """(height, width, bands) as GeoTIFF, with coordinates or without."""
    import rasterio

    profile = {
        "driver": "GTiff",
        "height": array.shape[0],
        "width": array.shape[1],
        "count": array.shape[2],
        "dtype": array.dtype.name,
    }
    place = {} if transform is None else {"transform": rasterio.Affine(*transform), "crs": f"EPSG:{epsg}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **profile, **place) as raster:
            raster.write(array.transpose(2, 0, 1))


def write_envi(path: Path, array: np.ndarray, interleave: str = "bsq", **header: object) -> None:
    """(height, width, bands) as ENVI header and image, with more lines of the header."""
    import spectral

    spectral.io.envi.save_image(str(path), array, force=True, ext=".img", interleave=interleave, metadata=header)


def _write_mat5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    scipy.io.savemat(path, arrays, do_compression=True)


def _ids(entry: CatalogEntry, scene: str) -> list[int]:
    """The class ids of a scene's label image: those its pairs name, else all of the entry."""
    ids = set()
    for pair in entry.pairs.values():
        for side in ("source", "target"):
            if getattr(pair, side).scene == scene:
                ids |= {row if isinstance(row, int) else getattr(row, side) for row in pair.classes}
    return sorted(ids or entry.classes)


def _cube(scene: CatalogScene, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bands = np.arange(scene.bands)
    spectra = 1500 + 1000 * np.sin(0.02 * bands[None] * (1 + np.arange(truth.max() + 1)[:, None]))
    cube = spectra[truth] + 50 * rng.standard_normal((*truth.shape, scene.bands))
    return cube.astype(scene.cube_dtype)

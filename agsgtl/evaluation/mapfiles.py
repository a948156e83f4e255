"""Writes maps: pictures in the data set's colours with a legend, arrays, and rasters with the scene's coordinates."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.geofiles import write_geotiff
from agsgtl.data.georeference import Georeference
from agsgtl.data.picture import coloured
from agsgtl.durable import replace, replace_bytes
from agsgtl.errors import UserError
from agsgtl.evaluation.predict import Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEGEND_INCHES = 3.2


def write_maps(
    folder: Path,
    prediction: Prediction,
    class_names: tuple[str, ...],
    colours: tuple[str, ...],
    place: Georeference | None,
) -> list[Path]:
    """Writes a prediction's maps into a folder, each in the place of an earlier one; their paths.

    `class_map.png`, `.npy` and, where the scene has coordinates, `.tif`; `confidence` and `attention` as `.png` and `.npy`.

    Raises:
        UserError: the folder cannot be written, or a GeoTIFF is due and cannot be made: rasterio is not installed, or does not
            read the scene's coordinate system; the other maps are written by then.
    """
    written = [_write_array(folder / "class_map.npy", prediction.class_map)]
    written.append(_write_class_picture(folder / "class_map.png", prediction.class_map, class_names, colours))
    for name, values in (("confidence", prediction.confidence), ("attention", prediction.attention)):
        if values is not None:
            written += [
                _write_array(folder / f"{name}.npy", values),
                _write_grey_picture(folder / f"{name}.png", values, name),
            ]
    if place is not None:
        written.append(_write_raster(folder / "class_map.tif", prediction.class_map, place, colours))
    return written


def _write_raster(path: Path, class_map: NDArray[np.uint8], place: Georeference, colours: tuple[str, ...]) -> Path:
    """The last of the maps: it needs a package and a readable coordinate system, and the others are good without."""
    try:
        write_geotiff(path, class_map, place, colours)
    except UserError as error:
        raise type(error)(f"{error}; the other maps are in {path.parent}") from error
    return path


def _write_array(path: Path, values: NDArray[np.generic]) -> Path:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    replace_bytes(path, content.getvalue())
    return path


def _write_class_picture(
    path: Path, class_map: NDArray[np.uint8], class_names: tuple[str, ...], colours: tuple[str, ...]
) -> Path:
    from matplotlib.patches import Patch

    figure = _figure(class_map.shape, least_height=0.3 * len(class_names))
    axes = figure.subplots()
    axes.imshow(coloured(class_map, colours), interpolation="nearest")
    axes.set_axis_off()
    patches = [Patch(color=colour, label=name) for colour, name in zip(colours, class_names, strict=True)]
    figure.legend(handles=patches, loc="outside right upper")
    return _save(figure, path)


def _write_grey_picture(path: Path, values: NDArray[np.float32], name: str) -> Path:
    figure = _figure(values.shape)
    axes = figure.subplots()
    image = axes.imshow(values, cmap="viridis", interpolation="nearest")
    axes.set_axis_off()
    figure.colorbar(image, label=name)
    return _save(figure, path)


def _figure(shape: tuple[int, ...], least_height: float = 2.0) -> Figure:
    """A figure with about a point for each pixel of a scene, and room for a legend at its right; heights in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = (min(max(side / 100, 2.0), 30.0) for side in shape)
    figure = Figure(figsize=(width + _LEGEND_INCHES, max(height, least_height)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    def write(temporary: Path) -> None:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})

    replace(path, write)
    return path

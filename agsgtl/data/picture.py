"""A picture of a pair: each scene in false colour, its labels in the classes' colours, and how they are split."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.falsecolours import false_colours
from agsgtl.data.pairing import DomainPair
from agsgtl.data.pools import LabelImage
from agsgtl.durable import replace_bytes

if TYPE_CHECKING:
    from pathlib import Path

_MOST_PIXELS = 1200
_SPLITS = {"source": "#0072B2", "development": "#0072B2", "test": "#D55E00"}
_WIDE = 2.0
"""Width over height from which a scene's panels stand below each other."""


def draw_pair(path: Path, pair: DomainPair, test: LabelImage) -> None:
    """Writes the picture as PNG in the place of an earlier one; labels of the test pool are shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    is_wide = all(labels.shape[1] > _WIDE * labels.shape[0] for labels in (pair.source_labels, test))
    figure = Figure(figsize=(14, 17) if is_wide else (12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(6, 1).reshape(2, 3) if is_wide else figure.subplots(2, 3)
    target_labels = np.maximum(pair.development_labels, test)
    splits = (("source",), (pair.source_labels,)), (("development", "test"), (pair.development_labels, test))
    cubes = pair.source_cube, pair.target_cube
    wavelengths_nm = pair.source_wavelengths_nm, pair.target_wavelengths_nm
    for row, (cube, labels, centres, (names, images)) in enumerate(
        zip(cubes, (pair.source_labels, target_labels), wavelengths_nm, splits, strict=True)
    ):
        side = ("source", "target")[row]
        step = max(1, -(-max(labels.shape) // _MOST_PIXELS))
        axes[row, 0].imshow(false_colours(cube[::step, ::step], centres))
        axes[row, 1].imshow(coloured(thinned(labels, step), pair.colours), interpolation="nearest")
        of_splits = coloured(thinned(_numbered(images), step), tuple(_SPLITS[name] for name in names))
        axes[row, 2].imshow(of_splits, interpolation="nearest")
        for axis, title in zip(axes[row], (f"{side}, false colour", f"{side}, labels", f"{side}, splits"), strict=True):
            axis.set(title=title, xticks=[], yticks=[])
        axes[row, 2].legend(
            handles=[Patch(color=_SPLITS[name], label=name) for name in names],
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
        )
    patches = [Patch(color=colour, label=name) for colour, name in zip(pair.colours, pair.class_names, strict=True)]
    figure.legend(handles=patches, loc="outside lower center", ncols=4)
    figure.suptitle(pair.name)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    replace_bytes(path, content.getvalue())


def thinned(labels: LabelImage, step: int) -> LabelImage:
    """Every square of `step` by `step` pixels as one, its first id that is not 0: a single labelled pixel stays visible."""
    height, width = (-side % step for side in labels.shape)
    padded = np.pad(labels, ((0, height), (0, width)))
    squares = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).swapaxes(1, 2)
    pixels = squares.reshape(*squares.shape[:2], step * step)
    first: LabelImage = np.take_along_axis(pixels, (pixels > 0).argmax(axis=2, keepdims=True), axis=2)[:, :, 0]
    return first


def coloured(labels: NDArray[np.integer], colours: tuple[str, ...]) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: class i in the colour `colours[i - 1]`, 0 in light grey."""
    table = np.array(
        [[235, 235, 235], *([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours)], np.uint8
    )
    picture: NDArray[np.uint8] = table[labels]
    return picture


def _numbered(images: tuple[LabelImage, ...]) -> NDArray[np.uint8]:
    """1 where the first image is labelled, 2 where the second is, ..."""
    numbers = np.zeros(images[0].shape, np.uint8)
    for number, image in enumerate(images, start=1):
        numbers[image > 0] = number
    return numbers

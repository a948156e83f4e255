"""Pictures of a scene: false colours, ground truth, class map, errors and attention, in the data set's colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from agsgtl.reporting.plotstyle import COLUMN_IN, PAGE_IN, new_figure, styled

UNLABELLED = "#FFFFFF"
RIGHT, WRONG = "#D0D0D0", "#000000"


@styled
def plot_maps(
    scene: NDArray[np.float64],
    test_labels: NDArray[np.uint8],
    class_map: NDArray[np.uint8],
    class_names: Sequence[str],
    colours: Sequence[str],
) -> Figure:
    """False colours, test labels, class map and errors side by side, with a legend of class names.

    Args:
        scene: (height, width, 3), the target in false colours (`data.falsecolours`).
        test_labels: (height, width), 0 where a pixel is not in the test pool, 1..K.
        class_map: (height, width) predicted classes, 1..K.
        class_names: K names.
        colours: K colours '#rrggbb', the data set's.
    """
    height, width = test_labels.shape
    panel_height = min(4.5, PAGE_IN / 4 * height / width)
    figure, axes = new_figure(PAGE_IN, panel_height + 0.75, 1, 4)
    palette = ListedColormap([UNLABELLED, *colours])
    style: Any = {"cmap": palette, "vmin": 0, "vmax": len(colours), "interpolation": "nearest"}
    axes[0].imshow(scene, interpolation="nearest")
    axes[1].imshow(test_labels, **style)
    axes[2].imshow(class_map, **style)
    wrong = np.where(test_labels > 0, 1 + (class_map != test_labels), 0)
    errors = ListedColormap([UNLABELLED, RIGHT, WRONG])
    axes[3].imshow(wrong, cmap=errors, vmin=0, vmax=2, interpolation="nearest")
    share = 100 * float(np.mean(wrong[wrong > 0] == 2))
    for axis, title in zip(axes, ("false colour", "test labels", "class map", f"errors ({share:.1f} %)"), strict=True):
        _frame(axis, title)
    patches = [
        Patch(facecolor=c, edgecolor="#444444", linewidth=0.4, label=n)
        for n, c in zip(class_names, colours, strict=True)
    ]
    patches += [Patch(facecolor=RIGHT, label="right"), Patch(facecolor=WRONG, label="wrong")]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(5, len(patches)), fontsize=7)
    return figure


@styled
def plot_attention(attention: NDArray[np.floating], scene: NDArray[np.float64], title: str) -> Figure:
    """The gate's value at every pixel beside the false-colour scene.

    Args:
        attention: (height, width) gate values, between `attention.floor` and `attention.ceiling`.
        scene: (height, width, 3), the same scene in false colours.
        title: above the picture.
    """
    height, width = attention.shape
    figure, axes = new_figure(COLUMN_IN, min(4.5, COLUMN_IN / 2 * height / width) + 0.75, 1, 2)
    axes[0].imshow(scene, interpolation="nearest")
    image = axes[1].imshow(attention, cmap="cividis", interpolation="nearest")
    _frame(axes[0], "false colour")
    _frame(axes[1], title)
    figure.colorbar(image, ax=axes, label="gate", orientation="horizontal", shrink=0.6, aspect=30)
    return figure


def _frame(axis: Axes, title: str) -> None:
    axis.set(xticks=[], yticks=[], title=title)
    axis.spines[:].set_visible(True)
    axis.spines[:].set_linewidth(0.5)

"""Source and target that show the same ground: pixels of both would carry test labels into training.

Labels that would are refused, or dropped where the pair's file asks for it. Two parts of one cube are compared by where they
lie, two files by their spectra (`overlap`).
"""

from __future__ import annotations

import numpy as np

from agsgtl.data.blocks import distance_to
from agsgtl.data.catalog import FoundPair
from agsgtl.data.cubepart import CubePart, cropped
from agsgtl.data.loading import PIXELS_APART
from agsgtl.data.overlap import find_overlap
from agsgtl.data.pools import LabelImage
from agsgtl.data.scene import Scene
from agsgtl.data.schema import PairSpec
from agsgtl.errors import UserError


def require_one_grid(source: CubePart, target: CubePart, found: FoundPair) -> None:
    """Parts of one cube can be compared pixel by pixel only where it is not turned for one of them."""
    first, second = found.spec.source.axes, found.spec.target.axes
    if found.has_one_cube and (first != second or source.cube.shape[:2] != target.cube.shape[:2]):
        raise UserError(
            f"{found.origin}: source and target are parts of one cube, but its axes are read as {source.cube.shape} for the source "
            f"(`axes`: {first}) and {target.cube.shape} for the target (`axes`: {second}); say the same `axes` on both sides, "
            "and turn the label images alike"
        )


def refuse_shared_pixels(
    source: CubePart, source_labels: LabelImage, target: CubePart, target_labels: LabelImage, found: FoundPair
) -> None:
    """Where source and target are parts of one cube, a pixel labelled in both would carry test labels into training."""
    shared = np.zeros(source.cube.shape[:2], np.uint8)
    for part, labels in ((source, source_labels), (target, target_labels)):
        shared[slice(*part.rows), slice(*part.columns)] += labels > 0
    count = int(np.count_nonzero(shared == 2))
    if count:
        raise UserError(
            f"{found.origin}: source and target are parts of one cube and must share no labelled pixel, but {count} are labelled in "
            "both; give each side its own rows or columns, or its own class ids"
        )


def refuse_overlap(
    source: CubePart, source_labels: LabelImage, target: CubePart, target_labels: LabelImage, found: FoundPair
) -> None:
    """As `refuse_shared_pixels`, where source and target are two files of which nobody says that they show one place."""
    overlap = find_overlap(source.pixels, source_labels, target.pixels, target_labels)
    if overlap is not None:
        rows = overlap.rows + target.rows[0] - source.rows[0]
        columns = overlap.columns + target.columns[0] - source.columns[0]
        raise UserError(
            f"{found.origin}: source and target must share no labelled pixel, but {overlap.pixels} labelled pixels of "
            f"{found.spec.source.cube} are, by their spectra, labelled pixels of {found.spec.target.cube} too (row {rows:+d} and "
            f"column {columns:+d} there): crops of one scene that overlap; leave the overlap out on one side with `rows` or "
            "`columns`, or set its labels to 0 there"
        )


def drop_under_target(
    source_labels: LabelImage, source: tuple[Scene, CubePart], target: tuple[Scene, CubePart], found: FoundPair
) -> LabelImage:
    """The source's labels where the target's label image is 0; both lie on one grid (Yaghmour et al. 2024, authors' code)."""
    scene, part = target
    under = scene.labels[slice(*part.rows), slice(*part.columns)] != 0
    if under.shape != source_labels.shape:
        raise UserError(
            f"{found.origin}: drop_source_under_target needs both label images on one grid, but they are {source_labels.shape} and "
            f"{under.shape}; leave it out"
        )
    _require_one_ground(source, target, found)
    kept = np.where(under, 0, source_labels).astype(np.uint8)
    _require_every_class(kept, found.spec, "no source pixel is left where the target has no label", found.origin)
    return kept


def drop_near_test(
    source: CubePart,
    source_labels: LabelImage,
    target: CubePart,
    test_labels: LabelImage,
    buffer: int,
    found: FoundPair,
) -> LabelImage:
    """Where both domains are parts of one cube, source labels within so many pixels of test pixels would be a leak too."""
    test = np.zeros(source.cube.shape[:2], bool)
    test[slice(*target.rows), slice(*target.columns)] = test_labels > 0
    near = (distance_to(test) <= buffer)[slice(*source.rows), slice(*source.columns)]
    kept = np.where(near, 0, source_labels).astype(np.uint8)
    _require_every_class(
        kept, found.spec, f"no source pixel is farther than {buffer} pixels from the test pool", found.origin
    )
    return kept


def _require_one_ground(source: tuple[Scene, CubePart], target: tuple[Scene, CubePart], found: FoundPair) -> None:
    """Crops of equal size show one place by their coordinates; without any, by the same rows and columns of equal scenes."""
    (first, one), (second, other) = source, target
    here, there = cropped(first, one), cropped(second, other)
    if here is not None and there is not None and here.counts_pixels == there.counts_pixels:
        apart = here.pixels_apart(there, one.rows[1] - one.rows[0], one.columns[1] - one.columns[0])
        same, what = apart <= PIXELS_APART, f"by their coordinates they are up to {apart:.4g} pixels apart"
    else:
        same = first.labels.shape != second.labels.shape or (one.rows, one.columns) == (other.rows, other.columns)
        what = (
            f"the source begins at row {one.rows[0]} and column {one.columns[0]} of its files, the target at row "
            f"{other.rows[0]} and column {other.columns[0]}"
        )
    if not same:
        raise UserError(
            f"{found.origin}: drop_source_under_target needs both sides on one grid, pixel on pixel, but {what}; cut both alike with "
            "`rows` and `columns`, or leave it out"
        )


def _require_every_class(labels: LabelImage, spec: PairSpec, what: str, origin: str) -> None:
    for index, row in enumerate(spec.classes, start=1):
        if not np.any(labels == index):
            raise UserError(f"{origin}: of class '{row.name}' {what}; leave the class out of the pair")

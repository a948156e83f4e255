"""A pair of scenes as a trial may see it: shared classes in one order, common bands, and no test label.

`load_pair` goes: specification (`catalog`) -> two `Scene`s (`readers`) -> crops -> label images of the shared classes ->
pools (`pools`) -> `DomainPair`. The test pool is dropped on the way; `vault.LabelVault` takes the same way and keeps it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.config import digest
from agsgtl.data.catalog import FoundPair, find_pair
from agsgtl.data.pools import LabelImage, Pools, split_pools
from agsgtl.data.readers import as_label_image, read_array
from agsgtl.data.scene import Scene, cube_checksum
from agsgtl.data.schema import Crop, Domain, PairSpec
from agsgtl.errors import UserError

PALETTE = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
    *("#332288", "#882255", "#999933", "#44AA99", "#AA4499", "#CC6677", "#DDCC77", "#88CCEE", "#BBBBBB"),
)
"""For classes without a colour, repeated past 16: Okabe and Ito (2008), then Paul Tol's "muted" (2021)."""


@dataclass(frozen=True, eq=False)
class CubePart:
    """A crop of a whole cube: `rows` and `columns` are [first, past the last), 0-based."""

    cube: NDArray[Any]
    checksum: str
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def pixels(self) -> NDArray[Any]:
        """(height, width, bands) of the crop, a view."""
        return self.cube[slice(*self.rows), slice(*self.columns)]


@dataclass(frozen=True, eq=False)
class DomainPair:
    """A source and a target scene with K shared classes; class i + 1 of the label images is `class_names[i]`.

    Attributes:
        name: 'indian_pines/west_to_east', or a user's.
        class_names: K names.
        colours: K colours '#rrggbb'.
        source_cube: (height, width, bands) raw numbers, possibly a memory map.
        source_labels: (height, width) uint8, 0 = unlabelled, 1..K.
        target_cube: (height, width, bands) raw numbers, as many bands as the source's.
        development_labels: (height, width) uint8, 0..K: the target's development pool only.
        authors_settings: a key of `config.AUTHORS_SETTINGS`.
        authors_scale: divisors of source and target cube for `data.normalisation: authors`.
        fingerprint: sixteen hexadecimal digits that change with anything that can change a result.
        source_part, target_part: the whole cubes that the two are crops of, where known; for `mapped.unpack_pair`.

    Raises:
        ValueError: shapes, dtypes or class ids contradict each other.
    """

    name: str
    class_names: tuple[str, ...]
    colours: tuple[str, ...]
    source_cube: NDArray[Any]
    source_labels: LabelImage
    target_cube: NDArray[Any]
    development_labels: LabelImage
    authors_settings: str
    authors_scale: tuple[float, float]
    fingerprint: str
    source_part: CubePart | None = None
    target_part: CubePart | None = None

    def __post_init__(self) -> None:
        if len(self.colours) != self.classes:
            raise ValueError(f"{self.name}: {self.classes} classes need as many colours, got {len(self.colours)}")
        if self.source_cube.shape[2] != self.target_cube.shape[2]:
            raise ValueError(
                f"{self.name}: band counts differ: {self.source_cube.shape[2]} and {self.target_cube.shape[2]}"
            )
        for cube, labels in ((self.source_cube, self.source_labels), (self.target_cube, self.development_labels)):
            if labels.shape != cube.shape[:2] or labels.dtype != np.uint8 or labels.max(initial=0) > self.classes:
                raise ValueError(f"{self.name}: a label image must be uint8 {cube.shape[:2]} with 0..{self.classes}")

    @property
    def classes(self) -> int:
        """K, the number of shared classes."""
        return len(self.class_names)


def load_pair(name: str, root: Path | None = None) -> DomainPair:
    """The pair of a catalog name, or of a YAML file that describes a pair (`schema.PairSpec`).

    Args:
        name: like 'indian_pines/west_to_east', or a path that ends in .yaml or .yml.
        root: a folder that is searched for the pair's files first.

    Raises:
        UserError: the name is unknown, a file is missing or wrong, or the two scenes do not make a pair.
    """
    return assemble(name, root)[0]


def assemble(name: str, root: Path | None) -> tuple[DomainPair, Pools]:
    """A pair and the pools of its target's labels: for `load_pair` and `vault.LabelVault` alone.

    Raises:
        UserError: as `load_pair`.
    """
    found = find_pair(name, root)
    spec = found.spec
    source, target = _read_scenes(found)
    source_part, target_part = _cut(source, spec.source, found.origin), _cut(target, spec.target, found.origin)
    source_labels = _shared_labels(source, source_part, spec, "source", found.origin)
    target_labels = _shared_labels(target, target_part, spec, "target", found.origin)
    _refuse_shared_pixels(source_part, source_labels, target_part, target_labels, found.origin)
    class_names = tuple(row.name for row in spec.classes)
    pools = split_pools(target_labels, class_names, spec.test_pool, found.origin)
    pair = DomainPair(
        name=spec.name,
        class_names=class_names,
        colours=tuple(row.colour or PALETTE[i % len(PALETTE)] for i, row in enumerate(spec.classes)),
        source_cube=source_part.pixels,
        source_labels=source_labels,
        target_cube=target_part.pixels,
        development_labels=pools.development,
        authors_settings=spec.authors_settings,
        authors_scale=(spec.authors_scale[0], spec.authors_scale[1]),
        fingerprint=_fingerprint(spec, (source_part, target_part), (source_labels, target_labels)),
        source_part=source_part,
        target_part=target_part,
    )
    return pair, pools


def _read_scenes(found: FoundPair) -> tuple[Scene, Scene]:
    spec = found.spec
    source = _read_scene(found, spec.source, "source", {row.source: row.name for row in spec.classes}, found.bands[0])
    target_names = {row.target: row.name for row in spec.classes}
    if _files(spec.source) == _files(spec.target):  # one scene, cut in two: its cube is read once
        target = dataclasses.replace(source, name=f"{found.origin}: target", class_names=target_names)
    else:
        target = _read_scene(found, spec.target, "target", target_names, found.bands[1])
    if source.cube.shape[2] != target.cube.shape[2]:
        raise UserError(
            f"{found.origin}: both cubes must have the same bands, but the source has {source.cube.shape[2]} and the target "
            f"{target.cube.shape[2]}; save both with the bands that they share"
        )
    return source, target


def _files(domain: Domain) -> Mapping[str, Any]:
    return domain.model_dump(exclude={"rows", "columns"})


def _read_scene(
    found: FoundPair, domain: Domain, side: str, class_names: Mapping[int, str], bands: int | None
) -> Scene:
    name = f"{found.origin}: {side}"
    cube = read_array(found.locate(domain.cube), domain.cube_array)
    labels = as_label_image(read_array(found.locate(domain.labels), domain.labels_array), f"{name}: {domain.labels}")
    wavelengths = None
    if domain.wavelengths is not None:
        wavelengths = read_array(found.locate(domain.wavelengths), domain.wavelengths_array).astype(np.float64).ravel()
    scene = Scene(
        name=name,
        cube=cube,
        labels=labels,
        class_names=class_names,
        colours={class_id: PALETTE[i % len(PALETTE)] for i, class_id in enumerate(class_names)},
        wavelengths_nm=wavelengths,
        checksum=cube_checksum(cube),
    )
    if bands is not None and cube.shape[2] != bands:
        raise UserError(
            f"{name}: this scene has {bands} bands, but {domain.cube} has {cube.shape[2]}; fetch the usual file"
        )
    return scene


def _cut(scene: Scene, crop: Crop, origin: str) -> CubePart:
    height, width = scene.labels.shape
    rows, columns = crop.rows or [0, height - 1], crop.columns or [0, width - 1]
    if rows[1] >= height or columns[1] >= width:
        raise UserError(
            f"{scene.name}: rows {rows} and columns {columns} (first and last, 0-based) must lie in the scene, which has "
            f"{height} rows and {width} columns; correct {origin}"
        )
    return CubePart(scene.cube, scene.checksum, (rows[0], rows[1] + 1), (columns[0], columns[1] + 1))


def _shared_labels(scene: Scene, part: CubePart, spec: PairSpec, side: str, origin: str) -> LabelImage:
    """The crop's labels with the shared classes as 1..K and all other ids as 0."""
    labels = scene.labels[slice(*part.rows), slice(*part.columns)]
    shared = np.zeros(labels.shape, np.uint8)
    for index, row in enumerate(spec.classes, start=1):
        class_id = row.source if side == "source" else row.target
        pixels = labels == class_id
        if not pixels.any():
            there = ", ".join(str(i) for i in np.unique(labels) if i) or "none"
            raise UserError(
                f"{origin}: class '{row.name}' is id {class_id} in the {side}'s label image, but no pixel of the {side} has it; "
                f"ids there: {there[:200]}"
            )
        shared[pixels] = index
    return shared


def _refuse_shared_pixels(
    source: CubePart, source_labels: LabelImage, target: CubePart, target_labels: LabelImage, origin: str
) -> None:
    """Where source and target are parts of one cube, a pixel labelled in both would carry test labels into training."""
    if source.checksum != target.checksum:
        return
    shared = np.zeros(source.cube.shape[:2], np.uint8)
    for part, labels in ((source, source_labels), (target, target_labels)):
        shared[slice(*part.rows), slice(*part.columns)] += labels > 0
    count = int(np.count_nonzero(shared == 2))
    if count:
        raise UserError(
            f"{origin}: source and target are parts of one cube and must share no labelled pixel, but {count} are labelled in "
            "both; give each side its own rows or columns, or its own class ids"
        )


def _fingerprint(spec: PairSpec, parts: Sequence[CubePart], labels: Sequence[LabelImage]) -> str:
    # The target's labels enter whole: together with the test pool's rule they fix the development and the test pool.
    return digest(
        {
            "parts": [[part.checksum, part.rows, part.columns] for part in parts],
            "classes": [[row.name, row.source, row.target] for row in spec.classes],
            "labels": [hashlib.sha256(image.tobytes()).hexdigest() for image in labels],
            "test_pool": spec.test_pool.model_dump(),
            "authors": [spec.authors_settings, list(spec.authors_scale)],
        }
    )

"""A pair of scenes as a trial may see it: shared classes in one order, common bands, and no test pool.

`load_pair` goes: specification (`catalog`) -> two `Scene`s (`loading`) -> crops (`cubepart`) -> label images of the shared
classes, without what would leak (`ground`) -> pools (`pools`) -> `DomainPair`. The test pool is dropped on the way;
`vault.LabelVault` takes the same way and keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.config import AUTHORS_SETTINGS, digest
from agsgtl.data.catalog import FoundPair, find_pair
from agsgtl.data.cubepart import CubePart, cropped, cut
from agsgtl.data.georeference import Georeference
from agsgtl.data.ground import (
    drop_near_test,
    drop_under_target,
    refuse_overlap,
    refuse_shared_pixels,
    require_one_grid,
)
from agsgtl.data.loading import PALETTE, read_scenes
from agsgtl.data.pools import BUFFERS, LabelImage, Pools, split_pools
from agsgtl.data.scene import Scene
from agsgtl.data.schema import PairSpec
from agsgtl.errors import UserError


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
        development_labels: (height, width) uint8, 0..K: the target's development pool only; with `split: authors` all of the
            target's labels, of which `draw_labels` alone reads.
        authors_settings: a key of `config.AUTHORS_SETTINGS`.
        authors_scale: divisors of source and target cube for `data.normalisation: authors`.
        fingerprint: sixteen hexadecimal digits that change with anything that can change a result.
        source_part, target_part: the whole cubes that the two are crops of, where known; for `mapped.unpack_pair`.
        notes: sentences that a record should repeat: how bands were matched, how the test pool was parted.
        tests_on_the_rest: whatever a confirmation does not draw is its test pool (`split: authors`); no search may use it.
        rest_minimum: pixels a class that a draw must leave for that pool; 0 where it is parted already.
        source_georeference, target_georeference: coordinates of the crops, where the files have them.
        source_wavelengths_nm, target_wavelengths_nm: (bands,) band centres, where they are known.
        shares_cube: source and target lie on one grid of pixels: parts of one cube, in other bands perhaps, or of its copy.
        buffer_family: the network family whose reach `split: blocks` keeps test pixels away by; None for other splits, and for
            pairs unpacked before this was kept.
        shared: the folder of the pair's normalised cubes, for all processes of a sweep; None outside one.

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
    notes: tuple[str, ...] = ()
    tests_on_the_rest: bool = False
    rest_minimum: int = 0
    source_georeference: Georeference | None = None
    target_georeference: Georeference | None = None
    source_wavelengths_nm: NDArray[np.float64] | None = None
    target_wavelengths_nm: NDArray[np.float64] | None = None
    shares_cube: bool = False
    buffer_family: str | None = None
    shared: Path | None = None

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

    def require_reach(self, family: str, origin: str) -> None:
        """Refuses a network family that looks farther than `split: blocks` keeps test pixels from training pixels.

        Raises:
            UserError: it does; `origin` says where the family was asked for.
        """
        kept = self.buffer_family
        if kept is not None and BUFFERS[family] > BUFFERS[kept]:
            raise UserError(
                f"{origin}: {self.name}: test pixels must be more than {BUFFERS[family]} pixels from training pixels for "
                f"model.family {family}, but `split: blocks` kept {BUFFERS[kept]}, for {kept}; say `network: {family}` in the pair's "
                "test_pool"
            )


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
    source, target, notes, is_copy = read_scenes(found)
    shares_cube = is_copy or found.has_one_cube or source.checksum == target.checksum
    source_part, target_part = cut(source, spec.source, found.origin), cut(target, spec.target, found.origin)
    source_labels = _shared_labels(source, source_part, spec, "source", found.origin)
    target_labels = _shared_labels(target, target_part, spec, "target", found.origin)
    if spec.drop_source_under_target:
        source_labels = drop_under_target(source_labels, (source, source_part), (target, target_part), found)
    require_one_grid(source_part, target_part, found)
    refuse = refuse_shared_pixels if shares_cube else refuse_overlap
    refuse(source_part, source_labels, target_part, target_labels, found)
    pools = _part_labels(target_labels, found)
    if spec.test_pool.split == "blocks" and shares_cube:
        buffer = BUFFERS[network_family(spec)]
        source_labels = drop_near_test(source_part, source_labels, target_part, pools.test, buffer, found)
    pair = DomainPair(
        name=spec.name,
        class_names=tuple(row.name for row in spec.classes),
        colours=tuple(row.colour or PALETTE[i % len(PALETTE)] for i, row in enumerate(spec.classes)),
        source_cube=source_part.pixels,
        source_labels=source_labels,
        target_cube=target_part.pixels,
        development_labels=pools.development,
        authors_settings=spec.authors_settings,
        authors_scale=(spec.authors_scale[0], spec.authors_scale[1]),
        fingerprint=_fingerprint(spec, (source_part, target_part), (source_labels, target_labels), pools),
        source_part=source_part,
        target_part=target_part,
        notes=tuple(note for note in (*notes, pools.note, *_without_system(source, target)) if note),
        tests_on_the_rest=spec.test_pool.split == "authors",
        rest_minimum=spec.test_pool.minimum if spec.test_pool.split == "authors" else 0,
        source_georeference=cropped(source, source_part),
        target_georeference=cropped(target, target_part),
        source_wavelengths_nm=source.wavelengths_nm,
        target_wavelengths_nm=target.wavelengths_nm,
        shares_cube=shares_cube,
        buffer_family=network_family(spec) if spec.test_pool.split == "blocks" else None,
    )
    return pair, pools


def network_family(spec: PairSpec) -> str:
    """The network family whose reach a pair's `blocks` cover: the rule's own, or that of the authors' settings."""
    own = AUTHORS_SETTINGS[spec.authors_settings].get("model.family", "shallow")
    return spec.test_pool.network or str(own)


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


def _part_labels(target_labels: LabelImage, found: FoundPair) -> Pools:
    spec = found.spec
    names = [row.name for row in spec.classes]
    file = None if spec.test_pool.indices is None else found.locate(spec.test_pool.indices)
    return split_pools(target_labels, names, spec.test_pool, found.origin, file, network_family(spec))


def _without_system(*scenes: Scene) -> list[str]:
    return [
        f"{side}: its coordinates are in no system that is read here, and neither are its maps'"
        for side, scene in zip(("source", "target"), scenes, strict=True)
        if scene.georeference is not None and not scene.georeference.crs
    ]


def _fingerprint(spec: PairSpec, parts: Sequence[CubePart], labels: Sequence[LabelImage], pools: Pools) -> str:
    # The target's labels enter whole: with the test pool's rule they fix both pools; index files and cuts enter as pixels.
    # How bands were chosen and matched is in the cubes' checksums, what was dropped from the source in its labels.
    content = {
        "parts": [[part.checksum, part.rows, part.columns] for part in parts],
        "classes": [[row.name, row.source, row.target] for row in spec.classes],
        "labels": [hashlib.sha256(image.tobytes()).hexdigest() for image in labels],
        "test_pool": spec.test_pool.deciding(),
        "authors": [spec.authors_settings, list(spec.authors_scale)],
    }
    if spec.test_pool.split in ("blocks", "fixed"):
        content["pools"] = [hashlib.sha256(image.tobytes()).hexdigest() for image in (pools.development, pools.test)]
    return digest(content)

"""Examines a pair's files: everything that is wrong with them at once, the counts of each split, and how much leaks.

examine
  _examine_side     files, axes, sizes, values, wavelengths and ids of each scene (`symptoms`)
  examine_both      what does not fit between the two
  _measure_leak     how far test pixels are from training pixels, against how far the networks look
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.blocks import distance_to
from agsgtl.data.catalog import FoundPair, find_pair
from agsgtl.data.loading import arranged_cube, read_labels, read_wavelengths, require_one_place
from agsgtl.data.pairing import DomainPair, network_family
from agsgtl.data.pools import LabelImage
from agsgtl.data.scene import require_fitting
from agsgtl.data.schema import Domain
from agsgtl.data.symptoms import (
    Finding,
    band_statistics,
    examine_axes,
    examine_both,
    examine_cube,
    examine_ids,
    examine_wavelengths,
)
from agsgtl.data.vault import LabelVault
from agsgtl.errors import UserError

_Result = TypeVar("_Result")

Reaches = Mapping[str, tuple[int, int]]
"""Of each network family: pixels that the segmenter looks, and that segmenter and discriminator look together."""

_MORE_TO_DRAW = {
    "random": "lower test_pool.fraction or test_pool.minimum",
    "blocks": "lower test_pool.fraction or test_pool.minimum",
    "fixed": "give an index file with fewer of its pixels",
    "authors": "lower test_pool.minimum",
}
"""Of each split: what leaves a class more pixels to draw from."""


@dataclass(frozen=True)
class Leak:
    """How near test pixels lie to labelled training pixels, in rows or columns, and what a network has seen of them.

    Attributes:
        nearest, median: distance from a test pixel to the nearest pixel that may train.
        segmenter, both: the networks' reach.
        in_view: part of the test pixels whose prediction looks at a training pixel (distance up to `segmenter`).
        seen: part that were themselves looked at in training (up to `both`).
        overlapping: part that share any input pixel with training (up to the sum).
        counts_source: source and target are parts of one cube, and the source's labels count as training too.
    """

    nearest: int
    median: float
    segmenter: int
    both: int
    in_view: float
    seen: float
    overlapping: float
    counts_source: bool


@dataclass(frozen=True)
class SplitRow:
    """Pixels of one class: in the source, in the target's development pool and in its test pool."""

    name: str
    source: int
    development: int
    test: int


@dataclass(frozen=True)
class Checkup:
    """What the doctor found. `pair` and `test` are None where an error keeps the pair from being loaded."""

    name: str
    findings: tuple[Finding, ...]
    rows: tuple[SplitRow, ...] = ()
    leak: Leak | None = None
    pair: DomainPair | None = None
    test: LabelImage | None = None

    @property
    def is_usable(self) -> bool:
        """Whether there are warnings at most."""
        return all(finding.level != "error" for finding in self.findings)


@dataclass(frozen=True, eq=False)
class _Side:
    ids: Collection[int]
    magnitude: float


def examine(name: str, root: Path | None, reaches: Reaches, needed: int) -> Checkup:
    """A checkup of a pair.

    Args:
        name: a catalog name or the path of a pair's YAML file.
        root: a folder that is searched for the pair's files first.
        reaches: of the network families, computed from the networks.
        needed: k + v, target pixels a class that a run draws from the development pool.

    Raises:
        UserError: there is no such pair, or its file breaks the rules: there is nothing to examine.
    """
    found = find_pair(name, root)
    findings: list[Finding] = []
    source = _examine_side(found, found.spec.source, "source", findings)
    target = _examine_side(found, found.spec.target, "target", findings)
    if source is not None and target is not None:
        same_numbering = all(row.source == row.target for row in found.spec.classes)
        magnitudes = source.magnitude, target.magnitude
        findings += examine_both(found.origin, magnitudes, source.ids, target.ids, same_numbering)
    if any(finding.level == "error" for finding in findings):
        return Checkup(found.origin, tuple(findings))
    inspected = _attempt(LabelVault(name, root).inspect, findings)
    if inspected is None:
        return Checkup(found.origin, tuple(findings))
    pair, test = inspected
    rows = _count(pair, test)
    findings += _examine_counts(found, rows, needed, pair.rest_minimum)
    leak = None if pair.tests_on_the_rest else _measure_leak(pair, test, reaches[network_family(found.spec)])
    return Checkup(found.origin, tuple(findings), rows, leak, pair, test)


def _attempt(action: Callable[[], _Result], findings: list[Finding]) -> _Result | None:
    """What an action gives; a UserError becomes a finding, once."""
    try:
        return action()
    except UserError as error:
        finding = Finding("error", str(error))
        if finding not in findings:
            findings.append(finding)
        return None


def _examine_side(found: FoundPair, domain: Domain, side: str, findings: list[Finding]) -> _Side | None:
    name = f"{found.origin}: {side}"
    path = _attempt(lambda: found.locate(domain.cube, domain), findings)
    labels = _attempt(lambda: read_labels(found, domain, name), findings)
    if path is None or labels is None:
        return None
    read = _attempt(lambda: arranged_cube(path, domain, labels, name), findings)
    cube = None if read is None else read[0]
    wavelengths_nm = _attempt(lambda: read_wavelengths(found, domain, path), findings)
    if cube is None or not _fits(name, cube, labels, wavelengths_nm, findings):
        return None
    _attempt(lambda: require_one_place(found, domain, labels, name), findings)
    if read is not None and domain.axes is None:
        findings += examine_axes(name, read[1], cube.shape)
    used = _used_bands(cube, domain)
    centres = wavelengths_nm if wavelengths_nm is None or used is None else wavelengths_nm[used]
    statistics = band_statistics(cube, used)
    findings += examine_cube(name, statistics)
    findings += examine_wavelengths(name, centres)
    findings += examine_ids(name, labels, _named_ids(found, side))
    return _Side(np.unique(labels[labels > 0]).tolist(), statistics.magnitude)


def _fits(
    name: str,
    cube: NDArray[Any],
    labels: NDArray[Any],
    wavelengths_nm: NDArray[np.float64] | None,
    findings: list[Finding],
) -> bool:
    before = len(findings)
    _attempt(lambda: require_fitting(name, cube, labels, wavelengths_nm), findings)
    return len(findings) == before


def _used_bands(cube: NDArray[Any], domain: Domain) -> NDArray[np.int64] | None:
    """Indices of the bands that the pair uses; None is all, also where the pair names some that do not exist."""
    if domain.bands is None or max(last for _, last in domain.bands) >= cube.shape[2]:
        return None
    return np.concatenate([np.arange(first, last + 1) for first, last in domain.bands])


def _named_ids(found: FoundPair, side: str) -> set[int]:
    """Ids that the pair's classes or the catalog's entry name."""
    return {getattr(row, side) for row in found.spec.classes} | found.known_ids


def _count(pair: DomainPair, test: LabelImage) -> tuple[SplitRow, ...]:
    images = pair.source_labels, pair.development_labels, test
    counts = [np.bincount(image.reshape(-1), minlength=pair.classes + 1)[1:].tolist() for image in images]
    return tuple(SplitRow(name, *numbers) for name, *numbers in zip(pair.class_names, *counts, strict=True))


def _examine_counts(found: FoundPair, rows: Collection[SplitRow], needed: int, rest: int) -> list[Finding]:
    """Classes too small for k + v, and for the `rest` that a draw must leave to test on where no pool is set apart."""
    where, use = ("in all", f" and {rest} to test on") if rest else ("outside the test pool", "")
    return [
        Finding(
            "error",
            f"{found.origin}: class '{row.name}' has {row.development} target pixels {where}, but k + v = {needed}{use} are "
            f"needed; leave the class out, lower labels.per_class, or {_MORE_TO_DRAW[found.spec.test_pool.split]}",
        )
        for row in rows
        if row.development < needed + rest
    ]


def _measure_leak(pair: DomainPair, test: LabelImage, reach: tuple[int, int]) -> Leak:
    segmenter, both = reach
    source, target = pair.source_part, pair.target_part
    if source is None or target is None or not pair.shares_cube:
        training, tested = pair.development_labels > 0, test > 0
    else:
        training, tested = (np.zeros(target.cube.shape[:2], bool) for _ in range(2))
        training[slice(*source.rows), slice(*source.columns)] |= pair.source_labels > 0
        training[slice(*target.rows), slice(*target.columns)] |= pair.development_labels > 0
        tested[slice(*target.rows), slice(*target.columns)] = test > 0
    distances = distance_to(training)[tested]
    return Leak(
        nearest=int(distances.min()),
        median=float(np.median(distances)),
        segmenter=segmenter,
        both=both,
        in_view=float(np.mean(distances <= segmenter)),
        seen=float(np.mean(distances <= both)),
        overlapping=float(np.mean(distances <= segmenter + both)),
        counts_source=pair.shares_cube,
    )

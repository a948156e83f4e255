"""A made-up pair of any size with spectra that classes share in part, a darker target, and labels in small fields: `write_pair`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agsgtl.yamlfile import write_yaml

CLASSES = 6
FIELD, LABELLED = 16, 4
"""Rows and columns of a field of one class, and of its labelled middle."""

LABELLED_FIELDS = {"source": 12, "target": 14}
"""A class: 192 and 224 pixels, about as many as Houston's sunlit training pixels."""


def write_pair(folder: Path, size: tuple[int, int, int], seed: int = 0) -> Path:
    """`folder/made_up.yaml` with its cubes and label images, (height, width, bands) each; the same arguments, the same bytes.

    A class's spectrum is a smooth curve; pixels differ from it by brightness and by noise. In the target brightness falls to a
    third, more so at long wavelengths, as in a cloud's shadow, and the noise stays.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    spectra = 1.0 + 0.25 * _smooth(rng, CLASSES, size[2])
    shadow = np.linspace(0.45, 0.2, size[2])
    for side, light in (("source", np.ones(size[2])), ("target", shadow)):
        truth = _fields(rng, size[0], size[1])
        brightness = rng.normal(1.0, 0.15, (*size[:2], 1))
        cube = brightness * (spectra * light)[truth] + rng.normal(0.0, 0.4, size)
        np.save(folder / f"{side}_cube.npy", cube.astype(np.float32))
        np.save(folder / f"{side}_labels.npy", _labels(rng, truth, LABELLED_FIELDS[side]))
    content = {
        "name": "made_up",
        **{side: {"cube": f"{side}_cube.npy", "labels": f"{side}_labels.npy"} for side in LABELLED_FIELDS},
        "classes": [{"name": f"class {id}", "source": id, "target": id} for id in range(1, CLASSES + 1)],
    }
    path = folder / "made_up.yaml"
    path.write_text(write_yaml(content))
    return path


def _smooth(rng: np.random.Generator, curves: int, bands: int) -> NDArray[np.float64]:
    """Sums of a few slow cosines: (curves, bands)."""
    place = np.linspace(0.0, 1.0, bands)
    waves = np.cos(np.pi * np.arange(1, 9)[:, None] * place + rng.uniform(0, 2 * np.pi, (curves, 8, 1)))
    return np.asarray((rng.normal(size=(curves, 8, 1)) * waves).sum(axis=1) / 2)


def _fields(rng: np.random.Generator, height: int, width: int) -> NDArray[np.int64]:
    """Square fields of one class each: (height, width) of 0..K-1."""
    fields = rng.integers(0, CLASSES, (height // FIELD + 1, width // FIELD + 1))
    return np.kron(fields, np.ones((FIELD, FIELD), np.int64))[:height, :width]


def _labels(rng: np.random.Generator, truth: NDArray[np.int64], fields: int) -> NDArray[np.uint8]:
    """Ids 1..K in the middles of so many whole fields a class, 0 elsewhere."""
    labels = np.zeros(truth.shape, np.uint8)
    first = (FIELD - LABELLED) // 2
    corners = truth[::FIELD, ::FIELD][: truth.shape[0] // FIELD, : truth.shape[1] // FIELD]
    for index in range(CLASSES):
        for row, column in rng.permutation(np.argwhere(corners == index))[:fields]:
            top, left = row * FIELD + first, column * FIELD + first
            labels[top : top + LABELLED, left : left + LABELLED] = index + 1
    return labels

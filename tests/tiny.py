"""A made-up scene pair, small and separable, for tests anywhere: `write_tiny_pair`."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_tiny_pair(
    folder: Path,
    height: int = 12,
    width: int = 12,
    bands: int = 8,
    classes: int = 3,
    per_class: int = 40,
    seed: int = 0,
) -> Path:
    """A user's pair file `folder/tiny.yaml` with its `.npy` files; the same arguments give the same bytes.

    Classes are vertical stripes with their own spectra plus noise; the target's are brighter, shifted by 1.5 bands and
    noisier, in the reverse order of columns, with ids 11, 12, ... for the source's 1, 2, ...

    Per-pixel LDA after per-domain z-scores: source-only about 0.85, with 5 target labels a class above 0.95.

    Args:
        folder: where the files go; it is made.
        height, width, bands: of both cubes, float32 in about 0..2.
        classes: number of stripes.
        per_class: labelled pixels a class and scene; `height * (width // classes)` at most.
        seed: of the noise and of which pixels are labelled.
    """
    stripe = width // classes
    if per_class > height * stripe:
        raise ValueError(f"{per_class} labelled pixels do not fit into a stripe of {height} x {stripe}")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.minimum(np.arange(width) // stripe, classes - 1)[None, :], height, axis=0)
    for side, shift, gain, noise, first_id in (("source", 0.0, 1.0, 0.05, 1), ("target", 1.5, 1.3, 0.25, 11)):
        stripes = truth if side == "source" else truth[:, ::-1]
        centres = np.linspace(0, bands - 1, classes)[stripes]
        distance = np.arange(bands) - shift - centres[:, :, None]
        cube = gain * np.exp(-0.5 * (distance / (bands / (2 * classes))) ** 2) + noise * rng.standard_normal(
            (height, width, bands)
        )
        labels = np.zeros((height, width), np.uint8)
        for index in range(classes):
            labels.flat[rng.permutation(np.flatnonzero(stripes == index))[:per_class]] = first_id + index
        np.save(folder / f"{side}_cube.npy", cube.astype(np.float32))
        np.save(folder / f"{side}_labels.npy", labels)
    rows = "".join(f"  - {{name: class {i + 1}, source: {i + 1}, target: {i + 11}}}\n" for i in range(classes))
    path = folder / "tiny.yaml"
    path.write_text(
        "name: tiny\n"
        "source: {cube: source_cube.npy, labels: source_labels.npy}\n"
        "target: {cube: target_cube.npy, labels: target_labels.npy}\n"
        f"classes:\n{rows}"
    )
    return path

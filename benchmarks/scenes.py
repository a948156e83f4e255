"""Times and peak memory of loading, normalising and predicting scenes of true size, made up under the real names.

    python benchmarks/scenes.py [houston] [c2seg]      needs up to 16 GB in TMPDIR

Each stage runs in a process of its own, whose peak resident memory (all of it, mapped pages included) is reported beside
the size of the float32 cubes.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

Size = tuple[int, int, int]
"""Height, width, bands."""

HOUSTON: Size = (349, 1905, 144)
C2SEG: dict[str, Size] = {"Augsburg_resampled.mat": (886, 1360, 242), "Berlin_resampled.mat": (2500, 1200, 242)}
STAGES = ("load", "load and normalise", "predict")


@dataclass(frozen=True)
class SceneFiles:
    """A pair of the catalog, the cubes that it loads as float32, and how to make its files in a folder."""

    pair: str
    cubes: tuple[Size, ...]
    make: Callable[[Path], None]


def main(names: list[str]) -> None:
    for name in names or list(SCENES):
        scene = SCENES[name]
        cube_bytes = [4 * math.prod(size) for size in scene.cubes]
        with tempfile.TemporaryDirectory(prefix="agsgtl-bench-") as folder:
            start = time.monotonic()
            scene.make(Path(folder))
            sizes = ", ".join(
                f"{path.name} {path.stat().st_size / 2**20:.0f} MiB" for path in sorted(Path(folder).glob("*.mat"))
            )
            print(f"{name}: files made in {time.monotonic() - start:.0f} s: {sizes}", flush=True)
            print(
                f"  float32: the largest cube {max(cube_bytes) / 2**20:.0f} MiB, both {sum(cube_bytes) / 2**20:.0f} MiB",
                flush=True,
            )
            for stage in STAGES:
                result = run_stage(scene.pair, folder, stage)
                print(
                    f"  {stage}: {result['seconds']:.1f} s ({result['processor_s']:.1f} s of processor time), "
                    f"peak memory {result['peak_mib']:.0f} MiB",
                    flush=True,
                )


def make_houston(folder: Path) -> None:
    """The two label maps as blocks, the cube as MATLAB's version 5 with compression."""
    height, width, bands = HOUSTON
    rng = np.random.default_rng(0)
    base = rng.integers(200, 6000, (height, width, 1), dtype=np.uint16)
    cube = base + rng.integers(0, 64, (height, width, bands), dtype=np.uint16)
    scipy.io.savemat(folder / "HU_cube.mat", {"HU_cube": cube}, do_compression=True)
    sun, shadow = blocks(height, width, 15), blocks(height, width, 6)
    sun[:, 1000:], shadow[:, :1000] = 0, 0
    scipy.io.savemat(folder / "TRLabel.mat", {"TRLabel": sun})
    scipy.io.savemat(folder / "target_label_shadow.mat", {"target_label": shadow})


def make_c2seg(folder: Path) -> None:
    """Cubes and labels as version 7.3: float32 in chunks, deflated."""
    rng = np.random.default_rng(0)
    for file, (height, width, bands) in C2SEG.items():
        with h5py.File(folder / file, "w", userblock_size=512) as stored:
            settings = {"chunks": (8, 64, 256), "compression": "gzip", "compression_opts": 1}
            cube = stored.create_dataset("HSI", (bands, width, height), np.float32, **settings)
            base = rng.integers(0, 4000, (width, height)).astype(np.float32)
            for first in range(0, bands, 8):
                count = min(8, bands - first)
                cube[first : first + count] = base + rng.integers(0, 16, (count, 1, 1)).astype(np.float32)
            label = stored.create_dataset("label", data=blocks(height, width, 13).T.astype(np.uint8))
            cube.attrs["MATLAB_class"], label.attrs["MATLAB_class"] = np.bytes_("single"), np.bytes_("uint8")
        with (folder / file).open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def blocks(height: int, width: int, classes: int) -> NDArray[np.uint8]:
    """Fields of 20 x 20 pixels in turn, with unlabelled ones between."""
    rows, columns = np.arange(height)[:, None] // 20, np.arange(width)[None] // 20
    labels = (rows * 7 + columns * 3) % (2 * classes)
    return np.where(labels < classes, labels + 1, 0).astype(np.uint8)


def run_stage(pair: str, folder: str, stage: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--stage", stage, pair, folder]
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    output = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if output.returncode:
        raise SystemExit(output.stderr)
    found: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return found


def stage_in_this_process(stage: str, pair_name: str, folder: str) -> None:
    import torch

    from agsgtl.config import AUTHORS_SETTINGS, configure
    from agsgtl.data.normalisation import fit_scaling
    from agsgtl.data.pairing import load_pair
    from agsgtl.data.sharing import normalised_pixels
    from agsgtl.evaluation.predict import network_predictor, predict_scene
    from agsgtl.models.networks import build_discriminator, build_segmenter

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    started, worked = time.monotonic(), time.process_time()
    pair = load_pair(pair_name, Path(folder))
    if stage == "load and normalise":
        normalised_pixels(pair, "per_domain")
    if stage == "predict":
        scaling = fit_scaling(pair, "per_domain")[1]
        config = configure(AUTHORS_SETTINGS[pair.authors_settings], origin="the authors' settings")
        bands = pair.target_cube.shape[2]
        weights = build_segmenter(config, bands, pair.classes, 0).state_dict()
        judge = build_discriminator(config, pair.classes, 1).state_dict()
        started, worked = time.monotonic(), time.process_time()
        predict_scene(network_predictor(config, bands, pair.classes, weights, judge), pair.target_cube, scaling)
    seconds = time.monotonic() - started
    processor_s = time.process_time() - worked
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "processor_s": processor_s, "peak_mib": peak_mib}))


PADDED = tuple((height, width, 252) for height, width, _ in C2SEG.values())
"""C2Seg's cubes as loaded: 242 bands and ten of zeros, since the depthwise network needs groups of 21."""

SCENES = {
    "houston": SceneFiles("houston_shadow/sun_to_shadow", (HOUSTON, HOUSTON), make_houston),
    "c2seg": SceneFiles("c2seg_ab/augsburg_to_berlin", PADDED, make_c2seg),
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stage"]:
        stage_in_this_process(*sys.argv[2:])
    else:
        main(sys.argv[1:])

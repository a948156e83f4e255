"""Memory that one more concurrent trial costs at Houston's size, before activations: the cubes shared, and not shared.

    python -m benchmarks.memory [--processes 3]        needs 1.5 GB in TMPDIR and 5 GB of memory

Made-up cubes, 349 x 1905 x 144 uint16, unpacked as a sweep does. Each process imports what a worker imports, maps the pair,
normalises it and touches every number of it, as training does; then all of them, still alive, are measured together.
USS is what nobody else holds, PSS adds a fair part of what is shared: the sum of the PSS is what the machine has to have.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.pairing import DomainPair

SIZE = (349, 1905, 144)
CLASSES = 6
LIMIT_MIB = 300.0


def make_pair(folder: Path) -> None:
    """Two cubes and label images of Houston's size."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SIZE[:2], np.uint8)
    labels[::20, ::20] = 1 + rng.integers(0, CLASSES, labels[::20, ::20].shape)
    cubes = [rng.integers(0, 4000, SIZE, dtype=np.uint16) for _ in range(2)]
    pair = DomainPair(
        name="houston_size",
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        colours=("#000000",) * CLASSES,
        source_cube=cubes[0],
        source_labels=labels,
        target_cube=cubes[1],
        development_labels=labels,
        authors_settings="houston",
        authors_scale=(1.0, 1.0),
        fingerprint="0" * 16,
    )
    unpack_pair(pair, folder)


def trial(folder: Path, shared: bool) -> None:
    """What a worker holds before its first epoch; says two lines, waits for one in between."""
    import agsgtl.tuning.worker  # noqa: F401 - what a worker imports
    from agsgtl.training.inputs import normalised_cubes

    print("imported", *memory(), flush=True)
    sys.stdin.readline()
    pair = map_pair(folder, "houston_size")
    cubes = normalised_cubes(pair if shared else dataclasses.replace(pair, shared=None), "per_domain", "cpu")
    for cube in cubes:
        cube.sum()
    print("ready", flush=True)
    sys.stdin.readline()
    print("measured", *memory(), flush=True)
    sys.stdin.readline()


def memory() -> tuple[float, float]:
    """This process's USS and PSS in MiB."""
    kib = {"Private_Clean:": 0, "Private_Dirty:": 0, "Pss:": 0}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        name, *rest = line.split()
        if name in kib:
            kib[name] = int(rest[0])
    return (kib["Private_Clean:"] + kib["Private_Dirty:"]) / 1024, kib["Pss:"] / 1024


def measure(folder: Path, count: int, shared: bool) -> list[tuple[float, float, float]]:
    """Of each of so many processes at once: USS with the imports alone, then USS and PSS with the cubes."""
    command = [sys.executable, "-m", "benchmarks.memory", "--trial", str(folder)] + (["--shared"] if shared else [])
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    imported = [float(_said(process)[1]) for process in started]
    for process in started:
        _go_on(process)
    for process in started:
        _said(process)
    found = []
    for process, alone in zip(started, imported, strict=True):
        _go_on(process)
        _, uss, pss = _said(process)
        found.append((alone, float(uss), float(pss)))
    for process in started:
        _go_on(process)
        process.wait()
    return found


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    words = process.stdout.readline().split()
    if not words:
        raise SystemExit(f"a process ended with {process.wait()}")
    return words


def main() -> int:
    """Prints a table; exit code 1 where one more trial costs more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--trial", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shared", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.trial:
        trial(chosen.trial, chosen.shared)
        return 0
    print(
        "| cubes | trials at once | USS with imports alone | USS a trial | sum of PSS | one more costs |\n|---|---|---|---|---|---|"
    )
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="agsgtl-memory-") as folder:
        make_pair(Path(folder))
        for shared in (False, True):
            sums = []
            for count in range(1, chosen.processes + 1):
                found = measure(Path(folder), count, shared)
                sums.append(sum(pss for _, _, pss in found))
                more = sums[-1] - sums[-2] if len(sums) > 1 else 0.0
                worst = max(worst, more) if shared else worst
                alone, uss = (max(column) for column in list(zip(*found, strict=True))[:2])
                print(
                    f"| {'shared' if shared else 'of its own'} | {count} | {alone:.0f} MiB | {uss:.0f} MiB | {sums[-1]:.0f} MiB | "
                    f"{f'{more:.0f} MiB' if len(sums) > 1 else ''} |",
                    flush=True,
                )
    return int(worst > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main())

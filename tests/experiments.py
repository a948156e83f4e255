"""Experiment files on the tiny pair, for tests of searches and sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quick import QUICK
from tiny import write_tiny_pair

from agsgtl.yamlfile import write_yaml

SPACE = {"adapt.target_learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}}


def write_experiment(folder: Path, spaces: dict[str, dict[str, Any]] | None = None, **changes: Any) -> Path:
    """`folder/experiment.yaml` with its pair and search spaces; `changes` replace keys, nested ones as `search__trials`."""
    pair = write_tiny_pair(folder)
    spaces = {"agsgtl": SPACE, "fine_tune": SPACE} if spaces is None else spaces
    for method, space in spaces.items():
        (folder / f"{method}_space.yaml").write_text(write_yaml(space))
    content: dict[str, Any] = {
        "name": "tiny",
        "pairs": [pair.name],
        "trial": dict(QUICK),
        "search": {"spaces": {method: f"{method}_space.yaml" for method in spaces}, "trials": 5, "startup_trials": 2},
        "confirm": {"methods": ["source_only", "lda", *spaces], "seeds": [41, 50]},
    }
    for key, value in changes.items():
        place, _, name = key.rpartition("__")
        (content.setdefault(place, {}) if place else content)[name or key] = value
    path = folder / "experiment.yaml"
    path.write_text(write_yaml(content))
    return path

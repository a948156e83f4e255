"""What a dry run counts, with the timing of epochs left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agsgtl.config import Config
from agsgtl.tuning import dryrun

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"


def test_every_study_and_every_confirmation_is_counted_at_each_k(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: Counter[tuple[str, str, int]] = Counter()

    def training_s(experiment: Any, method: str, pair: str, config: Config) -> float:
        timed[method, pair, config.labels.per_class] += 1
        return 60.0

    monkeypatch.setattr(dryrun, "_training_s", training_s)
    monkeypatch.setattr(dryrun, "usable_cpus", lambda: 1)
    said = dryrun.describe(EXPERIMENTS / "labels.yaml", tmp_path)
    pairs, counts = ("indian_pines/west_to_east", "indian_pines/south_to_north"), (3, 5)
    expected = {"fine_tune": 2, "agsgtl": 2, "lda": 1}  # a study and its winner; confirmed alone
    assert timed == {(method, pair, k): n for method, n in expected.items() for pair in pairs for k in counts}
    trainings = 8 * 40 + 12 * 10
    assert f"about {trainings} min with 1 trials" in said
    assert not any(tmp_path.iterdir())

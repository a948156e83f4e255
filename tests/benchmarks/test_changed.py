from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import PAIR, write_ledger

from agsgtl.config import Config
from benchmarks import changed

DECAY = "adapt.adversarial_schedule=decay"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The schedules and seeds that were trained with; a decaying one is worth two points more."""
    calls: list[tuple[str, int]] = []

    def worth(config: Config, method: str, pair: str, seed: int, source_models: Path) -> dict[str, float]:
        schedule = config.adapt.adversarial_schedule
        calls.append((schedule, seed))
        return {"one grid": 0.5 + 0.01 * seed + 0.02 * (schedule == "decay")}

    monkeypatch.setattr(changed, "worth", worth)
    monkeypatch.setattr(changed, "map_pair", lambda results, name: name)
    return calls


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["changed", *arguments])
    changed.main()


def test_each_winner_is_trained_with_and_without_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], called: list[tuple[str, int]]
) -> None:
    results = write_ledger(tmp_path / "demo")
    run(monkeypatch, str(results), "--set", DECAY, "--seeds", "1,2")
    out = capsys.readouterr().out
    assert f"| agsgtl | {PAIR} | 3 | 2 | 52.0 | 54.0 |" in out
    assert called[:4] == [("constant", 1), ("decay", 1), ("constant", 2), ("decay", 2)]
    assert "agsgtl: +2.0 points, 95 % t interval +2.0 to +2.0, n = 2 seeds" in out


@pytest.mark.parametrize("method", ["fine_tune", "agsgtll", "lda"])
def test_a_method_that_the_change_cannot_touch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: list[tuple[str, int]], method: str
) -> None:
    results = write_ledger(tmp_path / "demo")
    with pytest.raises(
        SystemExit, match=f"^{method}: has no winner in .*, or reads nothing of adapt.adversarial_schedule"
    ):
        run(monkeypatch, str(results), "--set", DECAY, "--seeds", "1", "--methods", method)
    assert called == []

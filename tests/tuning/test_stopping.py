from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from agsgtl.tuning.stopping import StopRequest, stop_file


class Gone(io.StringIO):
    """A terminal that has hung up."""

    def write(self, text: str) -> int:
        raise OSError("Input/output error")


def test_workers_learn_of_a_stop_whether_or_not_it_can_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    request = StopRequest(tmp_path, lease=3, on_stop=lambda: stopped.append(True))
    monkeypatch.setattr(sys, "stderr", Gone())
    with pytest.raises(OSError, match="Input/output error"):
        request.ask()
    assert (stopped, stop_file(tmp_path, lease=3).exists()) == ([True], True)

"""The command that `agsgtl explain` prints makes the class map behind a number again, bit for bit."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agsgtl.reporting.explain import explain_cell
from agsgtl.reporting.ledger import Ledger, TrialFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_AGAIN = re.compile(r"^\S+  (?P<folder>\S+)$.*?^    again: (?P<command>agsgtl run .+?)$", re.M | re.S)


@pytest.mark.parametrize("method", ["agsgtl", "fine_tune", "lda"])
def test_the_printed_command_makes_the_same_class_map(
    undisturbed: tuple[Path, Path, str], tmp_path: Path, method: str
) -> None:
    swept = undisturbed[1] / "tiny"
    record = next(
        folder for folder in Ledger(swept).confirmations() if folder.path.match(f"confirm/{method}/tiny/3/41")
    )
    found = _AGAIN.search(explain_cell([swept], f"{method}:tiny"))
    assert found is not None
    assert Path(found["folder"]) == record.path
    command = [sys.executable, "-m", *shlex.split(found["command"]), "--out", str(tmp_path / "again")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=swept.parent, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    again = TrialFolder(tmp_path / "again").class_map()
    assert again.shape[0] == 1
    np.testing.assert_array_equal(again, record.class_map())
    assert (tmp_path / "again" / "class_map.npy").read_bytes() == (record.path / "class_map.npy").read_bytes()

from __future__ import annotations

from pathlib import Path

from agsgtl.laststate import BEST, LAST, LastState
from agsgtl.reporting.ledger import TrialFolder
from benchmarks.checkpoints import seconds, trained


def test_what_is_timed_writes_both_files_of_a_trial(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    assert seconds(trained(4, 4), LastState(folder.start_attempt(), "test"), keeps=False) > 0
    assert {file.name for file in folder.checkpoint.iterdir()} == {LAST, BEST}

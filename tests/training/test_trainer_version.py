"""The guard of TRAINER_VERSION: what each method gives on the tiny pair, written down for the version that gives it.

A change that alters these numbers makes old records incomparable: raise TRAINER_VERSION, then write the new numbers down
(`python -m pytest tests/training/test_trainer_version.py` prints them). Numbers and not a hash, since processors differ
in the last bits.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quick import quick_config

from agsgtl.data.pairing import DomainPair
from agsgtl.seeds import Seeds
from agsgtl.training import TRAINER_VERSION
from agsgtl.training.methods import METHODS
from agsgtl.trial import debug_setup, run_trial

WRITTEN_DOWN = json.loads((Path(__file__).parents[1] / "data" / "trainer_versions.json").read_text())
EVERYTHING_ON = {
    "loss__target_segmentation": 1.0,
    "loss__entropy": 0.1,
    "loss__unlabelled_adversarial": 0.1,
    "attention__target": True,
    "adapt__early_stop": "none",
}


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].reads & {"adapt.epochs"}])
def test_this_version_gives_the_numbers_written_down_for_it(tiny_pair: DomainPair, method: str) -> None:
    config = quick_config(**EVERYTHING_ON)
    setup = debug_setup(tiny_pair, config, method, Seeds(labels=0, init=0), "target_validation")
    losses = run_trial(config, tiny_pair, setup).outcomes[0].losses
    expected = WRITTEN_DOWN.get(str(TRAINER_VERSION), {}).get(method)
    assert losses == pytest.approx(expected, rel=1e-3), (
        f"raise TRAINER_VERSION and write down {json.dumps({method: losses})}"
    )

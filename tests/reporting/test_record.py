"""An older file means what it meant when it was written."""

from __future__ import annotations

import json
from pathlib import Path

from synthetic import PAIR, make_record

from agsgtl.config import ADDED_LATER, HYPERPARAMETERS
from agsgtl.reporting.record import Ask, Identity, outcome_hash, read_document
from agsgtl.seeds import Seeds


def test_what_ran_before_a_hyperparameter_was_known_keeps_its_hash_and_names_its_value(tmp_path: Path) -> None:
    identity = Identity(experiment="demo", kind="search", method="agsgtl", pair=PAIR, per_class=3, number=0)
    ask, _ = make_record(identity, [Seeds(labels=0, init=0)], 0.5)
    for path, value in ADDED_LATER.items():
        older = ask.model_dump(mode="json") | {"config": {p: v for p, v in ask.config.items() if p != path}}
        (tmp_path / "ask.json").write_text(json.dumps(older))
        read = read_document(Ask, tmp_path / "ask.json")
        assert read.config[path] == value
        assert read == ask
        assert outcome_hash(ask, older["config"], ask.pair_fingerprint, ask.trainer_version) == ask.config_hash
        other = next(choice for choice in HYPERPARAMETERS[path].choices if choice != value)
        assert ask.model_copy(update={"config": {**ask.config, path: other}}).config_hash != ask.config_hash

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from quick import quick_config, setup_of

from agsgtl.data.labels import LabelDraw, draw_labels
from agsgtl.data.pairing import DomainPair
from agsgtl.trial import run_trial
from benchmarks import crossvalidation
from benchmarks.crossvalidation import fold_scores, other_folds


def test_each_labelled_pixel_validates_once(tiny_pair: DomainPair) -> None:
    draw = draw_labels(tiny_pair, per_class=4, validation_per_class=2, seed=3)
    labelled = draw.target_train + draw.target_validation
    folds = [draw, *other_folds(draw, 4, 2, seed=3)]
    assert len(folds) == 3
    assert np.array_equal(sum(fold.target_validation.astype(int) for fold in folds), labelled)
    for fold in folds:
        assert np.array_equal(fold.target_train + fold.target_validation, labelled)
        assert set(np.unique(fold.target_validation[labelled > 0], return_counts=True)[1][1:]) == {2}
        assert fold.source_train is draw.source_train


@pytest.mark.parametrize(("k", "v"), [(3, 2), (2, 2)])
def test_too_few_pixels_for_folds_are_refused(tiny_pair: DomainPair, k: int, v: int) -> None:
    draw = draw_labels(tiny_pair, per_class=k, validation_per_class=v, seed=0)
    with pytest.raises(ValueError, match=f"k = {k} training pixels a class make no folds of v = {v}"):
        next(other_folds(draw, k, v, seed=0))


@pytest.mark.parametrize("device", ["cpu", "cuda"])  # a ledger that was made on a GPU is read where there is none
def test_the_same_fold_gives_the_recorded_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_pair: DomainPair, device: str
) -> None:
    config = quick_config(labels__per_class=4, labels__validation_per_class=2)
    record = run_trial(config, tiny_pair, setup_of(tiny_pair, "fine_tune", select="target_probability"))
    record = record.model_copy(update={"config": {**record.config, "runtime.device": device}})

    def the_draw_itself(draw: LabelDraw, *_: int) -> list[LabelDraw]:
        return [draw]

    monkeypatch.setattr(crossvalidation, "map_pair", lambda results, name: tiny_pair)
    _, *others = fold_scores(tmp_path, record)
    monkeypatch.setattr(crossvalidation, "other_folds", the_draw_itself)
    assert fold_scores(tmp_path, record) == [record.score, record.score]
    assert len(others) == 2
    assert record.score not in others

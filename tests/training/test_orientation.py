from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quick import quick_config

from agsgtl.data.pairing import DomainPair
from agsgtl.seeds import Seeds
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.methods import METHODS
from agsgtl.training.orientation import Orientation, drawn_orientation
from agsgtl.trial import source_inputs

RANDOM = quick_config(adapt__orientation="random").adapt
READ_IT = [name for name in METHODS if "adapt.orientation" in METHODS[name].reads]


@pytest.fixture
def inputs(tiny_pair: DomainPair) -> TrainingInputs:
    return source_inputs(quick_config(), tiny_pair, Seeds(labels=0, init=0))


@given(st.sets(st.sampled_from([2, 3])), st.booleans(), st.integers(1, 5), st.integers(1, 5))
def test_an_orientation_is_undone_exactly(flipped: set[int], transposed: bool, height: int, width: int) -> None:
    maps = torch.arange(2 * 3 * height * width).reshape(2, 3, height, width)
    orientation = Orientation(tuple(sorted(flipped)), transposed)
    seen = orientation.of(maps)
    assert seen.shape[2:] == ((width, height) if transposed else (height, width))
    assert torch.equal(orientation.undone(seen), maps)


def test_all_eight_orientations_are_drawn_about_equally_often() -> None:
    drawn = Counter(drawn_orientation(RANDOM, 0, epoch, step) for epoch in range(200) for step in range(8))
    assert len(drawn) == 8
    assert min(drawn.values()) > 0.7 * 200


def test_a_fixed_orientation_is_the_scene_itself() -> None:
    maps = torch.rand(1, 2, 3, 4)
    assert drawn_orientation(quick_config().adapt, 0, 1, 0).of(maps) is maps


@pytest.mark.parametrize("name", READ_IT)
def test_every_method_that_reads_it_trains_otherwise_with_it(name: str, inputs: TrainingInputs) -> None:
    losses = []
    for kind in ("fixed", "random", "random"):
        config = quick_config(adapt__orientation=kind)
        source = METHODS["target_only"].start(config, inputs, {}, 0).weights()
        losses.append(METHODS[name].start(config, inputs, source, 0).train_epoch(1))
    assert losses[0] != losses[1]
    assert losses[1] == losses[2]

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quick import quick_config

from agsgtl.data.pairing import DomainPair
from agsgtl.errors import UserError
from agsgtl.models.view import AS_IT_LIES, Orientation, PoolingGrid, View
from agsgtl.seeds import Seeds
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.methods import METHODS
from agsgtl.training.views import drawn_view
from agsgtl.trial import source_inputs

CHOICES = ("orientation", "pooling_grid")
RECORDED = [
    View(Orientation((2, 3)), PoolingGrid(2, 2)),
    View(Orientation(transposed=True), PoolingGrid(0, 2)),
    View(Orientation((3,), transposed=True), PoolingGrid(3, 3)),
]
"""Of seed 5, epoch 2: another draw under the same `TRAINER_VERSION` would pass one result off as another."""


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


@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 5), st.integers(1, 5))
def test_a_grid_is_undone_exactly_and_puts_only_zeros_ahead(rows: int, columns: int, height: int, width: int) -> None:
    maps = torch.rand(2, 3, height, width)
    gridded = PoolingGrid(rows, columns).of(maps)
    assert gridded.shape[2:] == (height + rows, width + columns)
    assert torch.equal(PoolingGrid(rows, columns).undone(gridded), maps)
    assert gridded.sum() == pytest.approx(maps.sum().item())


def drawn(**settings: str) -> Counter[View]:
    config = quick_config(**{f"adapt__{name}": value for name, value in settings.items()})
    return Counter(drawn_view(config, 0, epoch, step) for epoch in range(200) for step in range(16))


def test_all_eight_orientations_are_drawn_about_equally_often() -> None:
    found = drawn(orientation="random")
    assert len(found) == 8
    assert min(found.values()) > 0.7 * 400
    assert {view.grid for view in found} == {PoolingGrid()}


def test_all_sixteen_grids_are_drawn_about_equally_often() -> None:
    found = drawn(pooling_grid="random")
    assert {view.grid for view in found} == {PoolingGrid(rows, columns) for rows in range(4) for columns in range(4)}
    assert min(found.values()) > 0.7 * 200
    assert {view.orientation for view in found} == {Orientation()}


def test_what_is_drawn_stays_what_it_was_when_results_were_recorded() -> None:
    config = quick_config(adapt__orientation="random", adapt__pooling_grid="random")
    assert [drawn_view(config, 5, 2, step) for step in range(3)] == RECORDED


def test_one_choice_does_not_move_the_draws_of_the_other() -> None:
    turned, both = (quick_config(adapt__orientation="random", adapt__pooling_grid=kind) for kind in ("fixed", "random"))
    for step in range(20):
        assert drawn_view(turned, 3, 1, step).orientation == drawn_view(both, 3, 1, step).orientation


def test_the_deeper_family_has_the_larger_grid() -> None:
    settings = {"model__family": "depthwise", "model__width": 21, "model__discriminator_width": 21}
    config = quick_config(**settings, adapt__pooling_grid="random")
    assert {drawn_view(config, 0, 1, step).grid.rows for step in range(300)} == set(range(16))


def test_fixed_is_the_scene_itself() -> None:
    maps = torch.rand(1, 2, 3, 4)
    view = drawn_view(quick_config(), 0, 1, 0)
    assert view == AS_IT_LIES
    assert view.grid.of(view.orientation.of(maps)) is maps


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", [name for name in METHODS if "adapt.orientation" in METHODS[name].reads])
def test_every_method_that_reads_it_trains_otherwise_with_it(name: str, choice: str, inputs: TrainingInputs) -> None:
    losses = []
    for kind in ("fixed", "random", "random"):
        config = quick_config(**{f"adapt__{choice}": kind})
        source = METHODS["target_only"].start(config, inputs, {}, 0).weights()
        losses.append(METHODS[name].start(config, inputs, source, 0).train_epoch(1))
    assert losses[0] != losses[1]
    assert losses[1] == losses[2]


def test_both_choices_are_read_by_the_same_methods() -> None:
    assert all(len({f"adapt.{choice}" in method.reads for choice in CHOICES}) == 1 for method in METHODS.values())


@pytest.mark.parametrize("view", CHOICES)
def test_the_discriminator_knows_the_views_that_the_targets_steps_draw(view: str, inputs: TrainingInputs) -> None:
    losses = []
    for kind in ("fixed", "random"):
        config = quick_config(adapt__discriminator_view=kind, **{f"adapt__{view}": "random"})
        source = METHODS["target_only"].start(config, inputs, {}, 0).weights()
        losses.append(METHODS["agsgtl"].start(config, inputs, source, 0).train_epoch(1)["discriminator"])
    assert losses[0] != losses[1]


def test_a_discriminator_cannot_see_views_that_nobody_draws() -> None:
    with pytest.raises(UserError, match=r"needs adapt.orientation or adapt.pooling_grid random"):
        quick_config(adapt__discriminator_view="random")

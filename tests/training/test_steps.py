"""What a GPU repeats is what the step does; the parts that need no GPU are tested without one."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from quick import quick_config
from torch import Tensor

from agsgtl.garbage import without_garbage_collection
from agsgtl.models.view import AS_IT_LIES, Orientation, View
from agsgtl.training import steps
from agsgtl.training.methods import METHODS
from agsgtl.training.steps import WARM_UP, Recordings, _leaves, _with_tensors, adam, stepped
from agsgtl.training.training import Training
from benchmarks.epoch import made_up_inputs

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
TURNED = View(Orientation(flipped=(2,), transposed=True))
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@dataclass(frozen=True)
class Maps:
    first: Tensor
    others: tuple[Tensor, ...]
    name: str


def test_arguments_are_put_together_from_their_leaves() -> None:
    one, two, three, four = (torch.tensor(number) for number in range(4))
    arguments = (Maps(one, (two,), "maps"), None, three, AS_IT_LIES)
    leaves = list(_leaves(arguments))
    assert [leaf for leaf in leaves if isinstance(leaf, Tensor)] == [one, two, three]
    assert {"maps", None, False} <= {leaf for leaf in leaves if not isinstance(leaf, Tensor)}
    again = _with_tensors(arguments, iter((four, three, two)))
    assert again == (Maps(four, (three,), "maps"), None, two, AS_IT_LIES)


def test_views_are_told_apart_by_their_leaves() -> None:
    assert list(_leaves(TURNED)) != list(_leaves(AS_IT_LIES))


def test_a_cpu_runs_the_step_itself() -> None:
    calls: list[Tensor] = []
    recordings, maps = Recordings(CPU), torch.zeros(2)
    for _ in range(WARM_UP + 2):
        assert recordings.run(lambda maps: calls.append(maps) or maps + 1, maps).tolist() == [1.0, 1.0]
    assert len(calls) == WARM_UP + 2
    assert all(seen is maps for seen in calls)


def test_a_step_goes_down_the_gradient_and_gives_the_loss_from_before() -> None:
    weight = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = adam([weight], learning_rate=0.5)
    weight.grad = torch.tensor(100.0)  # of some other loss
    loss = stepped(optimizer, weight**2)
    assert (loss.item(), loss.requires_grad, weight.grad.item()) == (4.0, False, 4.0)
    assert weight.item() == pytest.approx(1.5)


@pytest.mark.parametrize("name", ["agsgtl", "fine_tune"])
def test_a_training_that_nobody_holds_is_gone_at_once(name: str) -> None:
    gc.collect()
    with without_garbage_collection():
        training = started(name, "cpu")
        training.train_epoch(1)
        alive = weakref.ref(training)
        del training
        assert alive() is None


def test_values_are_recorded_when_they_come_again_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = Recordings(CUDA if torch.cuda.is_available() else CPU)
    first = [recordings._is_due("one") for _ in range(WARM_UP + 1)]
    assert first == [False] * WARM_UP + [True]
    assert [recordings._is_due(name) for name in ("two", "three", "two")] == [False, False, True]
    monkeypatch.setattr(steps, "MOST_RECORDINGS", 0)
    assert not recordings._is_due("one")


class Counted:
    """A step in PyTorch's arithmetic that also counts how often Python ran it."""

    def __init__(self) -> None:
        self.runs = 0
        self.total = torch.zeros((), device="cuda")

    def __call__(self, maps: Tensor, factor: float) -> Tensor:
        self.runs += 1
        self.total += maps.sum() * factor
        return self.total * 1


@ON_GPU
def test_a_gpu_records_after_the_warm_up_and_goes_on_as_before() -> None:
    counted, recordings, maps = Counted(), Recordings(CUDA), torch.ones(3, device="cuda")
    assert [recordings.run(counted, maps, 1.0).item() for _ in range(8)] == [3.0 * (call + 1) for call in range(8)]
    assert counted.runs == WARM_UP + 1


@ON_GPU
def test_other_tensors_and_other_values_are_what_the_step_sees() -> None:
    recordings = Recordings(CUDA)

    def step(maps: Tensor, factor: float) -> Tensor:
        return maps.sum() * factor

    for round_number in range(2 * WARM_UP + 4):
        maps = torch.full((3,), float(round_number), device="cuda")
        for factor in (1.0, 2.0):
            assert recordings.run(step, maps, factor).item() == 3 * round_number * factor
    assert recordings.run(step, torch.ones(5, device="cuda"), 2.0).item() == 10  # of another shape


@ON_GPU
def test_what_spoils_a_recording_is_what_is_raised_and_the_next_one_is_whole() -> None:
    recordings, maps = Recordings(CUDA), torch.ones(3, device="cuda")
    stream = torch.cuda.current_stream()

    def fails(maps: Tensor) -> Tensor:
        if torch.cuda.is_current_stream_capturing():
            raise torch.OutOfMemoryError("too little")
        return maps.sum()

    def waits(maps: Tensor) -> Tensor:
        return maps.sum() * maps.sum().item()  # spoils a recording on the device's side

    for step, error in ((fails, torch.OutOfMemoryError), (waits, RuntimeError)):
        recordings.forget()
        for _ in range(WARM_UP):
            recordings.run(step, maps)
        with pytest.raises(error):
            recordings.run(step, maps)
        assert torch.cuda.current_stream() == stream
    recordings.forget()
    assert [recordings.run(torch.sum, maps).item() for _ in range(WARM_UP + 3)] == [3.0] * (WARM_UP + 3)


def started(name: str, device: str, size: tuple[int, int, int] = (48, 56, 21), **settings: Any) -> Training:
    """A training on a made-up pair, from a segmenter that has learned nothing."""
    config = quick_config(**{"runtime__device": device, "adapt__early_stop": "none", **settings})
    inputs = made_up_inputs(size, device)
    source = METHODS["target_only"].start(config, inputs, {}, 0).weights()
    return METHODS[name].start(config, inputs, source, 0)


def course(training: Training) -> tuple[list[dict[str, float]], Tensor, float]:
    """The losses of eight epochs, and what is judged at their end."""
    epochs = [training.train_epoch(epoch) for epoch in range(1, 9)]
    losses = [{key: float(value) for key, value in epoch.items()} for epoch in epochs]
    return losses, training.target_logits(), training.target_cross_entropy()


@ON_GPU
@pytest.mark.parametrize("name", ["agsgtl", "fine_tune", "source_and_target"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"adapt__extent": "windows", "adapt__source_pixels_per_class": 1, "size": (200, 300, 5)},
        {"adapt__orientation": "random", "adapt__discriminator_view": "random", "adapt__target_steps": 6},
        {"adapt__orientation": "random", "adapt__pooling_grid": "random", "adapt__target_steps": 40},
        {"adapt__adversarial_schedule": "decay", "loss__target_segmentation": 1.0, "loss__entropy": 0.1},
        {"loss__unlabelled_adversarial": 0.5, "attention__target": False, "adapt__train_classifier": True},
        {"adapt__early_stop": "target_ce", "adapt__early_stop_target_ce": 0.0, "adapt__keep": "lowest_target_ce"},
        {"runtime__precision": "bfloat16", "adapt__ema_decay": 0.9},
        {
            "model__family": "depthwise",
            "attention__target": False,
            "model__width": 21,
            "model__discriminator_width": 21,
        },
    ],
    ids=str,
)
def test_recorded_trainings_give_the_numbers_of_trainings_that_are_not(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replay, replays = torch.cuda.CUDAGraph.replay, []
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda recording: (replays.append(1), replay(recording))[1])
    losses, logits, cross_entropy = course(started(name, "cuda", **settings))
    assert replays
    replays.clear()
    monkeypatch.setattr(steps, "MOST_RECORDINGS", 0)
    plain_losses, plain_logits, plain_cross_entropy = course(started(name, "cuda", **settings))
    assert not replays
    assert (losses, cross_entropy) == (plain_losses, plain_cross_entropy)
    assert torch.equal(logits, plain_logits)


@ON_GPU
@pytest.mark.parametrize("name", ["agsgtl", "fine_tune"])
def test_a_resumed_training_goes_on_with_the_same_numbers(name: str) -> None:
    straight, resumed = started(name, "cuda"), started(name, "cuda")
    for epoch in (1, 2, 3, 4):
        straight.train_epoch(epoch)
        resumed.train_epoch(5 - epoch)  # it has recordings of its own by then
    resumed.load_state({key: value.clone() for key, value in straight.state().items()})
    for epoch in (5, 6, 7, 8):
        assert straight.train_epoch(epoch) == resumed.train_epoch(epoch)
    assert torch.equal(straight.target_logits(), resumed.target_logits())

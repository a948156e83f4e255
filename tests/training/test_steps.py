"""What a GPU repeats is what the step does; the parts that need no GPU are tested without one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from quick import quick_config
from torch import Tensor

from agsgtl.models.view import AS_IT_LIES, Orientation, View
from agsgtl.training.methods import METHODS
from agsgtl.training.steps import WARM_UP, Repeated, _leaves, _with_tensors, adam, stepped
from benchmarks.epoch import made_up_inputs

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
TURNED = View(Orientation(flipped=(2,), transposed=True))


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
    step = Repeated(lambda maps: calls.append(maps) or maps + 1, torch.device("cpu"))
    maps = torch.zeros(2)
    assert [step(maps).tolist() for _ in range(WARM_UP + 2)] == [[1.0, 1.0]] * (WARM_UP + 2)
    assert all(seen is maps for seen in calls)


def test_a_step_goes_down_the_gradient_and_gives_the_loss_from_before() -> None:
    weight = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = adam([weight], learning_rate=0.5)
    weight.grad = torch.tensor(100.0)  # of some other loss
    loss = stepped(optimizer, weight**2)
    assert (loss.item(), loss.requires_grad, weight.grad.item()) == (4.0, False, 4.0)
    assert weight.item() == pytest.approx(1.5)


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
    counted = Counted()
    step, maps = Repeated(counted, torch.device("cuda")), torch.ones(3, device="cuda")
    assert [step(maps, 1.0).item() for _ in range(8)] == [3.0 * (call + 1) for call in range(8)]
    assert counted.runs == WARM_UP + 1


@ON_GPU
def test_other_tensors_and_other_values_are_what_the_step_sees() -> None:
    step = Repeated(lambda maps, factor: maps.sum() * factor, torch.device("cuda"))
    for round_number in range(2 * WARM_UP + 4):
        maps = torch.full((3,), float(round_number), device="cuda")
        for factor in (1.0, 2.0):
            assert step(maps, factor).item() == 3 * round_number * factor
    assert step(torch.ones(5, device="cuda"), 2.0).item() == 10  # of another shape


@ON_GPU
@pytest.mark.parametrize("name", ["agsgtl", "fine_tune", "source_and_target"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"adapt__extent": "windows"},
        {"adapt__orientation": "random", "adapt__discriminator_view": "random", "adapt__pooling_grid": "random"},
        {"adapt__adversarial_schedule": "decay", "loss__target_segmentation": 1.0, "loss__entropy": 0.1},
        {"loss__unlabelled_adversarial": 0.5, "attention__target": False, "adapt__train_classifier": True},
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
    name: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses() -> list[dict[str, float]]:
        config = quick_config(runtime__device="cuda", adapt__early_stop="none", **settings)
        inputs = made_up_inputs((48, 56, 21), "cuda")
        source = METHODS["target_only"].start(config, inputs, {}, 0).weights()
        training = METHODS[name].start(config, inputs, source, 0)
        found = [training.train_epoch(epoch) for epoch in range(1, 9)]
        return [{key: float(value) for key, value in epoch.items()} for epoch in found]

    recorded = losses()
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self: pytest.fail("nothing is recorded"))
    monkeypatch.setattr("agsgtl.training.steps.WARM_UP", 10**9)
    assert losses() == recorded


@ON_GPU
@pytest.mark.parametrize("name", ["agsgtl", "fine_tune"])
def test_a_resumed_training_goes_on_with_the_same_numbers(name: str) -> None:
    config = quick_config(runtime__device="cuda", adapt__early_stop="none")
    inputs = made_up_inputs((48, 56, 21), "cuda")
    source = METHODS["target_only"].start(config, inputs, {}, 0).weights()
    straight, resumed = (METHODS[name].start(config, inputs, source, 0) for _ in range(2))
    for epoch in (1, 2, 3, 4):
        straight.train_epoch(epoch)
        resumed.train_epoch(5 - epoch)  # it has recordings of its own by then
    resumed.load_state({key: value.clone() for key, value in straight.state().items()})
    for epoch in (5, 6, 7, 8):
        assert straight.train_epoch(epoch) == resumed.train_epoch(epoch)
    assert torch.equal(straight.target_logits(), resumed.target_logits())

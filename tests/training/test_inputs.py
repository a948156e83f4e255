"""Cubes over shared memory train as cubes of their own do: the same order in memory, the same gradients to the last bit."""

from __future__ import annotations

import weakref
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.normalisation import fit_scaling
from agsgtl.data.pairing import DomainPair
from agsgtl.data.sharing import normalised_pixels
from agsgtl.training import inputs
from agsgtl.training.inputs import as_networks_read, normalised_cubes


def mapped_cube(pair: DomainPair, folder: Path) -> Tensor:
    unpack_pair(pair, folder)
    return as_networks_read(normalised_pixels(map_pair(folder, pair.name), "per_domain")[0])


def cube_of_its_own(pair: DomainPair) -> Tensor:
    """The same cube band by band, put into the networks' order by PyTorch."""
    by_bands = torch.from_numpy(fit_scaling(pair, "per_domain")[0].apply(pair.source_cube))
    return by_bands.contiguous(memory_format=torch.channels_last)


def test_a_mapped_cube_is_the_tensor_that_pytorch_would_make(tiny_pair: DomainPair, tmp_path: Path) -> None:
    mapped, made = mapped_cube(tiny_pair, tmp_path), cube_of_its_own(tiny_pair)
    assert torch.equal(mapped, made)
    assert (mapped.shape, mapped.stride()) == (made.shape, made.stride())
    assert mapped.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("groups", [1, 4])
def test_gradients_over_a_mapped_cube_are_those_over_a_tensor_of_its_own(
    tiny_pair: DomainPair, tmp_path: Path, groups: int
) -> None:
    gradients = []
    for cube in (mapped_cube(tiny_pair, tmp_path), cube_of_its_own(tiny_pair)):
        torch.manual_seed(0)
        network = torch.nn.Conv2d(8, 16, 3, padding=1, groups=groups).to(memory_format=torch.channels_last)
        network(cube).square().mean().backward()
        gradients.append(network.weight.grad.numpy())
    assert np.array_equal(*gradients)


def test_gradients_over_a_mapped_cube_are_right(tiny_pair: DomainPair, tmp_path: Path) -> None:
    cube = mapped_cube(tiny_pair, tmp_path)
    torch.manual_seed(0)
    network = torch.nn.Conv2d(8, 16, 3, padding=1, groups=4)
    exact = torch.nn.Conv2d(8, 16, 3, padding=1, groups=4).double()
    exact.load_state_dict(network.state_dict())
    network.to(memory_format=torch.channels_last)(cube).square().mean().backward()
    exact(cube.double().contiguous()).square().mean().backward()
    assert torch.allclose(network.weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=1e-6)


def test_cubes_are_made_once_for_a_pair(tiny_pair: DomainPair) -> None:
    for device in ("cpu", "meta"):  # "meta" stands for a GPU
        first, again = (normalised_cubes(tiny_pair, "per_domain", device) for _ in range(2))
        assert first[0] is again[0]
        assert first[0].device.type == device


def test_a_gpu_is_cleared_of_one_pairs_cubes_before_anothers_come(tiny_pair: DomainPair) -> None:
    before = weakref.ref(normalised_cubes(tiny_pair, "per_domain", "meta")[0])
    held: list[Tensor | None] = []

    def read(pixels: np.ndarray, device: str) -> Tensor:
        held.append(before())
        return as_networks_read(pixels, device)

    with mock.patch.object(inputs, "as_networks_read", read):
        normalised_cubes(tiny_pair, "none", "meta")
    assert held == [None, None]

"""The networks of `networks.py` in fewer operations: the same functions of the same weights, for training.

A shallow decoder holds no activation: its up-convolutions, concatenations and 1x1 convolutions, and a classifier behind
them, are one linear map of the encoder's three levels. `Folded` composes that map's weights once a step, a matrix a level,
and gradients flow through them into the layers; no map of full size is made but the result. With f features, C results:

    result = fine @ W_fine + up(coarse @ W_coarse + up(deep @ W_deep))

where `up` deals the 4 x C numbers of a pixel out to the 2 x 2 pixels above it. A batch norm is composed with the layer before
it where its statistics are at hand (`moments.py`): in eval mode, in a gate's first layer, and behind a first convolution
whose input stays the same over many steps.

`tests/models/test_folded.py` holds both forms against each other; the golden traces are replayed through this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from agsgtl.models.attention import LEAKY_SLOPE, SpatialAttention
from agsgtl.models.convolution import convolved
from agsgtl.models.moments import Moments, normed_map
from agsgtl.models.networks import Body, Discriminator, Segmenter, ShallowBody
from agsgtl.models.view import AS_IT_LIES, Orientation, View

BLOCK: Final = 4096
"""Pixels of a block of a gate on a CPU: a hundred channels of them fit into the cache of a processor's core."""


def features(body: Body, maps: Tensor, seen: View = AS_IT_LIES) -> Tensor:
    """The feature map (n, width, H, W) of maps as they are seen, back as they lie."""
    return Folded.of(body)(maps, seen=seen) if isinstance(body, ShallowBody) else _as_it_is(body, maps, seen)


def logits(network: Segmenter | Discriminator, maps: Tensor) -> Tensor:
    """`network(maps)`: the logits (n, classes, H, W)."""
    return composed(network)(maps)


class Composed(Protocol):
    """A network as a function from maps to logits.

    `patches` are the maps' moments where they are known; the network looks at the maps in the view `seen`, and what it gives
    lies as the maps do.
    """

    def __call__(self, maps: Tensor, patches: Moments | None = None, seen: View = AS_IT_LIES) -> Tensor:
        """The logits (n, classes, H, W)."""


def composed(network: Segmenter | Discriminator) -> Composed:
    """The network as a function that is good for one step: its weights are composed once, here."""
    if isinstance(network.body, ShallowBody):
        return Folded.of(network.body, network.classifier)
    return lambda maps, patches=None, seen=AS_IT_LIES: _as_it_is(network, maps, seen)


def patches(network: Segmenter | Discriminator, maps: Tensor) -> Moments | None:
    """What a composed network wants to know of maps that it will see again; None where it has no use for it."""
    return Moments.of_patches(maps) if isinstance(network.body, ShallowBody) else None


def attended(attention: SpatialAttention, maps: Tensor) -> Tensor:
    """`attention(maps)`: the gated maps, (n, channels, H, W)."""
    return maps * gate(attention, maps)


@dataclass(frozen=True, eq=False)  # equal tensors have no one truth value
class Folded:
    """A shallow body's encoder, and the composed weights of all that follows it; good until a weight changes.

    `fine` (f, C), `coarse` (2f, 4C) and `deep` (2f, 16C) multiply a level's pixels from the right, the 2 x 2 pixels above
    one in row-major order before the C results; `fine_bias` (C,) and `coarse_bias` (4C,) are what the levels add.
    """

    body: ShallowBody
    fine: Tensor
    fine_bias: Tensor
    coarse: Tensor
    coarse_bias: Tensor
    deep: Tensor

    @classmethod
    def of(cls, body: ShallowBody, head: nn.Conv2d | None = None) -> Self:
        """The composition of `body`'s decoder and, where given, of a 1x1 convolution `head` behind it."""
        with torch.autocast(body.decoder11.weight.device.type, enabled=False):  # weights are never rounded twice
            upper, lower = _matrix(body.decoder11), _matrix(body.decoder22)
            upper_bias = _bias(body.decoder11)
            if head is not None:
                upper_bias = _bias(head) + _matrix(head) @ upper_bias
                upper = _matrix(head) @ upper
            from_up, from_fine = upper.split(body.width, dim=1)
            from_deep, from_coarse = lower.split(2 * body.width, dim=1)
            to_fine = _behind(from_up, body.upconv11)
            to_coarse = _behind(from_deep, body.upconv1)
            lower_bias = _bias(body.decoder22) + from_deep @ _bias(body.upconv1)
            return cls(
                body=body,
                fine=from_fine.T,
                fine_bias=upper_bias + from_up @ _bias(body.upconv11),
                coarse=(to_fine @ from_coarse).T,
                coarse_bias=to_fine @ lower_bias,
                deep=torch.einsum("ai,qij->qaj", to_fine, to_coarse.unflatten(0, (4, -1))).flatten(0, 1).T,
            )

    def __call__(self, maps: Tensor, patches: Moments | None = None, seen: View = AS_IT_LIES) -> Tensor:
        """Features, or the head's logits, (n, C, H, W), channels last in memory."""
        fine = seen.grid.of(_encoded(self.body.encoder1, maps, patches, seen.orientation))
        coarse = _encoded(self.body.encoder5, functional.max_pool2d(fine, 2))
        deep = functional.max_pool2d(coarse, 2)
        lifted = _up(_rows(deep) @ self.deep, deep, coarse) + torch.addmm(self.coarse_bias, _rows(coarse), self.coarse)
        result = _up(lifted, coarse, fine) + torch.addmm(self.fine_bias, _rows(fine), self.fine)
        dense = result.reshape(len(fine), *fine.shape[-2:], -1).permute(0, 3, 1, 2)
        return seen.orientation.undone(seen.grid.undone(dense))


def gate(attention: SpatialAttention, maps: Tensor) -> Tensor:
    """`attention.gate(maps)`: the gate of every pixel, (n, 1, H, W)."""
    rows = _rows(maps if attention.gradient_through_gate else maps.detach())
    (linear, norm), (second, second_norm), *deeper = _layers(attention)
    weight, shift = normed_map(linear.weight, linear.bias, norm, Moments.of_rows(rows) if norm.training else None)
    matrix = torch.cat(
        (weight.T, shift[None])
    )  # a shift as one more input that is always 1: spares a pass over the maps
    rows = torch.cat((rows, rows.new_ones(len(rows), 1)), dim=1)
    # The widest maps of all: block by block, so that they stay in the cache from one layer to the next. A GPU wants them whole.
    blocks = [second(_leaky(block @ matrix)) for block in rows.split(len(rows) if rows.is_cuda else BLOCK)]
    rows = second_norm(blocks[0] if len(blocks) == 1 else torch.cat(blocks))
    for linear, norm in deeper:
        rows = norm(linear(_leaky(rows)))
    opened = attention.floor + (attention.ceiling - attention.floor) * rows.sigmoid()
    return opened.reshape(len(maps), 1, *maps.shape[-2:])  # type: ignore[no-any-return]


def _as_it_is(network: nn.Module, maps: Tensor, seen: View) -> Tensor:
    return seen.orientation.undone(network(seen.orientation.of(maps), seen.grid))


def _encoded(
    encoder: nn.Sequential, maps: Tensor, patches: Moments | None = None, seen: Orientation = AS_IT_LIES.orientation
) -> Tensor:
    """`encoder(seen.of(maps))`, each batch norm composed with its convolution where its statistics are known before.

    The first convolution's kernels are laid otherwise, and not its input, which has the most channels of all.
    """
    for convolution, norm in _convolutions(encoder):
        weight, bias = seen.undone(convolution.weight), convolution.bias
        is_composed = not norm.training or patches is not None
        if is_composed:
            weight, bias = normed_map(weight, bias, norm, patches)
        maps = seen.of(convolved(convolution, maps, weight, bias))
        maps = (maps if is_composed else norm(maps)).relu_()
        patches, seen = None, AS_IT_LIES.orientation
    return maps


def _convolutions(encoder: nn.Sequential) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    layers = list(encoder)
    for convolution, norm in zip(layers[::3], layers[1::3], strict=True):  # every third is a ReLU
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        yield convolution, norm


def _layers(attention: SpatialAttention) -> Iterator[tuple[nn.Linear, nn.BatchNorm1d]]:
    for layer in range(1, attention.depth + 1):
        linear, norm = attention.get_submodule(f"Liner{layer}"), attention.get_submodule(f"Batch{layer}")
        assert isinstance(linear, nn.Linear)
        assert isinstance(norm, nn.BatchNorm1d)
        yield linear, norm


def _leaky(rows: Tensor) -> Tensor:
    return functional.leaky_relu(rows, LEAKY_SLOPE, inplace=True)


def _matrix(convolution: nn.Conv2d) -> Tensor:
    """The matrix (outputs, inputs) of a 1x1 convolution."""
    return convolution.weight[:, :, 0, 0]


def _bias(convolution: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def _behind(matrix: Tensor, upconv: nn.ConvTranspose2d) -> Tensor:
    """A matrix (C, m) behind a transposed 2x2/2 convolution from n to m channels: (4C, n), a block for each of the 2 x 2 pixels."""
    return torch.einsum("cm,nmyx->yxcn", matrix, upconv.weight).flatten(0, 2)


def _rows(maps: Tensor) -> Tensor:
    """Maps (n, C, H, W) as rows (n * H * W, C): a view where channels lie last in memory."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _up(rows: Tensor, level: Tensor, above: Tensor) -> Tensor:
    """Rows (n * h * w, 4C) of a level dealt out to those (n * H * W, C) of the level above; an odd last row or column gets 0."""
    (height, width), (full_height, full_width) = level.shape[-2:], above.shape[-2:]
    dealt = rows.reshape(len(level) * height, width, 2, 2, rows.shape[1] // 4).transpose(1, 2)
    dealt = dealt.reshape(len(level), 2 * height, 2 * width, -1)
    if (full_height, full_width) != dealt.shape[1:3]:
        dealt = functional.pad(dealt, (0, 0, 0, full_width - 2 * width, 0, full_height - 2 * height))
    return dealt.flatten(0, 2)

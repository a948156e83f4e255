"""The two network families: an encoder-decoder gives a feature a pixel, a 1x1 convolution its logits.

Shapes are (1, channels, height, width): a batch is one whole scene. Layers bear the authors' names, so that their
weights load with nothing but a prefix (`authors_weights.py`). Source of every width and layer: Yaghmour et al. 2024,
doi:10.1109/JSTARS.2024.3485528, and the authors' code.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from agsgtl.config import Config
from agsgtl.errors import UserError
from agsgtl.models.attention import SpatialAttention
from agsgtl.models.view import AS_IT_LIES, PoolingGrid

Network = TypeVar("Network", bound=nn.Module)

SPECTRAL_GROUPS = 21
"""Groups of the depthwise segmenter's first convolution; its bands must be a multiple."""


class Body(nn.Module, ABC):
    """An encoder-decoder: (1, inputs, H, W) to one feature vector a pixel, (1, width, H, W), for any H and W."""

    width: int

    @abstractmethod
    def forward(self, maps: Tensor, grid: PoolingGrid = AS_IT_LIES.grid) -> Tensor:
        """The feature map, pooled on a grid."""


@final
class ShallowBody(Body):
    """Two levels, for Houston and Botswana; no activation in the decoder."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = f = width
        self.encoder1 = _encoder(1, (inputs, f, 1), (f, f, 1))
        self.encoder5 = _encoder(5, (f, 2 * f, 1))
        self.upconv1 = nn.ConvTranspose2d(2 * f, 2 * f, 2, stride=2)
        self.decoder22 = nn.Conv2d(4 * f, 2 * f, 1)
        self.upconv11 = nn.ConvTranspose2d(2 * f, f, 2, stride=2)
        self.decoder11 = nn.Conv2d(2 * f, f, 1)

    def forward(self, maps: Tensor, grid: PoolingGrid = AS_IT_LIES.grid) -> Tensor:
        """The feature map, (1, width, H, W)."""
        fine = grid.of(self.encoder1(maps))
        coarse = self.encoder5(functional.max_pool2d(fine, 2))
        decoded = self.decoder22(_joined(self.upconv1, functional.max_pool2d(coarse, 2), coarse))
        return self.decoder11(grid.undone(_joined(self.upconv11, decoded, fine)))  # type: ignore[no-any-return]


@final
class DepthwiseBody(Body):
    """Four levels of grouped convolutions, for C2Seg-AB.

    Args:
        inputs: channels that come in, a multiple of `input_groups`.
        width: f, a multiple of `input_groups`.
        input_groups: groups of the first convolution.
    """

    def __init__(self, inputs: int, width: int, input_groups: int) -> None:
        super().__init__()
        self.width = f = width
        self.encoder1 = _encoder(1, (inputs, f, input_groups), (f, f, f))
        self.encoder2 = _encoder(2, (f, 2 * f, f))
        self.encoder3 = _encoder(3, (2 * f, 4 * f, 2 * f))
        self.encoder4 = _encoder(4, (4 * f, 8 * f, 4 * f))
        self.upconv2 = nn.ConvTranspose2d(8 * f, 8 * f, 2, stride=2, groups=8 * f)
        self.decoder2 = nn.Conv2d(16 * f, 4 * f, 3, padding=1, groups=4 * f)
        self.upconv3 = nn.ConvTranspose2d(4 * f, 4 * f, 2, stride=2, groups=4 * f)
        self.decoder3 = nn.Conv2d(8 * f, 2 * f, 3, padding=1, groups=2 * f)
        self.upconv4 = nn.ConvTranspose2d(2 * f, 2 * f, 2, stride=2, groups=2 * f)
        self.decoder4 = nn.ConvTranspose2d(
            4 * f, f, 3, padding=1, groups=f
        )  # transposed in the authors' code alone here
        self.upconv5 = nn.ConvTranspose2d(f, f, 2, stride=2, groups=f)
        self.decoder5 = nn.Conv2d(2 * f, f, 3, padding=1, groups=f)

    def forward(self, maps: Tensor, grid: PoolingGrid = AS_IT_LIES.grid) -> Tensor:
        """The feature map, (1, width, H, W)."""
        skip1 = grid.of(self.encoder1(maps))
        skip2 = self.encoder2(functional.max_pool2d(skip1, 2))
        skip3 = self.encoder3(functional.max_pool2d(skip2, 2))
        skip4 = self.encoder4(functional.max_pool2d(skip3, 2))
        decoded = self.decoder2(_joined(self.upconv2, functional.max_pool2d(skip4, 2), skip4))
        decoded = self.decoder3(_joined(self.upconv3, decoded, skip3))
        decoded = self.decoder4(_joined(self.upconv4, decoded, skip2))
        return self.decoder5(grid.undone(_joined(self.upconv5, decoded, skip1)))  # type: ignore[no-any-return]


@final
class Segmenter(nn.Module):
    """A cube's features, and through a 1x1 classifier the logits of its K classes.

    `attention` gates the features while the target is adapted; it is carried along unused elsewhere. The depthwise
    family has none.
    """

    def __init__(self, body: Body, classes: int, attention: SpatialAttention | None) -> None:
        super().__init__()
        self.body = body
        self.attention = attention
        self.classifier = nn.Conv2d(body.width, classes, 1)

    def forward(self, cube: Tensor, grid: PoolingGrid = AS_IT_LIES.grid) -> Tensor:
        """Logits (1, K, H, W) of a cube (1, bands, H, W); attention is off, as in the authors' inference."""
        return self.classifier(self.body(cube, grid))  # type: ignore[no-any-return]

    def attended(self, features: Tensor) -> Tensor:
        """The gated feature map."""
        if self.attention is None:
            raise TypeError("the depthwise segmenter has no attention")
        return self.attention(features)  # type: ignore[no-any-return]


@final
class Discriminator(nn.Module):
    """Features to the logits of K classes and, last, of "this is target"; `attention` gates those of the target."""

    def __init__(self, body: Body, classes: int, attention: SpatialAttention) -> None:
        super().__init__()
        self.body = body
        self.classifier = nn.Conv2d(body.width, classes + 1, 1)
        self.attention = attention

    def forward(self, features: Tensor, grid: PoolingGrid = AS_IT_LIES.grid) -> Tensor:
        """Ungated logits (1, K + 1, H, W) of a feature map (1, width, H, W)."""
        return self.classifier(self.body(features, grid))  # type: ignore[no-any-return]


def build_segmenter(config: Config, bands: int, classes: int, seed: int) -> Segmenter:
    """A fresh segmenter of the config's family, initialised by `seed`.

    Raises:
        UserError: the depthwise family cannot take this number of bands.
    """
    settings, gates = config.model, config.attention
    with _seeded(seed):
        if settings.family == "shallow":
            gate = SpatialAttention((settings.width, 2, 1), gates.floor, gates.ceiling, gates.gradient_through_gate)
            return _xavier(Segmenter(ShallowBody(bands, settings.width), classes, gate))
        require_bands(settings.family, bands, "the pair")
        return _xavier(Segmenter(DepthwiseBody(bands, settings.width, SPECTRAL_GROUPS), classes, None))


def require_bands(family: str, bands: int, pair: str) -> None:
    """Refuses a network family that cannot take this number of bands.

    Raises:
        UserError: it cannot; `pair` says whose bands they are.
    """
    if family == "depthwise" and bands % SPECTRAL_GROUPS:
        raise UserError(
            f"model.family depthwise needs a multiple of {SPECTRAL_GROUPS} bands, but {pair} has {bands}; write "
            "`multiple_of_21: pad` or `trim` into the pair's YAML file"
        )


def build_discriminator(config: Config, classes: int, seed: int) -> Discriminator:
    """A fresh discriminator of the config's family, initialised by `seed`."""
    settings, gates = config.model, config.attention
    with _seeded(seed):
        if settings.family == "shallow":
            body: Body = ShallowBody(settings.width, settings.discriminator_width)
        else:
            body = DepthwiseBody(settings.width, settings.discriminator_width, settings.width)
        widths = (classes + 1, gates.hidden_1, gates.hidden_2, 1)
        gate = SpatialAttention(widths, gates.floor, gates.ceiling, gates.gradient_through_gate)
        return _xavier(Discriminator(body, classes, gate))


def placed(network: Network, device: str | torch.device) -> Network:
    """The network on a device, its weights in the order in memory that its convolutions are fastest with."""
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _encoder(level: int, *convolutions: tuple[int, int, int]) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU for each (inputs, outputs, groups)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, (inputs, outputs, groups) in enumerate(convolutions, start=1):
        layers[f"enc{level}conv{index}"] = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)
        layers[f"enc{level}norm{index}"] = nn.BatchNorm2d(outputs)
        layers[f"enc{level}relu{index}"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def _joined(upconv: nn.ConvTranspose2d, coarse: Tensor, skip: Tensor) -> Tensor:
    """`coarse` at the size of `skip` (output padding 0 or 1 a side), stacked before it."""
    return torch.cat((upconv(coarse, output_size=list(skip.shape[-2:])), skip), dim=1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, PyTorch's initialisers draw from `seed` on the CPU; afterwards its generator is as it was, and a GPU's untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _xavier(network: Network) -> Network:
    """The authors' initialisation: Xavier normal, gain sqrt(2) in the encoders and 1 elsewhere; norms untouched."""
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_normal_(module.weight, gain=math.sqrt(2) if ".encoder" in f".{name}" else 1.0)
    return network

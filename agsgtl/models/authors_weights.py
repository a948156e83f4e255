"""The one mapping between the authors' names of weights and ours, and what their shapes say of the network.

theirs                                   ours
encoder*, upconv*, decoder*              body.<same>
final_layer (segmenter), _conv (discriminator)   classifier
attention.*                              attention.*
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from agsgtl.errors import UserError
from agsgtl.models.networks import SPECTRAL_GROUPS

_CLASSIFIERS = {"final_layer.": "segmenter", "_conv.": "discriminator"}


@dataclass(frozen=True)
class NetworkSizes:
    """What a state dict of the authors was made for.

    Attributes:
        network: 'segmenter' or 'discriminator'.
        family: 'shallow' or 'depthwise'.
        inputs: bands of the cube, or channels of the features.
        width: feature channels f.
        outputs: K classes, or K + 1.
    """

    network: str
    family: str
    inputs: int
    width: int
    outputs: int


def from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ours with the authors' weights.

    >>> sorted(from_authors({"_conv.bias": 1, "encoder1.enc1conv1.bias": 2, "attention.Liner1.bias": 3}))
    ['attention.Liner1.bias', 'body.encoder1.enc1conv1.bias', 'classifier.bias']
    """
    return {_our_name(name): value for name, value in weights.items()}


def read_sizes(weights: Mapping[str, Tensor], origin: str) -> NetworkSizes:
    """What a state dict under the authors' names was made for, by its names and shapes.

    Raises:
        UserError: these are no weights of either family.
    """
    networks = [kind for prefix, kind in _CLASSIFIERS.items() if f"{prefix}weight" in weights]
    first, last = weights.get("encoder1.enc1conv1.weight"), weights.get("encoder1.enc1conv2.weight")
    if len(networks) != 1 or first is None or last is None or first.ndim != 4:
        raise UserError(
            f"{origin}: must hold weights under the authors' names (`encoder1.enc1conv1.weight`, `final_layer.weight`, ...), but "
            f"has {', '.join(list(weights)[:3])}, ..."
        )
    kernel = "final_layer.weight" if networks[0] == "segmenter" else "_conv.weight"
    classifier = weights[kernel]
    if classifier.ndim != 4:
        raise UserError(
            f"{origin}: {kernel} must be a kernel (outputs, inputs, height, width), but its shape is {tuple(classifier.shape)}; "
            "give the file of the authors' networks"
        )
    width = first.shape[0]
    family = "shallow" if "encoder5.enc5conv1.weight" in weights else "depthwise"
    groups = 1 if family == "shallow" else SPECTRAL_GROUPS if networks[0] == "segmenter" else width
    return NetworkSizes(networks[0], family, first.shape[1] * groups, width, classifier.shape[0])


def _our_name(name: str) -> str:
    for classifier in _CLASSIFIERS:
        if name.startswith(classifier):
            return "classifier." + name.removeprefix(classifier)
    return name if name.startswith("attention.") else f"body.{name}"

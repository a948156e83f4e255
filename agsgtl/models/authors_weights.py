"""The one mapping between the authors' names of weights and ours.

    theirs                                   ours
    encoder*, upconv*, decoder*              body.<same>
    final_layer (segmenter), _conv (discriminator)   classifier
    attention.*                              attention.*
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_CLASSIFIERS = ("final_layer.", "_conv.")


def from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ours with the authors' weights.

    >>> sorted(from_authors({"_conv.bias": 1, "encoder1.enc1conv1.bias": 2, "attention.Liner1.bias": 3}))
    ['attention.Liner1.bias', 'body.encoder1.enc1conv1.bias', 'classifier.bias']
    """
    return {_our_name(name): value for name, value in weights.items()}


def _our_name(name: str) -> str:
    for classifier in _CLASSIFIERS:
        if name.startswith(classifier):
            return "classifier." + name.removeprefix(classifier)
    return name if name.startswith("attention.") else f"body.{name}"

"""State dicts and pickles as the authors publish them, made from fresh networks of ours."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from agsgtl.config import Config, configure
from agsgtl.models.networks import build_discriminator, build_segmenter

FAMILIES = {
    "shallow": configure(origin="the authors' Houston"),
    "depthwise": configure(
        {"model.family": "depthwise", "model.width": 42, "model.discriminator_width": 42},
        origin="the authors' C2Seg-AB",
    ),
}


def spread_norms(network: nn.Module) -> None:
    """Running statistics as if something had been trained: those of a fresh network hide mistakes."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)


def authors_state_dict(network: nn.Module, classifier: str) -> OrderedDict[str, torch.Tensor]:
    """A network's state dict under the authors' names."""
    return OrderedDict(
        (name.removeprefix("body.").replace("classifier.", f"{classifier}."), tensor)
        for name, tensor in network.state_dict().items()
    )


def authors_lists(config: Config, bands: int, classes: int, runs: int) -> tuple[list[OrderedDict], list[OrderedDict]]:
    """Lists of segmenters' and discriminators' state dicts, one pair of networks a run."""
    segmenters, discriminators = [], []
    for seed in range(runs):
        segmenter = build_segmenter(config, bands, classes, seed)
        discriminator = build_discriminator(config, classes, seed + 100)
        for network in (segmenter, discriminator):
            spread_norms(network)
        segmenters.append(authors_state_dict(segmenter, "final_layer"))
        discriminators.append(authors_state_dict(discriminator, "_conv"))
    return segmenters, discriminators


def write_pickle(path: Path, content: object) -> Path:
    """A plain pickle, as the authors' code writes with dill."""
    path.write_bytes(pickle.dumps(content))
    return path

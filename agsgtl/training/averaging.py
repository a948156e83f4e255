"""The average of a network's weights over its last steps, which is judged and kept in the network's place.

`average <- decay * average + (1 - decay) * weights` after each step, batch norms' running statistics included
(Tarvainen and Valpola 2017, Mean teachers are better role models, section 2). The training itself does not see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, final

from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from agsgtl.models.networks import Segmenter
from agsgtl.training.checkpoint import Tensors, prefixed, snapshot, under


@final
class Averaged:
    """A segmenter that trains, and the one that is judged: its average with a decay, itself where the decay is 0."""

    def __init__(self, network: Segmenter, decay: float) -> None:
        self.network = network
        self._average = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True).requires_grad_(False)
            if decay
            else None
        )

    @property
    def is_apart(self) -> bool:
        """Whether the judged network is another than the one that trains."""
        return self._average is not None

    @property
    def judged(self) -> Segmenter:
        """The network that scores, maps and kept weights come from."""
        return self.network if self._average is None else cast("Segmenter", self._average.module)

    def update(self) -> None:
        """Takes note of a step."""
        if self._average is not None:
            self._average.update_parameters(self.network)

    def state(self) -> Tensors:
        """Both networks' weights."""
        average = {} if self._average is None else prefixed("average", snapshot(self._average))
        return prefixed("network", snapshot(self.network)) | average

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts such a state back."""
        self.network.load_state_dict(under("network", state))
        if self._average is not None:
            self._average.load_state_dict(under("average", state))

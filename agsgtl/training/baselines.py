"""The plain alternatives that the method has to beat, from the same pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agsgtl.config import Config
from agsgtl.models import folded
from agsgtl.models.networks import Segmenter
from agsgtl.models.view import View
from agsgtl.training.averaging import Averaged
from agsgtl.training.checkpoint import Tensors, load_optimizer_tensors, optimizer_tensors, prefixed, snapshot, under
from agsgtl.training.extent import Part, logits_in_windows
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.losses import at_pixels, cross_entropy
from agsgtl.training.precision import autocast
from agsgtl.training.steps import Recordings, adam, stepped
from agsgtl.training.training import Losses, Training
from agsgtl.training.views import drawn_view

Spectra = NDArray[np.float64]

BLOCK_ROWS: Final = 64
"""Image rows whose spectra a discriminant analysis holds in float64 at once."""

Domain = Callable[[int], Part]
"""What an epoch's steps see of one scene."""


@final
class SupervisedTraining(Training):
    """Cross entropy on one or two labelled domains: one step takes the sum of the domains' means.

    An epoch has `adapt.target_steps` steps at `adapt.target_learning_rate`, so that a baseline updates its segmenter as
    often as the adversarial training does. Without domains nothing is trained, nor computed in windows: that is
    `source_only`. `seed` draws the views that its steps see.
    """

    def __init__(
        self, config: Config, inputs: TrainingInputs, segmenter: Segmenter, domains: Sequence[Domain], seed: int
    ) -> None:
        super().__init__(inputs, config.adapt.epochs if domains else 0)
        self.config, self.segmenter, self.domains, self.seed = config, segmenter, domains, seed
        self.extent = config.adapt.extent if domains else "scene"
        self.averaged = Averaged(segmenter, config.adapt.ema_decay)
        self.optimizer = adam(segmenter.parameters(), config.adapt.target_learning_rate)
        self.recordings = Recordings(inputs.target_cube.device)

    def train_epoch(self, epoch: int) -> Losses:
        """One epoch; the mean of its losses."""
        self.segmenter.train()
        parts = tuple(domain(epoch) for domain in self.domains)
        losses = []
        for step in range(self.config.adapt.target_steps):
            seen = drawn_view(self.config, self.seed, epoch, step)
            losses.append(self.recordings.run(self._step, parts, seen))
            self.averaged.update()
        return {"segmentation": torch.stack(losses).mean()}

    def _step(self, parts: Sequence[Part], seen: View) -> Tensor:
        with autocast(self.config):
            segment = folded.composed(self.segmenter)
            maps = [segment(part.maps, seen=seen) for part in parts]
            logits = [at_pixels(one, part.labelled.pixels) for one, part in zip(maps, parts, strict=True)]
        losses = [cross_entropy(rows, part.labelled.labels) for rows, part in zip(logits, parts, strict=True)]
        return stepped(self.optimizer, torch.stack(losses).sum())

    def target_logits(self) -> Tensor:
        """Logits (1, K, H, W) of the target scene in inference."""
        return self._logits(self.inputs.target_cube)

    def target_logits_at(self, pixels: Tensor) -> Tensor:
        """The logits (m, K) at m pixels; with windows, from windows around these."""
        if self.extent == "scene":
            return super().target_logits_at(pixels)
        return logits_in_windows(self.config, self.averaged.judged, self.inputs.target_cube, pixels)

    def source_logits(self) -> Tensor:
        """Logits (1, K, H, W) of the source scene in inference."""
        return self._logits(self.inputs.source_cube)

    def source_logits_at(self, pixels: Tensor) -> Tensor:
        """The same of the source scene at m of its pixels; with windows, from windows around these."""
        if self.extent == "scene":
            return super().source_logits_at(pixels)
        return logits_in_windows(self.config, self.averaged.judged, self.inputs.source_cube, pixels)

    @torch.no_grad()
    def _logits(self, cube: Tensor) -> Tensor:
        with autocast(self.config):
            return folded.logits(self.averaged.judged.eval(), cube)

    def weights(self) -> Tensors:
        """A copy of the segmenter's weights, averaged where they are."""
        return snapshot(self.averaged.judged)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Gives the segmenter, the averaged one where there is one, such weights."""
        self.averaged.judged.load_state_dict(dict(weights))

    def state(self) -> Tensors:
        """The segmenter and its optimiser."""
        return prefixed("segmenter", self.averaged.state()) | prefixed("optimizer", optimizer_tensors(self.optimizer))

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from such a state."""
        self.averaged.load_state(under("segmenter", state))
        load_optimizer_tensors(self.optimizer, under("optimizer", state))
        self.recordings.forget()


@final
class LinearDiscriminant(Training):
    """Pixel-wise linear discriminant analysis of the labelled target spectra, without any spatial context.

    The covariance is shrunk by Ledoit and Wolf's formula (2004, doi:10.1016/S0047-259X(03)00096-4), as scikit-learn does
    for `shrinkage="auto"`. One labelled pixel a class says nothing of the covariance: then it is the identity, and the
    nearest class spectrum wins.
    """

    def __init__(self, inputs: TrainingInputs) -> None:
        super().__init__(inputs, epochs=0)
        labelled = inputs.target_train
        spectra = at_pixels(inputs.target_cube, labelled.pixels).double().cpu().numpy()
        labels = labelled.labels.cpu().numpy()
        fit = _fit_nearest_spectrum if len(labels) == inputs.classes else _fit_shrunk_covariance
        coefficients, intercepts = fit(spectra, labels)
        self.coefficients, self.intercepts = torch.from_numpy(coefficients), torch.from_numpy(intercepts)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Never asked for: the fit is closed-form."""
        raise NotImplementedError("linear discriminant analysis has no epochs")

    def target_logits(self) -> Tensor:
        """Discriminants (1, K, H, W) of the target scene: log posteriors up to a constant a pixel."""
        return self._discriminants(self.inputs.target_cube)

    def source_logits(self) -> Tensor:
        """Discriminants (1, K, H, W) of the source scene."""
        return self._discriminants(self.inputs.source_cube)

    def target_logits_at(self, pixels: Tensor) -> Tensor:
        """The discriminants (m, K) at m pixels, computed at these alone."""
        return self._discriminants_of(at_pixels(self.inputs.target_cube, pixels))

    def source_logits_at(self, pixels: Tensor) -> Tensor:
        """The same of the source scene."""
        return self._discriminants_of(at_pixels(self.inputs.source_cube, pixels))

    def _discriminants(self, cube: Tensor) -> Tensor:
        """(1, K, H, W), some image rows at a time: in float64 a whole cube takes twice its memory."""
        blocks = [self._discriminants_of(rows) for rows in cube[0].permute(1, 2, 0).split(BLOCK_ROWS)]
        return torch.cat(blocks).permute(2, 0, 1)[None]

    def _discriminants_of(self, spectra: Tensor) -> Tensor:
        """(..., K) of spectra (..., bands)."""
        return spectra.double() @ self.coefficients.to(spectra.device).T + self.intercepts.to(spectra.device)

    def weights(self) -> Tensors:
        """Coefficients (K, bands) and intercepts (K,)."""
        return {"coefficients": self.coefficients, "intercepts": self.intercepts}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Puts such weights back."""
        self.coefficients, self.intercepts = weights["coefficients"], weights["intercepts"]


def _fit_shrunk_covariance(spectra: Spectra, labels: NDArray[np.int64]) -> tuple[Spectra, Spectra]:
    """Coefficients (K, bands) and intercepts (K,) of n spectra (n, bands) with classes (n,)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes a second to import

    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(spectra, labels)
    coefficients, intercepts = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(intercepts) == 1:  # of two classes scikit-learn keeps one discriminant, the second's against the first's
        return np.vstack([np.zeros_like(coefficients), coefficients]), np.concatenate([[0.0], intercepts])
    return coefficients, intercepts


def _fit_nearest_spectrum(spectra: Spectra, labels: NDArray[np.int64]) -> tuple[Spectra, Spectra]:
    """The same for one spectrum a class and the identity as covariance."""
    means = spectra[np.argsort(labels)]
    return means, -0.5 * np.square(means).sum(axis=1)

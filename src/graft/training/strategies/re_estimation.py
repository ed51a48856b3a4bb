"""Normalisation statistics of the final weights, measured instead of averaged during training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graft.data.views.view import BatchSource
from graft.training.forward import Forward
from graft.training.state import batch_norms

# Statistics settle within a thousand to ten thousand images (Wu & Johnson 2021, section 3).
MOST_IMAGES = 10_000


class Moments:
    """Count, sum and sum of squares of each channel that passes a layer, in float64."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, torch.zeros(()), torch.zeros(())

    def take_in(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        """A forward pre-hook: features [B, C, …]."""
        (features,) = inputs
        axes = [axis for axis in range(features.ndim) if axis != 1]
        variance, mean = (t.double().cpu() for t in torch.var_mean(features.float(), axes, correction=0))
        number = features.numel() // features.shape[1]
        self.count += number
        self.sum = self.sum + number * mean
        self.squares = self.squares + number * (variance + mean.square())

    def give(self, norm: nn.modules.batchnorm._BatchNorm, share: float = 1.0) -> None:
        """Moves the layer's running statistics to this mean and unbiased variance, or a share of the way."""
        mean = self.sum / self.count
        variance = (self.squares / self.count - mean.square()).clamp_min(0) * (self.count / max(self.count - 1, 1))
        for running, measured in ((norm.running_mean, mean), (norm.running_var, variance)):
            assert running is not None
            running.copy_((1 - share) * running.double().cpu() + share * measured)


def trained_norms(model: nn.Module, trained: nn.Module | None = None) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch normalisations of a model with running statistics that are not frozen in it, or in `trained`."""
    return [
        norm
        for norm, same in zip(batch_norms(model), batch_norms(trained or model), strict=True)
        if norm.running_mean is not None and any(p.requires_grad for p in same.parameters())
    ]


def re_estimate_on_views(
    model: nn.Module, forward: Forward, views: BatchSource, batch_size: int, trained: nn.Module | None = None
) -> None:
    """Replaces the running statistics by those of the first view of the training images, as `re_estimate` does.

    Args:
        model: Changed in place; comes back in evaluation mode.
        forward: Forward pass of the model.
        views: Training views, as pixels.
        batch_size: Number of images in a batch.
        trained: Model that says what trained, if the model itself does not.
    """
    order = np.arange(min(views.num_samples, MOST_IMAGES))
    re_estimate(model, forward, views.batches(order, 0, batch_size, forward.scale.device), trained)


@torch.no_grad()
def re_estimate(
    model: nn.Module,
    forward: Callable[[Any], Any],
    batches: Iterable[tuple[Any, Tensor]],
    trained: nn.Module | None = None,
) -> None:
    """Replaces the running statistics of what trained by those of the given batches under the weights as they are.

    Each layer sees features that the layers before it normalised by the statistics of their batch, as in training; all
    else (dropout) is in evaluation mode. Mean and variance are those of the whole population, over batches too (Wu &
    Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3). A pure function of weights and batches.

    Args:
        model: Changed in place; comes back in evaluation mode.
        forward: Runs the model on the inputs of a batch.
        batches: Inputs and targets; a batch of one is left out, for one value has no variance.
        trained: Model of the same layers that says which of them trained; the model itself by default.
    """
    norms = trained_norms(model, trained)
    moments = [Moments() for _ in norms]
    hooks = [norm.register_forward_pre_hook(m.take_in) for norm, m in zip(norms, moments, strict=True)]
    model.eval()
    try:
        for norm in norms:
            norm.train()
            norm.track_running_stats = False  # batch statistics are used, running ones neither read nor moved
        for inputs, targets in batches:
            if len(targets) > 1:
                forward(inputs)
    finally:
        for norm, hook in zip(norms, hooks, strict=True):
            norm.track_running_stats = True
            hook.remove()
        model.eval()
    for norm, measured in zip(norms, moments, strict=True):
        if measured.count:
            measured.give(norm)

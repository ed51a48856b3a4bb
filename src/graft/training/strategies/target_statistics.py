"""Normalisation statistics of images from another domain, mixed with those of the training images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graft.data.views.view import Views
from graft.training.forward import Forward
from graft.training.strategies.re_estimation import Moments

Norms = Sequence[nn.modules.batchnorm._BatchNorm]
# Schneider et al. 2020 (section 5) find that a few hundred images are as good as all; they are looked at every epoch.
MOST_IMAGES = 256


@contextmanager
def mixed_statistics(norms: Norms, share: float) -> Iterator[None]:
    """Lets layers in evaluation mode normalise by (1 - m) times their statistics plus m times those of the batch.

    Args:
        norms: The layers; their running statistics come out as they were.
        share: m.
    """

    def mix(norm: Any, inputs: tuple[Tensor]) -> None:
        axes = [axis for axis in range(inputs[0].ndim) if axis != 1]
        variance, mean = torch.var_mean(inputs[0].float(), axes, correction=0)
        own[norm] = norm.running_mean, norm.running_var
        norm.running_mean, norm.running_var = own[norm][0].lerp(mean, share), own[norm][1].lerp(variance, share)

    def put_back(norm: Any, *_: Any) -> None:
        norm.running_mean, norm.running_var = own.pop(norm)

    own: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    hooks = [norm.register_forward_pre_hook(mix) for norm in norms]
    hooks += [norm.register_forward_hook(put_back) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm in list(own):  # a forward pass that failed in a layer
            put_back(norm)


@torch.no_grad()
def adapt_statistics(norms: Norms, forward: Forward, views: Views, batch_size: int, share: float) -> None:
    """Moves the running statistics of layers towards those of other images: (1 - m) · own + m · theirs.

    Mean and variance alike (Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift
    adaptation", equation 1; with m = 1 Li et al. 2016, "Revisiting Batch Normalization For Practical Domain
    Adaptation"). Each layer sees features that the layers before it normalised by such a mixture for their batch. A
    pure function of weights and images.

    Args:
        norms: Layers of the model, changed in place.
        forward: Forward pass of the model, which comes back in evaluation mode.
        views: Views of the other images; the first view of each is looked at, of 256 images at most.
        batch_size: Number of images in a batch; a batch of one is left out.
        share: m, from 0 to 1.
    """
    moments = [Moments() for _ in norms]
    hooks = [norm.register_forward_pre_hook(m.take_in) for norm, m in zip(norms, moments, strict=True)]
    forward.model.eval()
    order = np.arange(min(views.num_samples, MOST_IMAGES))
    try:
        with mixed_statistics(norms, share):
            for images, _ in views.batches(order, 0, batch_size, forward.scale.device):
                if len(images) > 1:
                    forward(images)
    finally:
        for hook in hooks:
            hook.remove()
    for norm, measured in zip(norms, moments, strict=True):
        if measured.count:
            measured.give(norm, share)

"""Local pooled outputs: features summed up in strips of ever smaller parts of the image, and their distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graft.models.architectures import WithAuxiliary
from graft.training.features import tensors_of
from graft.training.forward import Forward, cut
from graft.training.mixed_precision import training_autocast

SCALES = (1, 2, 4)


class ForwardWithFeatures:
    """A `Forward` that also returns what `keep` takes from the features.

    Args:
        forward: Forward pass, not compiled.
        keep: Function from the maps of the features to what is kept of them, in tensors of its own: a head may
            overwrite what it is given.
    """

    def __init__(self, forward: Forward, keep: Callable[[Sequence[Tensor]], list[Tensor]]) -> None:
        self.whole, self.keep = forward, keep

    def __call__(self, images: Tensor) -> tuple[Tensor | WithAuxiliary, list[Tensor]]:
        """Logits as `Forward` gives them, and what is kept of the features."""
        pixels, model = self.whole.pixels(images), self.whole.model
        with training_autocast(pixels.device.type, self.whole.precision):
            features = model.backbone(pixels)
            kept = self.keep(maps_of(features, pixels))
            output = model.on_features(features, pixels.shape[-2:])
        return cut(output, images.shape[-2:]), kept


def maps_of(features: Any, pixels: Tensor) -> list[Tensor]:
    """The maps [B, C, H, W] that a backbone hands to the head, but those that hold the image itself, or nothing."""
    return [each for each in tensors_of(features)[0] if each is not pixels and each.ndim == 4 and each.numel()]


def pool_all(maps: Sequence[Tensor]) -> list[Tensor]:
    """The pooled features [B, D] of each of several maps, float32."""
    return [pool_locally(each.float()) for each in maps]


def pool_locally(features: Tensor, scales: Sequence[int] = SCALES) -> Tensor:
    """Means of the squared features along rows and columns, of the whole image, its quarters and its sixteenths.

    Douillard et al. 2021, "PLOP: Learning without Forgetting for Continual Semantic Segmentation", equations 2 to 4;
    squared as in its code. At scale s the image is cut into s × s parts of the same whole number of pixels; rows and
    columns left over at the end are left out, and a scale finer than the features too.

    Args:
        features: [B, C, H, W].
        scales: Numbers of parts along a side.

    Returns:
        [B, D], D = C · Σ_s s² (⌊H / s⌋ + ⌊W / s⌋).
    """
    squared = features.square()
    height, width = features.shape[-2:]
    strips = []
    for scale in (each for each in scales if each <= min(height, width)):
        tall, wide = height // scale, width // scale
        parts = squared[..., : tall * scale, : wide * scale].unflatten(3, (scale, wide)).unflatten(2, (scale, tall))
        strips += [parts.mean(axis).flatten(1) for axis in (5, 3)]
    return torch.cat(strips, dim=1)


def local_distance(pooled: Tensor, of_parent: Tensor) -> Tensor:
    """The mean over images of ||a - b||, the Frobenius norm, for pooled features [B, D] of both; a scalar.

    Equal ones have gradient zero.
    """
    return torch.linalg.vector_norm(pooled - of_parent, dim=1).mean()

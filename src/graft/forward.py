"""A model as strategies call it: padded, normalised and in the precision of the runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from graft.models.model import WithAuxiliary
from graft.predicting import padding
from graft.predicting_torch import autocast


class Forward:
    """A model as strategies call it: uint8 [B, C, H, W] in, float32 logits out; normalised and padded inside.

    A model with an auxiliary head answers in training with `WithAuxiliary`, both of its logits float32 and cut to the
    images' size.

    Args:
        model: From normalised float [B, C, H, W] to logits.
        normalisation: Scale and shift, [1, C, 1, 1] each, on the model's device.
        precision: `float32`, `bf16` or `fp16`: what autocast computes in.
        channels_last: Whether images lie in memory channels last.
        compiled: Whether the model runs through torch.compile; its weights stay where they are.
    """

    def __init__(
        self,
        model: nn.Module,
        normalisation: tuple[Tensor, Tensor],
        precision: str,
        channels_last: bool,
        compiled: bool = False,
    ) -> None:
        self.model, self.precision = model, precision
        self.scale, self.shift = normalisation
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self._run = torch.compile(model) if compiled else model

    def __call__(self, images: Tensor) -> Tensor | WithAuxiliary:
        """Logits [B, K, H, W] or [B, K] of images, uint8 [B, C, H, W]."""
        pixels = self.pixels(images)
        with autocast(pixels.device.type, self.precision):
            output = self._run(pixels)
        return cut(output, images.shape[-2:])

    def pixels(self, images: Tensor) -> Tensor:
        """Images as the model wants them: padded, float32 and normalised."""
        for axis in (-2, -1):
            images = self._padded(images, axis)
        return images.to(torch.float32, memory_format=self.layout).mul_(self.scale).add_(self.shift)

    def padded_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Height and width that reach the model, of images with this height and width."""
        return tuple(side + padding(side, self.model.padding_multiple, self.model.min_side_px) for side in size)

    def _padded(self, images: Tensor, axis: int) -> Tensor:
        """Mirrored at the end of an axis, pixel for pixel as `predicting` does."""
        side = images.shape[axis]
        missing = padding(side, self.model.padding_multiple, self.model.min_side_px)
        if not missing:
            return images
        places = np.pad(np.arange(side), (0, missing), mode="reflect")
        return images.index_select(axis, torch.from_numpy(places).to(images.device))


def cut(output: Tensor | WithAuxiliary, size: Sequence[int]) -> Tensor | WithAuxiliary:
    """What a model answered, float32 and at the images' own size."""
    if isinstance(output, WithAuxiliary):
        return output._replace(logits=cut(output.logits, size), auxiliary=cut(output.auxiliary, size))
    logits = output.float()
    return logits[..., : size[0], : size[1]] if logits.ndim == 4 else logits

"""The forward pass of training: images are padded and normalised, the model runs in the precision of the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from graft.foundation.progress import say
from graft.inference.image_to_logits import padding
from graft.models.model import Model, WithAuxiliary
from graft.training.mixed_precision import training_autocast
from graft.training.state import batch_norms


class Forward:
    """The forward pass as strategies call it: uint8 [B, C, H, W] in, float32 logits out; normalised and padded inside.

    A model with an auxiliary head answers in training with `WithAuxiliary`, both of its logits float32 and cut to the
    images' size.

    Args:
        model: Model from normalised float [B, C, H, W] to logits.
        normalisation: Scale and shift, [1, C, 1, 1] each, on the model's device.
        precision: Precision of autocast: `float32`, `bf16` or `fp16`.
        channels_last: Whether images are stored in memory channels last.
        compiled: Whether the model runs through torch.compile, once the momentum of its normalisation layers is what it
            was at first: it changes in each of the first batches (`Trainee.set_normalisation`), which would compile
            anew each time.

    Attributes:
        num_compiled: Number of batches that went through the compiled model; the first compiles it.
    """

    def __init__(
        self,
        model: Model,
        normalisation: tuple[Tensor, Tensor],
        precision: str,
        channels_last: bool,
        compiled: bool = False,
    ) -> None:
        self.model, self.precision = model, precision
        self.scale, self.shift = normalisation
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self._compiled = torch.compile(model) if compiled else None
        self._momenta = [(norm, norm.momentum) for norm in batch_norms(model)]
        self.num_compiled = 0

    @property
    def is_compiled(self) -> bool:
        """Whether the model runs through torch.compile."""
        return self._compiled is not None

    def of(
        self, model: Model, precision: str | None = None, normalisation: tuple[Tensor, Tensor] | None = None
    ) -> Forward:
        """The same forward pass of another model, not compiled; in another precision or normalisation if given."""
        channels_last = self.layout == torch.channels_last
        return Forward(model, normalisation or (self.scale, self.shift), precision or self.precision, channels_last)

    def __call__(self, images: Tensor) -> Tensor | WithAuxiliary:
        """Logits [B, K, H, W] or [B, K] of images, uint8 [B, C, H, W]."""
        pixels = self.pixels(images)
        with training_autocast(pixels.device.type, self.precision):
            output = self._output(pixels)
        return cut(output, images.shape[-2:])

    def _output(self, pixels: Tensor) -> Tensor | WithAuxiliary:
        if self._compiled is None or any(norm.momentum != momentum for norm, momentum in self._momenta):
            return self.model(pixels)
        if not self.num_compiled:
            say("runtime.compile: compiling, forward now and backward when its turn comes")
        self.num_compiled += 1
        return self._compiled(pixels)

    def pixels(self, images: Tensor) -> Tensor:
        """Images as the model wants them: padded, float32 and normalised."""
        for axis in (-2, -1):
            images = self._padded(images, axis)
        return images.to(torch.float32, memory_format=self.layout).mul_(self.scale).add_(self.shift)

    def padded_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Height and width that reach the model, of images with this height and width."""
        return tuple(side + padding(side, self.model.padding_multiple, self.model.min_side_px) for side in size)

    def _padded(self, images: Tensor, axis: int) -> Tensor:
        """Mirrors the end of an axis, pixel for pixel as prediction does."""
        side = images.shape[axis]
        missing = padding(side, self.model.padding_multiple, self.model.min_side_px)
        if not missing:
            return images
        places = np.pad(np.arange(side), (0, missing), mode="reflect")
        return images.index_select(axis, torch.from_numpy(places).to(images.device))


def cut(output: Tensor | WithAuxiliary, size: Sequence[int]) -> Tensor | WithAuxiliary:
    """Cuts the output of a model to the images' own size, as float32."""
    if isinstance(output, WithAuxiliary):
        logits, auxiliary = (cast(Tensor, cut(each, size)) for each in (output.logits, output.auxiliary))
        return output._replace(logits=logits, auxiliary=auxiliary)
    logits = output.float()
    return logits[..., : size[0], : size[1]] if logits.ndim == 4 else logits

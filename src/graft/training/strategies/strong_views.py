"""Strong views of a batch: its colours changed and, of masks, a box of another image pasted in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from graft.foundation.class_map import RGB
from graft.training.mixing.cutmix import cutmix

# Strengths and probabilities of the published code of UniMatch, as of ST++ and SimCLR before it.
COLOURS = v2.Compose(
    [v2.RandomApply([v2.ColorJitter(0.5, 0.5, 0.5, 0.25)], p=0.8), v2.RandomGrayscale(p=0.2)],
)
BLUR = v2.RandomApply([v2.GaussianBlur(9, sigma=(0.1, 2.0))], p=0.5)
PASTE = cutmix(alpha=1.0, probability=0.5)


def change_colours(images: Tensor, channels: Sequence[str]) -> Tensor:
    """Each image with light, contrast, saturation and hue of its own, perhaps grey, perhaps blurred; nothing moves.

    Channels behind red, green and blue, or all where these are not the first, are measurements, which stay.

    Args:
        images: uint8 [B, C, H, W].
        channels: The C names of the channels.
    """
    if tuple(channels[:3]) != RGB:
        return images
    changed = torch.stack([BLUR(COLOURS(image[:3])) for image in images])
    changed = torch.cat([changed, images[:, 3:]], 1)
    return changed.contiguous(memory_format=torch.channels_last)


def paste_boxes(images: Tensor, masks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Half of the batches with a box of another image in each, its pseudo-labels with it, as CutMix does it.

    Args:
        images: uint8 [B, C, H, W].
        masks: Long [B, H, W].
        seed: Seed of the box.
    """
    mixed, targets = PASTE(images, masks, seed)
    assert isinstance(targets, Tensor)  # masks are cut, never mixed
    return mixed, targets

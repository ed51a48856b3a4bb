"""Strong colours: what makes a weak view a strong one without moving anything in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from graft.foundation.class_map import RGB

# Strengths and probabilities of the published code of UniMatch, as of ST++ and SimCLR before it.
COLOURS = v2.Compose(
    [v2.RandomApply([v2.ColorJitter(0.5, 0.5, 0.5, 0.25)], p=0.8), v2.RandomGrayscale(p=0.2)],
)
BLUR = v2.RandomApply([v2.GaussianBlur(9, sigma=(0.1, 2.0))], p=0.5)


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

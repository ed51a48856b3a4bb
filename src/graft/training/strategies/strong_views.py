"""Strong views of a batch: its colours changed, patches hidden and, of masks, a box of another image pasted in."""

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


def hide_patches(images: Tensor, patch_px: int, share: float, colour: Tensor) -> Tensor:
    """Each image with about this share of its square patches in one colour, drawn for each patch alone.

    Hoyer et al. 2023, "MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation", equations 4 and 5.

    Args:
        images: uint8 [B, C, H, W].
        patch_px: Side of a patch; those at the right and at the bottom may be cut.
        share: Probability that a patch is hidden.
        colour: uint8 [1, C, 1, 1].
    """
    height, width = images.shape[-2:]
    grid = (len(images), 1, -(-height // patch_px), -(-width // patch_px))
    hidden = torch.rand(grid, device=images.device) < share
    hidden = hidden.repeat_interleave(patch_px, 2).repeat_interleave(patch_px, 3)[..., :height, :width]
    return torch.where(hidden, colour, images)


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

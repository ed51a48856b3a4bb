"""Strong views of a batch beside its colours: patches hidden and, of masks, a box of another image pasted in."""

from __future__ import annotations

import torch
from torch import Tensor

from graft.training.mixing.cutmix import cutmix

PASTE = cutmix(alpha=1.0, probability=0.5)  # as the published code of UniMatch does it


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

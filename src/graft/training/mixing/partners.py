"""Partners for mixing: which images of a batch are mixed, and the classes in their masks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graft.foundation.class_map import IGNORE_INDEX


def partner_shift(num_images: int, generator: np.random.Generator) -> int:
    """The number of places to roll a batch by so that each image has a partner: 1 to B - 1, or 0 if there is none."""
    return int(generator.integers(1, num_images)) if num_images > 1 else 0


def class_pixels(masks: Tensor) -> np.ndarray:
    """Pixels of each class in each mask, int64 [B, 255]; ignored pixels are of no class.

    Args:
        masks: long [B, H, W].
    """
    values = IGNORE_INDEX + 1
    rows = torch.arange(len(masks), device=masks.device)[:, None] * values
    counts = torch.bincount((masks.flatten(1) + rows).flatten(), minlength=len(masks) * values)
    return counts.reshape(len(masks), values)[:, :IGNORE_INDEX].cpu().numpy()


def paste_classes(images: Tensor, masks: Tensor, chosen: np.ndarray, shift: int) -> tuple[Tensor, Tensor]:
    """Lays the pixels of the chosen classes of each image's partner over it, in image and mask alike.

    Args:
        images: uint8 [B, C, H, W].
        masks: long [B, H, W].
        chosen: bool [B, 255], classes of the partner of each image.
        shift: Number of places from `partner_shift`.
    """
    other_masks = masks.roll(shift, 0)
    takes = chosen_pixels(other_masks, chosen)
    return torch.where(takes[:, None], images.roll(shift, 0), images), torch.where(takes, other_masks, masks)


def chosen_pixels(masks: Tensor, chosen: np.ndarray) -> Tensor:
    """Whether a pixel is of one of the chosen classes of its image, bool [B, H, W]; ignored pixels never are.

    Args:
        masks: long [B, H, W].
        chosen: bool [B, 255], classes of each image.
    """
    lookup = torch.from_numpy(np.pad(chosen, ((0, 0), (0, 1)))).to(masks.device)
    return lookup.gather(1, masks.flatten(1)).reshape(masks.shape)

"""A first convolution for another number of input channels."""

from __future__ import annotations

import torch
from torch import Tensor

from graft.models.architectures.parts.stem import RGB


def spread(weight: Tensor, num_channels: int) -> Tensor:
    """The weights of a first convolution, spread over another number of input channels.

    Channel i takes the weights of channel i mod C, all scaled by C / num_channels, so that an image whose channels are
    equal gives much the same answer as before; one channel takes the sum. It is what segmentation-models-pytorch does
    to RGB in `patch_first_conv`. Where RGB or more is wanted of still more channels, the first ones stay as they are:
    what RGBA or RGB with depth learnt of red, green and blue is not theirs to share.

    Args:
        weight: `[out, C, h, w]`.
        num_channels: Wanted, in place of C.

    Returns:
        `[out, num_channels, h, w]`.
    """
    given = weight.shape[1]
    if num_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    if given > num_channels >= RGB:
        return weight[:, :num_channels]
    return weight[:, torch.arange(num_channels) % given] * (given / num_channels)

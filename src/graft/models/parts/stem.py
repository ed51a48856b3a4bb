"""The first convolution of a network, for images with another number of channels than it was made for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RGB = 3


def set_channels(network: nn.Module, num_channels: int) -> nn.Module:
    """The network with its first convolution replaced by one for `num_channels`; for three it stays untouched.

    The new weights are normal with the deviation of those they replace, whichever rule these followed; the bias stays.

    Args:
        network: Network whose first convolution, in order of definition, takes three channels. Changed in place.
        num_channels: Number of channels of the images.
    """
    if num_channels == RGB:
        return network
    name, stem = next((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
    assert stem.in_channels == RGB, f"{name} is no stem"
    size = (stem.out_channels, num_channels, *stem.kernel_size)
    deviation = stem.weight.detach().std()
    stem.in_channels = num_channels
    stem.weight = nn.Parameter(torch.randn(size, device=stem.weight.device) * deviation)
    return network


def spread(weight: Tensor, num_channels: int) -> Tensor:
    """The weights of a first convolution, spread over another number of input channels.

    Channel i takes the weights of channel i mod C, all scaled by C / num_channels, so that an image whose channels are
    equal gives much the same answer as before; one channel takes the sum. It is what segmentation-models-pytorch does
    to RGB in `patch_first_conv`. Where RGB or more is wanted of still more channels, the first ones stay as they are:
    what RGBA or RGB with depth learnt of red, green and blue is not theirs to share.

    Args:
        weight: Weights `[out, C, h, w]`.
        num_channels: Number of channels wanted in place of C.

    Returns:
        `[out, num_channels, h, w]`.
    """
    given = weight.shape[1]
    if num_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    if given > num_channels >= RGB:
        return weight[:, :num_channels]
    return weight[:, torch.arange(num_channels) % given] * (given / num_channels)

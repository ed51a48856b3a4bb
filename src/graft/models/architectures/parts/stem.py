"""The first convolution of a network for images with another number of channels than three."""

from __future__ import annotations

import torch
from torch import nn

RGB = 3


def set_channels(network: nn.Module, num_channels: int) -> nn.Module:
    """The network with its first convolution replaced by one for `num_channels`; for three it stays untouched.

    The new weights are normal with the deviation of those they replace, whichever rule these followed; the bias stays.

    Args:
        network: Its first convolution, in order of definition, takes three channels. Changed in place.
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

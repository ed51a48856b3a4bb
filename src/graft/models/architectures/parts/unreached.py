"""Removal of parts without influence on the output: an encoder may be deeper than its decoder reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def prune_unreached(network: nn.Module, forward: Callable[[Tensor], Tensor], num_channels: int, side_px: int) -> None:
    """Removes from the network each module whose parameters all have no influence on the output.

    Args:
        network: Network, changed in place and left in training mode.
        forward: Function that calls the network.
        num_channels: Number of channels of the image on which this is tried.
        side_px: Side of that image. The network sees it in evaluation mode, so that no statistic changes and nothing
            random is drawn.
    """
    network.eval()
    parameters = dict(network.named_parameters())
    image = next(iter(parameters.values())).new_zeros(1, num_channels, side_px, side_px)
    with torch.enable_grad():
        gradients = torch.autograd.grad(forward(image).sum(), list(parameters.values()), allow_unused=True)
    _prune(network, "", {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None})
    network.train()


def _prune(module: nn.Module, prefix: str, reached: set[str]) -> None:
    for name, child in list(module.named_children()):
        names = [f"{prefix}{name}.{parameter}" for parameter, _ in child.named_parameters()]
        if names and reached.isdisjoint(names):
            del module._modules[name]  # `del` of a Sequential's item would renumber the others
        else:
            _prune(child, f"{prefix}{name}.", reached)

"""Parts of a network that no image passes are left out: a library's encoder may be deeper than its decoder reads."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def without_unreached(network: nn.Module, forward: Callable[[nn.Module, Tensor], Tensor], image: Tensor) -> nn.Module:
    """The network without the modules none of whose parameters has a share in the output; changed in place.

    It is tried out on a copy without values, on torch's meta device, which takes a fraction of a second.

    Args:
        network: In whatever mode; it is tried in evaluation mode.
        forward: Calls a copy of the network with an image.
        image: Float [1, C, H, W], of the smallest size; only its shape counts.
    """
    outline = copy.deepcopy(network).to("meta").eval().requires_grad_(True)
    with torch.enable_grad():
        total = forward(outline, image.to("meta")).sum()
        parameters = dict(outline.named_parameters())
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    reached = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
    _prune(network, "", reached)
    return network


def _prune(module: nn.Module, prefix: str, reached: set[str]) -> None:
    for name, child in list(module.named_children()):
        names = [f"{prefix}{name}.{parameter}" for parameter, _ in child.named_parameters()]
        if names and reached.isdisjoint(names):
            del module._modules[name]  # not delattr on a Sequential, which would renumber the others
        else:
            _prune(child, f"{prefix}{name}.", reached)

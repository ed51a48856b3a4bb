"""Fills the layers that no source provides."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast

import torch
from torch import Tensor, nn

Initialise = Callable[[Tensor, torch.Generator], object]
LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def apply(initialise: Initialise, model: nn.Module, names: Collection[str], seed: int) -> set[str]:
    """Fills linear and convolutional weights of a model in place; their biases become zero.

    Normalisation layers, embeddings and position tables keep what their library gave them.

    Args:
        initialise: Function that fills a weight, drawing from a generator.
        model: Model whose parameters are filled, in order of name.
        names: Names of the tensors that may change.
        seed: Seed of everything that is drawn.

    Returns:
        The names of the tensors that were filled.
    """
    generator, filled = torch.Generator().manual_seed(seed), set()
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}
    with torch.no_grad():
        for name, layer in sorted(layers.items()):
            if f"{name}.weight" in names:
                initialise(layer.weight, generator)
                filled.add(f"{name}.weight")
            if f"{name}.bias" in names:
                nn.init.zeros_(cast(Tensor, layer.bias))
                filled.add(f"{name}.bias")
    return filled

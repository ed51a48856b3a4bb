"""Adaptive average pooling in a form that exports.

torch's exporter writes the window sizes of the traced image into the file: VGG's logits were wrong by a tenth at every
size whose features are no multiple of seven, without a word. A product with two matrices of window weights, which are
computed from the size in hand, is the same function at every size.
"""

from __future__ import annotations

import torch
from torch import nn


class MatrixPool(nn.Module):
    """`nn.AdaptiveAvgPool2d` as P_h · X · P_wᵀ: float [B, C, H, W] to [B, C, height, width].

    Row i of P averages the inputs floor(i·n/m) … ceil((i+1)·n/m) - 1, for n inputs and m outputs.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        down = _windows(features.shape[2], self.height)
        across = _windows(features.shape[3], self.width)
        return down @ features @ across.T


def with_exportable_pooling(model: nn.Module) -> nn.Module:
    """Replaces adaptive average pooling to more than one cell, in place; returns the model."""
    for name, child in model.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d):
            size = child.output_size if isinstance(child.output_size, tuple) else (child.output_size, child.output_size)
            if size != (1, 1):
                setattr(model, name, MatrixPool(*size))
        else:
            with_exportable_pooling(child)
    return model


def _windows(num_inputs: int, num_outputs: int) -> torch.Tensor:
    inputs, outputs = torch.arange(num_inputs)[None], torch.arange(num_outputs)[:, None]
    first = torch.div(outputs * num_inputs, num_outputs, rounding_mode="floor")
    end = torch.div((outputs + 1) * num_inputs + num_outputs - 1, num_outputs, rounding_mode="floor")
    inside = ((inputs >= first) & (inputs < end)).float()
    return inside / inside.sum(1, keepdim=True)

"""Adaptive average pooling and bicubic resampling that export, and whose gradients have the same bits on every device.

torch's exporter writes the window sizes of the traced image into the file: VGG's logits were wrong by a tenth at every
size whose features are no multiple of seven, without a word. And torch's own gradient of it refuses to run on CUDA
under deterministic algorithms. A product with two matrices of window weights, which are computed from the size in
hand, is the same function at every size and has neither fault.
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
        down = _window_weights(features.shape[2], self.height, features)
        across = _window_weights(features.shape[3], self.width, features)
        return down @ features @ across.T


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of globally pooled features, which also trains on a batch of one image.

    One value a channel has no variance, and torch refuses it; such a batch (the last of an epoch) is normalised with
    the running statistics and does not change them.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training and features.shape[0] == 1:
            return nn.functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(features)


def _window_weights(num_inputs: int, num_outputs: int, like: torch.Tensor) -> torch.Tensor:
    inputs = torch.arange(num_inputs, device=like.device)[None]
    outputs = torch.arange(num_outputs, device=like.device)[:, None]
    first = torch.div(outputs * num_inputs, num_outputs, rounding_mode="floor")
    end = torch.div((outputs + 1) * num_inputs + num_outputs - 1, num_outputs, rounding_mode="floor")
    inside = ((inputs >= first) & (inputs < end)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def resample_bicubic(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """torch's bicubic interpolation as P_h · X · P_wᵀ: float [B, C, H, W] to [B, C, height, width].

    Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", with a = -0.75 as in torch, whose own
    gradient refuses to run on CUDA under deterministic algorithms.
    """
    return _cubic_weights(maps.shape[2], height, maps) @ maps @ _cubic_weights(maps.shape[3], width, maps).T


def _cubic_weights(num_inputs: int, num_outputs: int, like: torch.Tensor) -> torch.Tensor:
    """Weights [num_outputs, num_inputs]; what lies beyond the border repeats it."""
    place = (torch.arange(num_outputs, device=like.device, dtype=like.dtype) + 0.5) * (num_inputs / num_outputs) - 0.5
    inputs = torch.arange(num_inputs, device=like.device)
    weights = torch.zeros(1, device=like.device, dtype=like.dtype)
    for offset in (-1, 0, 1, 2):
        tap = place.floor() + offset
        away = (place - tap).abs()
        near = (1.25 * away - 2.25) * away**2 + 1
        far = ((-0.75 * away + 3.75) * away - 6) * away + 3
        is_tap = inputs == tap.clamp(0, num_inputs - 1).long()[:, None]
        weights = weights + is_tap * torch.where(away <= 1, near, far)[:, None]
    return weights

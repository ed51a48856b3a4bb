"""A torch model as a `Runner`: uint8 in, float32 logits out, normalisation inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from graft.inference.image_to_logits import Runner


class Normalisation(Protocol):
    """Mean and deviation of the channels in fractions of one; `saved_model.ModelSpec` has them."""

    @property
    def mean(self) -> Sequence[float]: ...

    @property
    def std(self) -> Sequence[float]: ...


class Deployable(nn.Module):
    """A model with its normalisation: uint8 [B, H, W, C] to float32 logits [B, K, H, W] or [B, K]."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        scale, shift = normalisation(mean, std)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        channels_first = images.permute(0, 3, 1, 2)  # a view, which lies in memory as channels_last
        return self.model(channels_first.float() * self.scale + self.shift).float()


def normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift, float32 [1, C, 1, 1] each, so that `pixels * scale + shift` is `(pixels / 255 - mean) / std`.

    Args:
        mean: Mean of each channel, in fractions of one.
        std: Standard deviation of each channel, in the same unit.
    """
    means, stds = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    scale, shift = 1 / (255 * stds), -means / stds
    return scale.float().reshape(1, -1, 1, 1), shift.float().reshape(1, -1, 1, 1)


def autocast(device_type: str, precision: str) -> torch.autocast:
    """The context in which a model computes in `precision`: `float32` (as it is), `bf16` or `fp16`."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device_type, dtype, enabled=precision != "float32")


def torch_runner(
    model: nn.Module,
    spec: Normalisation,
    *,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    channels_last: bool = True,
) -> Runner:
    """Builds a runner around `model`, which is moved to `device` and put into evaluation mode whenever it is not.

    Args:
        model: Model from normalised float [B, C, H, W] to logits.
        spec: Mean and deviation, as a `ModelSpec` has them.
        device: Device that it runs on.
        precision: Precision of the computation: `float32`, or `bf16` or `fp16` for autocast. Logits are always float32.
        channels_last: True to keep weights and images in memory channels last.
    """
    device = torch.device(device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch takes both at once
    deployable = Deployable(model, spec.mean, spec.std).to(device)

    def run(images: np.ndarray) -> np.ndarray:
        if model.training:
            model.eval()
        pixels = torch.from_numpy(np.require(images, np.uint8, ["C", "W"])).to(device)
        if not channels_last:
            pixels = pixels.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        with torch.inference_mode(), autocast(device.type, precision):
            return deployable(pixels).cpu().numpy()

    return run

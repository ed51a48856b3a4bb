"""Labelled images in the colours of unlabelled ones: nothing moves, so that every mask and label stays right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from graft.foundation.class_map import RGB

Style = Literal["none", "lab", "fourier"]
# Linear RGB of sRGB to XYZ, each row divided by that of white (D65, as in OpenCV), so that white is (1, 1, 1).
TO_XYZ = torch.tensor([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
TO_XYZ /= torch.tensor([[0.950456], [1.0], [1.088754]])
# Of X, Y and Z after the root: L* = 116 fy - 16, a* = 500 (fx - fy), b* = 200 (fy - fz).
TO_LAB = torch.tensor([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
DARK, SLOPE, OFFSET = 0.008856, 7.787, 16 / 116  # below it CIE has a line in place of the cube root
LEAST = 1e-5


def recolour(
    style: Style, images: Tensor, references: Tensor, inside: Tensor, channels: Sequence[str], beta: float
) -> Tensor:
    """Each image in the colours of its reference; channels that are measurements stay as they are.

    Args:
        style: `lab` or `fourier`.
        images: uint8 [B, C, H, W].
        references: uint8 of the same shape.
        inside: bool [B, H, W] or [B], whether a pixel of a reference lies in the image and not beyond it.
        channels: The C names of the channels.
        beta: Half the width of the window of `fourier`.
    """
    if tuple(channels[:3]) != RGB:
        return images
    inside = inside if inside.ndim == 3 else inside[:, None, None].expand(-1, *images.shape[-2:])
    photographs, others = images[:, :3].float(), references[:, :3].float()
    changed = like_in_lab(photographs, others, inside) if style == "lab" else like_in_fourier(photographs, others, beta)
    changed = torch.cat([changed.round().clamp(0, 255).to(torch.uint8), images[:, 3:]], 1)
    return changed.contiguous(memory_format=torch.channels_last)


def like_in_lab(images: Tensor, references: Tensor, inside: Tensor) -> Tensor:
    """(x - mean) · deviation of the reference / deviation + mean of the reference, channel by channel in CIE L*a*b*.

    Reinhard et al. 2001, "Color Transfer between Images", equations 10 and 11, with L*a*b* for the paper's lαβ. Colours
    may come out beyond 0 and 255.

    Args:
        images: Float [B, 3, H, W], from 0 to 255.
        references: The same shape.
        inside: bool [B, H, W], the pixels of the references that count; of a reference without any, all do.
    """
    lab, others = to_lab(images), to_lab(references)
    mean, deviation = _moments(lab, torch.ones_like(inside))
    wanted_mean, wanted_deviation = _moments(others, inside | ~inside.any((1, 2), keepdim=True))
    return from_lab((lab - mean) * (wanted_deviation / deviation.clamp_min(LEAST)) + wanted_mean)


def _moments(images: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, [B, 3, 1, 1] each, over the pixels that are inside."""
    counted = inside[:, None]
    number = counted.sum((2, 3), keepdim=True)
    mean = (images * counted).sum((2, 3), keepdim=True) / number
    variance = ((images - mean).square() * counted).sum((2, 3), keepdim=True) / number
    return mean, variance.sqrt()


def like_in_fourier(images: Tensor, references: Tensor, beta: float) -> Tensor:
    """Each image with the amplitudes of its reference where the frequency is low, and with its own phases.

    Low are frequencies of at most b = floor(β · min(H, W)) periods along either axis; with b = 0 only the mean is
    taken over. Yang & Soatto 2020, "FDA: Fourier Domain Adaptation for Semantic Segmentation", equations 3 and 4, with
    the window of the published code. Values may come out beyond 0 and 255.

    Args:
        images: Float [B, C, H, W].
        references: The same shape.
        beta: β, below a half.
    """
    height, width = images.shape[-2:]
    reach, device = int(beta * min(height, width)), images.device
    rows, columns = torch.fft.fftfreq(height, 1 / height, device=device), torch.arange(width // 2 + 1, device=device)
    low = (rows.abs() <= reach)[:, None] & (columns <= reach)
    own, other = torch.fft.rfft2(images), torch.fft.rfft2(references)
    swapped = torch.polar(torch.where(low, other.abs(), own.abs()), own.angle())
    return torch.fft.irfft2(swapped, s=(height, width))


def to_lab(images: Tensor) -> Tensor:
    """CIE L*a*b* (D65) of sRGB images, float [B, 3, H, W] from 0 to 255."""
    values = images / 255
    linear = torch.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    xyz = _product(TO_XYZ, linear)
    roots = torch.where(xyz > DARK, xyz.clamp_min(DARK) ** (1 / 3), SLOPE * xyz + OFFSET)
    return _product(TO_LAB, roots) - _offsets(images)


def from_lab(lab: Tensor) -> Tensor:
    """The inverse of `to_lab`; colours that sRGB has not come out below 0 or above 255."""
    roots = _product(torch.linalg.inv(TO_LAB), lab + _offsets(lab))
    xyz = torch.where(roots > SLOPE * DARK + OFFSET, roots**3, (roots - OFFSET) / SLOPE)
    linear = _product(torch.linalg.inv(TO_XYZ), xyz)
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return 255 * torch.where(linear > 0.0031308, curved, 12.92 * linear)


def _product(matrix: Tensor, images: Tensor) -> Tensor:
    return F.conv2d(images, matrix.to(images.device)[..., None, None])


def _offsets(images: Tensor) -> Tensor:
    return images.new_tensor([16.0, 0.0, 0.0]).view(1, 3, 1, 1)

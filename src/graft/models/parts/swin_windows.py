"""Swin's attention within shifted windows, with torchvision's results, in a form that exports at any size.

torchvision asks in Python whether a map is larger than a window, and shifts the windows only then; an export keeps the
answer for the traced size, and is wrong at others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

# What torchvision adds to the attention between places that are neighbours only because the map was rolled.
APART = -100.0


def use_exportable_windows(network: nn.Module) -> None:
    """Lets each attention of torchvision's Swin transformers compute as this module does; nothing else changes."""
    for module in network.modules():
        if isinstance(module, ShiftedWindowAttention):
            module.__class__ = WindowAttentionV2 if isinstance(module, ShiftedWindowAttentionV2) else WindowAttention


class WindowAttention(ShiftedWindowAttention):
    """Attention of Swin: maps [B, H, W, C] to [B, H, W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return _attend(self, x, self._scores, self._bias())

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        return (query * query.shape[-1] ** -0.5).matmul(key.transpose(-2, -1))

    def _bias(self) -> Tensor:
        return self.qkv.bias


class WindowAttentionV2(ShiftedWindowAttentionV2):
    """Attention of Swin V2, which compares by cosine: maps [B, H, W, C] to [B, H, W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return _attend(self, x, self._scores, self._bias())

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        cosine = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        return cosine * torch.clamp(self.logit_scale, max=math.log(100.0)).exp()

    def _bias(self) -> Tensor:
        bias, third = self.qkv.bias, self.qkv.bias.numel() // 3
        return torch.cat([bias[:third], torch.zeros_like(bias[third : 2 * third]), bias[2 * third :]])  # keys have none


def _attend(
    attention: ShiftedWindowAttention, maps: Tensor, scores: Callable[[Tensor, Tensor], Tensor], bias: Tensor
) -> Tensor:
    """`shifted_window_attention` of torchvision; the shift is a number that is zero where one window holds the map."""
    batch, height, width, channels = maps.shape
    (size_h, size_w), heads = attention.window_size, attention.num_heads
    rows, columns = (height + size_h - 1) // size_h, (width + size_w - 1) // size_w
    shift_h, shift_w = (_shift(*pair, maps) for pair in zip(attention.shift_size, (rows, columns), strict=True))
    padded = F.pad(maps, (0, 0, 0, columns * size_w - width, 0, rows * size_h - height))
    padded = _roll(_roll(padded, 1, shift_h), 2, shift_w)

    windows = padded.view(batch, rows, size_h, columns, size_w, channels).permute(0, 1, 3, 2, 4, 5)
    windows = windows.reshape(batch * rows * columns, size_h * size_w, channels)
    parts = F.linear(windows, attention.qkv.weight, bias).unflatten(2, (3, heads, channels // heads))
    query, key, value = parts.permute(2, 0, 3, 1, 4)
    found = scores(query, key) + attention.get_relative_position_bias()
    if sum(attention.shift_size) > 0:
        origin_h, origin_w = _origin(rows, size_h, shift_h, maps), _origin(columns, size_w, shift_w, maps)
        origin = (origin_h[:, None] * 3 + origin_w).view(rows, size_h, columns, size_w).permute(0, 2, 1, 3)
        origin = origin.reshape(rows * columns, size_h * size_w)
        apart = (origin[:, None] != origin[:, :, None]).to(found.dtype) * APART
        found = (found.unflatten(0, (batch, rows * columns)) + apart[:, None]).flatten(0, 1)
    found = F.dropout(F.softmax(found, dim=-1), attention.attention_dropout, attention.training)

    mixed = found.matmul(value).transpose(1, 2).flatten(2)
    mixed = F.dropout(attention.proj(mixed), attention.dropout, attention.training)
    mixed = mixed.view(batch, rows, columns, size_h, size_w, channels).permute(0, 1, 3, 2, 4, 5)
    whole = mixed.reshape(batch, rows * size_h, columns * size_w, channels)
    return _roll(_roll(whole, 1, -shift_h), 2, -shift_w)[:, :height, :width].contiguous()


def _shift(shift: int, num_windows: int, like: Tensor) -> Tensor:
    """The shift, or zero where there is one window: int64 [], for the exporter has no smaller of two sizes."""
    return shift * torch.arange(num_windows, device=like.device).sum().clamp(max=1)


def _roll(maps: Tensor, axis: int, shift: Tensor) -> Tensor:
    """`torch.roll` by minus `shift`."""
    place = torch.arange(maps.shape[axis], device=maps.device)
    length, origin = place[-1] + 1, place + shift
    return maps.index_select(axis, origin + length * (origin < 0).long() - length * (origin >= length).long())


def _origin(num_windows: int, size: int, shift: Tensor, like: Tensor) -> Tensor:
    """For each place of a rolled axis, which of the three parts it is from that were no neighbours before."""
    place = torch.arange(num_windows * size, device=like.device)
    end = place[-1] + 1
    return (place >= end - size).long() + (place >= end - shift).long()

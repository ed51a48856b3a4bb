"""Autocast as training uses it: in bf16 on a processor, depthwise convolutions with slow gradients stay float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from graft.inference.torch_runner import autocast

# Measured with torch 2.15 on a processor with AVX-512 BF16: a depthwise convolution of
# stride 2, or of a kernel this wide, takes 5 to 100 times as long backwards in bf16 as in float32.
SLOW_KERNEL = 5


@contextmanager
def training_autocast(device_type: str, precision: str) -> Iterator[None]:
    """The context in which a model trains in `precision`: `float32` (as it is), `bf16` or `fp16`."""
    with autocast(device_type, precision):
        if device_type == "cpu" and precision == "bf16":
            with Float32Depthwise():
                yield
        else:
            yield


class Float32Depthwise(TorchFunctionMode):
    """Computes in float32 those depthwise convolutions whose gradients oneDNN has no fast kernels for in bf16.

    These are the ones of a stride above 1 (gradient of the input) and of kernels of 5 pixels and more (gradient of the
    weight). What needs no gradient stays in bf16, whose forward pass is the faster one.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if func is torch.conv2d and args and _is_slow_backwards(*args, **options):
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **options)
        return func(*args, **options)


def _is_slow_backwards(
    features: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int | Sequence[int] = 1, *_: Any, **__: Any
) -> bool:
    is_depthwise = weight.shape[1] == 1 < features.shape[1]
    largest_stride = stride if isinstance(stride, int) else max(stride)
    is_slow = largest_stride > 1 or max(weight.shape[2:]) >= SLOW_KERNEL
    needs_gradients = torch.is_grad_enabled() and (features.requires_grad or weight.requires_grad)
    return is_depthwise and is_slow and needs_gradients

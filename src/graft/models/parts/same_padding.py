"""TensorFlow's `SAME` padding with a fixed number of zeros, for networks whose images come in multiples of a stride.

timm computes it from the size of each image: as torch exports a network for any size, each such layer nests another
rounding into the formula of all later sizes, and the export does not end (stopped after five minutes).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow does where its stride divides height and width."""

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = (
            max(dilation * (size - 1) + 1 - stride, 0)
            for size, stride, dilation in zip(self.kernel_size, self.stride, self.dilation, strict=True)
        )
        padded = F.pad(images, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def has_same_padding(network: nn.Module) -> bool:
    """Returns whether any convolution of the network pads as TensorFlow does: timm's by the size of the image, ours."""
    from timm.layers import Conv2dSame

    return any(isinstance(module, Conv2dSame | SameConv2d) for module in network.modules())


def fix_same_padding(network: nn.Module) -> None:
    """Makes each of these convolutions pad as `SameConv2d` does; nothing else changes."""
    from timm.layers import Conv2dSame

    padded: list[nn.Module] = [module for module in network.modules() if isinstance(module, Conv2dSame)]
    for module in padded:
        module.__class__ = SameConv2d

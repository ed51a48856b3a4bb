"""A convolutional network of timm as the backbone of a head that reads its features by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from graft.models.parts.same_padding import fix_same_padding


class TimmFeatures(nn.Module):
    """Features of a network of timm, from images float `[B, C, H, W]` to a mapping; height and width are multiples.

    The network is `model`, as in the encoders of segmentation-models-pytorch, so that both hold the same tensors.

    Args:
        variant: Name of a convolutional model of timm.
        num_channels: Number of channels of the images.
        strides: Name of each feature to the number of pixels along a side that become one of its values, rising;
            what would be coarser than the last is dilated instead.
    """

    def __init__(self, variant: str, num_channels: int, strides: Mapping[str, int]) -> None:
        import timm

        super().__init__()
        # From a half to a thirty-second, timm numbers the features 0 to 4; the deepest is 4 at whichever stride.
        *shallow, deepest = strides.values()
        indices = [*(stride.bit_length() - 2 for stride in shallow), 4]
        options: dict[str, Any] = {"features_only": True, "output_stride": deepest, "out_indices": indices}
        network: Any = timm.create_model(variant, in_chans=num_channels, **options)
        fix_same_padding(network)
        self.model: nn.Module = network
        self.names = tuple(strides)
        self.num_features: list[int] = network.feature_info.channels()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.model(images), strict=True))

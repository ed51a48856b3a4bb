"""Swin transformer for classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model

if TYPE_CHECKING:
    from torchvision.models import SwinTransformer


def swin(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b"] = "swin_t",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.0,
) -> Model:
    """Swin transformer of torchvision: attention within windows that shift from layer to layer.

    A hierarchy like that of a convolutional network, so that any size will do (Liu et al. 2021, "Swin Transformer:
    Hierarchical Vision Transformer using Shifted Windows", section 3; V2: Liu et al. 2022).

    Args:
        variant: Size of the backbone; `v2` compares by cosine and is more stable when large.
        head: `original` is torchvision's, one layer on averaged features; `linear` the same with another
            initialisation; `mlp` a dense layer of 1024 with ReLU before it.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own.
        dropout: Before the class layer; the original has none.
    """
    from torchvision import models

    from graft.models.architectures.parts.swin_windows import use_exportable_windows

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    use_exportable_windows(network)
    return classifier_on(
        Windows(network),
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), head=network.head),
        "head",
        num_channels,
        num_features=network.head.in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        padding_multiple=32,
        is_transformer=True,
        min_side_px=64,
    )


class Windows(nn.Module):
    """torchvision's transformer before its pooling, under its names: images to features [B, C, H / 32, W / 32]."""

    def __init__(self, network: SwinTransformer) -> None:
        super().__init__()
        self.features, self.norm = network.features, network.norm

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.features(images)).permute(0, 3, 1, 2)

"""Swin transformer for classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier

if TYPE_CHECKING:
    from torchvision.models import SwinTransformer


@torchvision_classifier
def swin(
    num_classes: int,
    *,
    variant: Literal["swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b"] = "swin_t",
    dropout: Dropout = 0.0,
) -> ClassifierParts:
    """Swin transformer of torchvision: attention within windows that shift from layer to layer.

    A hierarchy like that of a convolutional network, so that any size will do (Liu et al. 2021, "Swin Transformer:
    Hierarchical Vision Transformer using Shifted Windows", section 3; V2: Liu et al. 2022).

    Args:
        variant: Size of the backbone; `v2` compares by cosine and is more stable when large.
        head: Layers behind the backbone: `original` is torchvision's, one layer on averaged features; `linear` the same
            with another initialisation; `mlp` a dense layer of 1024 with ReLU before it.
        dropout: Probability of dropout before the class layer; the original has none.
    """
    from graft.models.parts.swin_windows import use_exportable_windows

    network = network_of(variant, num_classes)
    use_exportable_windows(network)
    return ClassifierParts(
        SwinBackbone(network),
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), head=network.head),
        "head",
        num_features=network.head.in_features,
        dropout=dropout,
        model_facts={"padding_multiple": 32, "is_transformer": True},
    )


class SwinBackbone(nn.Module):
    """torchvision's transformer before its pooling, under its names: images to features [B, C, H / 32, W / 32]."""

    def __init__(self, network: SwinTransformer) -> None:
        super().__init__()
        self.features, self.norm = network.features, network.norm

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.features(images)).permute(0, 3, 1, 2)

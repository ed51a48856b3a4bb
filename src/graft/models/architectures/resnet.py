"""ResNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Feature, Model


def resnet(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ] = "resnet18",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.0,
) -> Model:
    """ResNet of torchvision, and its grouped (ResNeXt) and wide relatives.

    The backbone that most published recipes start from (He et al. 2016, "Deep Residual Learning for Image
    Recognition"; Xie et al. 2017; Zagoruyko and Komodakis 2016).

    Args:
        variant: Depth and width of the backbone.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; the original has none.
    """
    from torchvision import models
    from torchvision.models._utils import IntermediateLayerGetter

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    original = Layers(pool=network.avgpool, flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), fc=network.fc)
    return classifier_on(
        IntermediateLayerGetter(network, {"layer4": "out"}),
        original,
        "fc",
        num_channels,
        num_features=network.fc.in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        before=Layers(feature=Feature("out")),
        min_side_px=64,
    )

"""MobileNetV3 for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model


def mobilenet_v3(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["large", "small"] = "large",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.2,
) -> Model:
    """MobileNetV3 of torchvision, made for phones; the large one shares its backbone with LR-ASPP and DeepLabV3.

    The first choice where latency counts, and for the bundled weights (Howard et al. 2019, "Searching for
    MobileNetV3", section 5).

    Args:
        variant: Depth and width of the backbone.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; 0.2 is torchvision's.
    """
    from torchvision import models

    network = models.get_model(f"mobilenet_v3_{variant}", weights=None, num_classes=num_classes)
    original = Layers(pool=network.avgpool, flatten=nn.Flatten(1), classifier=network.classifier)
    return classifier_on(
        network.features,
        original,
        "classifier.3",
        num_channels,
        num_features=network.classifier[0].in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

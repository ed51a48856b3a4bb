"""EfficientNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model


def efficientnet(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal[
        "efficientnet_b0",
        "efficientnet_b1",
        "efficientnet_b2",
        "efficientnet_b3",
        "efficientnet_b4",
        "efficientnet_b5",
        "efficientnet_b6",
        "efficientnet_b7",
        "efficientnet_v2_s",
        "efficientnet_v2_m",
        "efficientnet_v2_l",
    ] = "efficientnet_b0",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.2,
) -> Model:
    """EfficientNet of torchvision: depth, width and image size grow together; V2 trains faster.

    Many points for few multiplications, though slower on a CPU than these suggest (Tan and Le 2019, "EfficientNet",
    section 3.3; Tan and Le 2021, "EfficientNetV2", section 3).

    Args:
        variant: Depth and width of the backbone.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; torchvision has 0.2 for B0 and B1 and up to 0.5 for the largest.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    original = Layers(pool=network.avgpool, flatten=nn.Flatten(1), classifier=network.classifier)
    return classifier_on(
        network.features,
        original,
        "classifier.1",
        num_channels,
        num_features=network.classifier[1].in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

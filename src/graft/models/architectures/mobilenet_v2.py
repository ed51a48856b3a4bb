"""MobileNetV2 for classification."""

from __future__ import annotations

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model


def mobilenet_v2(
    num_classes: int,
    num_channels: int,
    *,
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.2,
) -> Model:
    """MobileNetV2 of torchvision, made for phones; its backbone is also the encoder `mobilenet_v2` of the segmenters.

    Small, and simple to quantise (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    table 2).

    Args:
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; 0.2 is torchvision's.
    """
    from torchvision import models

    network = models.mobilenet_v2(weights=None, num_classes=num_classes)
    original = Layers(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(1), classifier=network.classifier)
    return classifier_on(
        network.features,
        original,
        "classifier.1",
        num_channels,
        num_features=network.last_channel,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

"""ShuffleNetV2 for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on, layers_before
from graft.models.model import Model


def shufflenet_v2(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal[
        "shufflenet_v2_x1_0", "shufflenet_v2_x0_5", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"
    ] = "shufflenet_v2_x1_0",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.0,
) -> Model:
    """ShuffleNetV2 of torchvision: half of the channels pass each unit untouched, then all are shuffled.

    Made for measured speed on small processors rather than for few multiplications (Ma et al. 2018, "ShuffleNet V2:
    Practical Guidelines for Efficient CNN Architecture Design", section 3).

    Args:
        variant: Width of the backbone, as a multiple.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; the original has none.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    return classifier_on(
        layers_before("fc", network),
        Layers(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), fc=network.fc),
        "fc",
        num_channels,
        num_features=network.fc.in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

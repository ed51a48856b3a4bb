"""ShuffleNetV2 for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import (
    ClassifierParts,
    layers_before,
    network_of,
    torchvision_classifier,
)


@torchvision_classifier
def shufflenet_v2(
    num_classes: int,
    *,
    variant: Literal[
        "shufflenet_v2_x1_0", "shufflenet_v2_x0_5", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"
    ] = "shufflenet_v2_x1_0",
    dropout: Dropout = 0.0,
) -> ClassifierParts:
    """ShuffleNetV2 of torchvision: half of the channels pass each unit untouched, then all are shuffled.

    Made for measured speed on small processors rather than for few multiplications (Ma et al. 2018, "ShuffleNet V2:
    Practical Guidelines for Efficient CNN Architecture Design", section 3).

    Args:
        variant: Width of the backbone, as a multiple.
        dropout: Probability of dropout before the class layer; the original has none.
    """
    network = network_of(variant, num_classes)
    return ClassifierParts(
        layers_before("fc", network),
        Layers(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), fc=network.fc),
        "fc",
        num_features=network.fc.in_features,
        dropout=dropout,
    )

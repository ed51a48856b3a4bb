"""EfficientNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier


@torchvision_classifier
def efficientnet(
    num_classes: int,
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
    dropout: Dropout = 0.2,
) -> ClassifierParts:
    """EfficientNet of torchvision: depth, width and image size grow together; V2 trains faster.

    Many points for few multiplications, though slower on a CPU than these suggest (Tan and Le 2019, "EfficientNet",
    section 3.3; Tan and Le 2021, "EfficientNetV2", section 3).

    Args:
        variant: Depth and width of the backbone.
        dropout: Probability of dropout before the class layer; torchvision has 0.2 for B0 and B1 and up to
            0.5 for the largest.
    """
    network = network_of(variant, num_classes)
    return ClassifierParts(
        network.features,
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), classifier=network.classifier),
        "classifier.1",
        num_features=network.classifier[1].in_features,
        dropout=dropout,
    )

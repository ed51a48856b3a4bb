"""MNASNet for classification."""

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
def mnasnet(
    num_classes: int,
    *,
    variant: Literal["mnasnet1_0", "mnasnet0_5", "mnasnet0_75", "mnasnet1_3"] = "mnasnet1_0",
    dropout: Dropout = 0.2,
) -> ClassifierParts:
    """MNASNet of torchvision: mobile blocks whose sizes a search chose by the latency measured on a phone.

    For small devices; MobileNetV3 came of the same search and is usually the better (Tan et al. 2019, "MnasNet:
    Platform-Aware Neural Architecture Search for Mobile", section 4).

    Args:
        variant: Width of the backbone, as a multiple.
        dropout: Probability of dropout before the class layer; 0.2 is torchvision's.
    """
    network = network_of(variant, num_classes)
    return ClassifierParts(
        layers_before("classifier", network),
        Layers(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(1), classifier=network.classifier),
        "classifier.1",
        num_features=network.classifier[1].in_features,
        dropout=dropout,
    )

"""MobileNetV3 for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier


@torchvision_classifier
def mobilenet_v3(
    num_classes: int,
    *,
    variant: Literal["large", "small"] = "large",
    dropout: Dropout = 0.2,
) -> ClassifierParts:
    """MobileNetV3 of torchvision, made for phones; the large one shares its backbone with LR-ASPP and DeepLabV3.

    The first choice where latency counts, and for the bundled weights (Howard et al. 2019, "Searching for
    MobileNetV3", section 5).

    Args:
        variant: Depth and width of the backbone.
        dropout: Probability of dropout before the class layer; 0.2 is torchvision's.
    """
    network = network_of(f"mobilenet_v3_{variant}", num_classes)
    return ClassifierParts(
        network.features,
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), classifier=network.classifier),
        "classifier.3",
        num_features=network.classifier[0].in_features,
        dropout=dropout,
    )

"""MobileNetV2 for classification."""

from __future__ import annotations

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier


@torchvision_classifier
def mobilenet_v2(
    num_classes: int,
    *,
    dropout: Dropout = 0.2,
) -> ClassifierParts:
    """MobileNetV2 of torchvision, made for phones; its backbone is also the encoder `mobilenet_v2` of the segmenters.

    Small, and simple to quantise (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    table 2).

    Args:
        dropout: Probability of dropout before the class layer; 0.2 is torchvision's.
    """
    network = network_of("mobilenet_v2", num_classes)
    return ClassifierParts(
        network.features,
        Layers(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(1), classifier=network.classifier),
        "classifier.1",
        num_features=network.last_channel,
        dropout=dropout,
    )

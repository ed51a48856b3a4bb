"""DenseNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier


@torchvision_classifier
def densenet(
    num_classes: int,
    *,
    variant: Literal["densenet121", "densenet161", "densenet169", "densenet201"] = "densenet121",
    dropout: Dropout = 0.0,
) -> ClassifierParts:
    """DenseNet of torchvision: each layer reads the features of all layers before it in its block.

    Accurate for few parameters, at the price of memory; a common start for medical images (Huang et al. 2017, "Densely
    Connected Convolutional Networks", section 3).

    Args:
        variant: Depth and width of the backbone.
        dropout: Probability of dropout before the class layer; the original has none.
    """
    network = network_of(variant, num_classes)
    pool, classifier = nn.AdaptiveAvgPool2d(1), network.classifier
    return ClassifierParts(
        network.features,
        Layers(pool=pool, flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), classifier=classifier),
        "classifier",
        num_features=classifier.in_features,
        dropout=dropout,
        before_head=Layers(relu=nn.ReLU()),
    )

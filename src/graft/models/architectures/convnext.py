"""ConvNeXt for classification."""

from __future__ import annotations

from typing import Literal

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier


@torchvision_classifier
def convnext(
    num_classes: int,
    *,
    variant: Literal["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"] = "convnext_tiny",
    dropout: Dropout = 0.0,
) -> ClassifierParts:
    """ConvNeXt of torchvision: a convolutional network with the proportions and the training of a Swin transformer.

    Strong features for transfer and free in image size (Liu et al. 2022, "A ConvNet for the 2020s", section 2).

    Args:
        variant: Depth and width of the backbone.
        dropout: Probability of dropout before the class layer of a new head; the original has none.
    """
    network = network_of(variant, num_classes)
    return ClassifierParts(
        network.features,
        Layers(pool=network.avgpool, classifier=network.classifier),
        "classifier.2",
        num_features=network.classifier[2].in_features,
        dropout=dropout,
    )

"""SqueezeNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier


@torchvision_classifier
def squeezenet(
    num_classes: int,
    *,
    variant: Literal["squeezenet1_1", "squeezenet1_0"] = "squeezenet1_1",
    dropout: Dropout = 0.5,
) -> ClassifierParts:
    """SqueezeNet of torchvision: 1 × 1 convolutions squeeze the channels before each wider layer; a file of 3 to 5 MB.

    For where a model must be tiny. It has no normalisation, and its original head ends in a ReLU, so that logits are
    never negative: a new head trains more readily (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x
    fewer parameters and <0.5MB model size", section 3).

    Args:
        variant: 1.1 has fewer multiplications than the paper's 1.0 and the same accuracy.
        dropout: Probability of dropout before the class layer; 0.5 is torchvision's.
    """
    network = network_of(variant, num_classes)
    return ClassifierParts(
        network.features,
        Layers(classifier=network.classifier, flatten=nn.Flatten(1)),
        "classifier.1",
        num_features=512,
        dropout=dropout,
    )

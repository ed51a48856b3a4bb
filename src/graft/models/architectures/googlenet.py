"""GoogLeNet for classification."""

from __future__ import annotations

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import (
    ClassifierParts,
    layers_before,
    network_of,
    torchvision_classifier,
)


@torchvision_classifier
def googlenet(
    num_classes: int,
    *,
    dropout: Dropout = 0.2,
) -> ClassifierParts:
    """GoogLeNet (Inception v1) of torchvision: branches of several kernel sizes side by side, with batch normalisation.

    Small and fast for its age; `inception_v3` is its successor. Its two auxiliary heads, which torchvision publishes
    without trained weights, are left out (Szegedy et al. 2015, "Going Deeper with Convolutions", section 5).

    Args:
        dropout: Probability of dropout before the class layer; 0.2 is torchvision's.
    """
    network = network_of("googlenet", num_classes, aux_logits=False, init_weights=True)
    return ClassifierParts(
        layers_before("avgpool", network),
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), dropout=network.dropout, fc=network.fc),
        "fc",
        num_features=network.fc.in_features,
        dropout=dropout,
    )

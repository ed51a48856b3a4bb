"""ResNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.model import Feature
from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier


@torchvision_classifier
def resnet(
    num_classes: int,
    *,
    variant: Literal[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ] = "resnet18",
    dropout: Dropout = 0.0,
) -> ClassifierParts:
    """ResNet of torchvision, and its grouped (ResNeXt) and wide relatives.

    The backbone that most published recipes start from (He et al. 2016, "Deep Residual Learning for Image
    Recognition"; Xie et al. 2017; Zagoruyko and Komodakis 2016).

    Args:
        variant: Depth and width of the backbone.
        dropout: Probability of dropout before the class layer; the original has none.
    """
    from torchvision.models._utils import IntermediateLayerGetter

    network = network_of(variant, num_classes)
    return ClassifierParts(
        IntermediateLayerGetter(network, {"layer4": "out"}),
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), fc=network.fc),
        "fc",
        num_features=network.fc.in_features,
        dropout=dropout,
        before_head=Layers(feature=Feature("out")),
    )

"""ResNet for classification."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from graft.models.model import Feature, Model
from graft.models.stem import with_channels


def resnet(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] = "resnet18",
) -> Model:
    """ResNet of torchvision (He et al. 2016, "Deep Residual Learning")."""
    from torchvision import models
    from torchvision.models._utils import IntermediateLayerGetter

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    backbone = IntermediateLayerGetter(network, {"layer4": "out"})
    layers = OrderedDict(feature=Feature("out"), pool=network.avgpool, flatten=nn.Flatten(1), fc=network.fc)
    return Model(
        with_channels(backbone, num_channels), nn.Sequential(layers), class_layers=("head.fc",), min_side_px=64
    )

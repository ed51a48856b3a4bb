"""MobileNetV3 for classification."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from graft.models.model import Model
from graft.models.stem import with_channels


def mobilenet_v3(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["large", "small"] = "large",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> Model:
    """MobileNetV3 of torchvision (Howard et al. 2019). The large one shares its backbone with LR-ASPP and DeepLabV3."""
    from torchvision import models

    network = models.get_model(f"mobilenet_v3_{variant}", weights=None, num_classes=num_classes, dropout=dropout)
    layers = OrderedDict(pool=network.avgpool, flatten=nn.Flatten(1), classifier=network.classifier)
    return Model(
        with_channels(network.features, num_channels),
        nn.Sequential(layers),
        class_layers=("head.classifier.3",),
        min_side_px=64,
    )

"""Fully convolutional network: a dilated ResNet and a small convolutional head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graft.models.model import Model, Segmenter, on_last_feature, with_dropout


def fcn(
    num_classes: int,
    *,
    backbone: Literal["resnet50", "resnet101"] = "resnet50",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
) -> Model:
    """FCN of torchvision (Long et al. 2015, "Fully Convolutional Networks"), without its auxiliary head."""
    from torchvision.models import segmentation

    make = getattr(segmentation, f"fcn_{backbone}")
    network = make(weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=False)
    head = with_dropout(on_last_feature(network.classifier), dropout)
    return Segmenter(network.backbone, head, class_layers=("head.4",))

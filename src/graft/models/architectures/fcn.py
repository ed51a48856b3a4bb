"""Fully convolutional network: a dilated backbone and a small convolutional head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graft.models.model import Model
from graft.models.parts.torchvision_segmenters import segmenter_on


def fcn(
    num_classes: int,
    num_channels: int,
    *,
    backbone: Literal["resnet50", "resnet101", "mobilenet_v3_large"] = "resnet50",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.0,
) -> Model:
    """FCN of torchvision: a dilated backbone and two convolutions (Long et al. 2015, "Fully Convolutional Networks").

    The plainest of the segmenters; where it falls behind, it is the context around a pixel that counts. torchvision
    publishes COCO weights for both ResNets. On MobileNetV3 it is put together as torchvision's DeepLabV3 is.

    Args:
        backbone: Backbone, which works at an eighth of the image's size (MobileNetV3: a sixteenth).
        dropout: Probability of dropout before the class layer.
        auxiliary_weight: Weight of the loss of a second head on the last stage but one of the backbone; 0 builds none.
            Zhao et al. 2017, "Pyramid Scene Parsing Network", section 5.2, train with 0.4.
    """
    from torchvision.models import segmentation
    from torchvision.models.segmentation.fcn import FCNHead

    mobile = backbone == "mobilenet_v3_large"
    make = getattr(segmentation, f"{'deeplabv3' if mobile else 'fcn'}_{backbone}")
    network = make(weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=auxiliary_weight > 0)
    classifier = FCNHead(network.classifier[0].convs[0][0].in_channels, num_classes) if mobile else network.classifier
    return segmenter_on(network, classifier, num_channels, dropout=dropout, auxiliary_weight=auxiliary_weight)

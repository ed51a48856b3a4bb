"""Lite reduced atrous spatial pyramid pooling: the fastest of the segmenters, made for phones."""

from __future__ import annotations

from typing import Literal

from graft.models.architectures.parts.stem import set_channels
from graft.models.model import Model, Segmenter


def lraspp(
    num_classes: int, num_channels: int, *, backbone: Literal["mobilenet_v3_large"] = "mobilenet_v3_large"
) -> Model:
    """LR-ASPP of torchvision: the fastest of the segmenters; the bundled weights are of this one.

    For real time and for small machines (Howard et al. 2019, "Searching for MobileNetV3", section 6.4).

    Args:
        backbone: Backbone, whose deepest stage runs dilated at a sixteenth of the image's size; the head adds a path at
            an eighth.
    """
    from torchvision.models import segmentation

    network = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
    layers = ("head.low_classifier", "head.high_classifier")
    return Segmenter(set_channels(network.backbone, num_channels), network.classifier, class_layers=layers)

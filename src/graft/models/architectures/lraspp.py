"""Lite reduced atrous spatial pyramid pooling: the fastest of the segmenters, made for phones."""

from __future__ import annotations

from typing import Literal

from graft.models.model import Model, Segmenter
from graft.models.parts.stem import set_channels
from graft.models.parts.timm_features import TimmFeatures

Backbone = Literal["mobilenet_v3_large", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
STRIDE = 16


def lraspp(num_classes: int, num_channels: int, *, backbone: Backbone = "mobilenet_v3_large") -> Model:
    """LR-ASPP of torchvision: the fastest of the segmenters; the bundled weights are of this one.

    For real time and for small machines (Howard et al. 2019, "Searching for MobileNetV3", section 6.4).

    Args:
        backbone: Backbone, whose deepest stage runs dilated at a sixteenth of the image's size; the head adds a path at
            an eighth. MobileNetV3 is torchvision's. The EfficientNet-Lites are timm's `tf_efficientnet_lite…`: ReLU6,
            and no squeeze-and-excitation.
    """
    from torchvision.models import segmentation

    layers = ("head.low_classifier", "head.high_classifier")
    if backbone == "mobilenet_v3_large":
        network = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
        return Segmenter(set_channels(network.backbone, num_channels), network.classifier, class_layers=layers)
    features = TimmFeatures(f"tf_{backbone}", num_channels, {"low": 8, "high": STRIDE})
    head = segmentation.lraspp.LRASPPHead(*features.num_features, num_classes, inter_channels=128)
    return Segmenter(features, head, class_layers=layers, padding_multiple=STRIDE)

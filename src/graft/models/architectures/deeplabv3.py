"""DeepLabV3: dilated backbone and atrous spatial pyramid pooling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graft.models.model import Model
from graft.models.parts.pooling import PooledBatchNorm
from graft.models.parts.torchvision_segmenters import segmenter_on


def deeplabv3(
    num_classes: int,
    num_channels: int,
    *,
    backbone: Literal["resnet50", "resnet101", "mobilenet_v3_large"] = "mobilenet_v3_large",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.0,
) -> Model:
    """DeepLabV3 of torchvision: convolutions of several dilations side by side see small and large context.

    Strong on street scenes and slow, because the backbone's last stages keep their resolution. torchvision publishes
    COCO weights for each backbone (Chen et al. 2017, "Rethinking Atrous Convolution", section 3.3).

    Args:
        backbone: Backbone, which works at an eighth of the image's size (MobileNetV3: a sixteenth).
        dropout: Probability of dropout behind the pyramid; 0.5 is torchvision's.
        auxiliary_weight: Weight of the loss of a second head on the last stage but one of the backbone; 0 builds none.
            Zhao et al. 2017, "Pyramid Scene Parsing Network", section 5.2, train with 0.4.
    """
    from torchvision.models import segmentation

    make = getattr(segmentation, f"deeplabv3_{backbone}")
    network = make(weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=auxiliary_weight > 0)
    pooling = network.classifier[0].convs[-1]
    pooling[2] = PooledBatchNorm(pooling[2].num_features)
    return segmenter_on(network, network.classifier, num_channels, dropout=dropout, auxiliary_weight=auxiliary_weight)

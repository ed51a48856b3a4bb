"""DeepLabV3: dilated backbone and atrous spatial pyramid pooling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from graft.models.model import Model, Segmenter, on_last_feature, with_dropout


def deeplabv3(
    num_classes: int,
    *,
    backbone: Literal["resnet50", "resnet101", "mobilenet_v3_large"] = "mobilenet_v3_large",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
) -> Model:
    """DeepLabV3 of torchvision (Chen et al. 2017, "Rethinking Atrous Convolution"), without its auxiliary head."""
    from torchvision.models import segmentation

    make = getattr(segmentation, f"deeplabv3_{backbone}")
    network = make(weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=False)
    pooling = network.classifier[0].convs[-1]
    pooling[2] = PooledBatchNorm(pooling[2].num_features)
    head = with_dropout(on_last_feature(network.classifier), dropout)
    return Segmenter(network.backbone, head, class_layers=("head.4",))


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of globally pooled features, which also trains on a batch of one image.

    One value a channel has no variance, and torch refuses it; such a batch (the last of an epoch) is normalised with
    the running statistics and does not change them.
    """

    def forward(self, features: Tensor) -> Tensor:
        if self.training and features.shape[0] == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(features)

"""Pyramid scene parsing network on any encoder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from graft.models.model import Model
from graft.models.parts.segmentation_models import Encoder, build_on_encoder


def pspnet(
    num_classes: int,
    num_channels: int,
    *,
    encoder: Encoder = "mobilenet_v2",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> Model:
    """PSPNet of segmentation-models-pytorch: averages over the whole scene and its 4, 9 and 36 parts join each pixel.

    Fast, good where the scene says what a pixel can be, coarse at borders: the library uses the encoder's first three
    sizes only and enlarges eightfold (Zhao et al. 2017, "Pyramid Scene Parsing Network", section 3.2).

    Args:
        encoder: A name in `segmentation_models_pytorch.encoders.get_encoder_names()`, or `tu-` and a convolutional
            or hierarchical model of timm.
        dropout: Probability of dropout of whole channels before the class layer; 0.2 is the library's.
    """
    import segmentation_models_pytorch as smp

    model = build_on_encoder(smp.PSPNet, encoder, num_classes, num_channels, psp_dropout=dropout)
    blocks = model.head.get_submodule("decoder.psp.blocks")
    for name, block in list(blocks.named_children()):
        setattr(blocks, name, PyramidLevel(block.get_submodule("pool")))
    return model


class PyramidLevel(nn.Module):
    """The library's `PSPBlock` without its other way for export, which is right only at the traced image's size."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        return F.interpolate(self.pool(features), size=features.shape[2:], mode="bilinear", align_corners=True)

"""Pyramid scene parsing network on any encoder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.models.model import Model
from graft.models.segmentation_models import Encoder, on_encoder


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
        dropout: Of whole channels before the class layer; 0.2 is the library's.
    """
    import segmentation_models_pytorch as smp

    return on_encoder(smp.PSPNet, encoder, num_classes, num_channels, psp_dropout=dropout)

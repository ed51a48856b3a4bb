"""Feature pyramid network on any encoder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.models.model import Model
from graft.models.parts.segmentation_models import Encoder, build_on_encoder


def fpn(
    num_classes: int,
    num_channels: int,
    *,
    encoder: Encoder = "mobilenet_v2",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    pyramid_channels: Annotated[int, Field(ge=32, le=512)] = 256,
    branch_channels: Annotated[int, Field(ge=32, le=512, multiple_of=32)] = 128,
) -> Model:
    """FPN of segmentation-models-pytorch: features of four sizes, each enriched by the coarser ones, summed.

    Light and even over object sizes (Kirillov et al. 2019, "Panoptic Feature Pyramid Networks", section 3.1; the
    pyramid is Lin et al. 2017). Pyramid of 256 and branches of 128 channels are the paper's, for encoders that end in
    2048. On a light encoder they cost more than it does: with half of both, a step with EfficientNet-Lite0 takes half.

    Args:
        encoder: A name in `segmentation_models_pytorch.encoders.get_encoder_names()`, or `tu-` and a convolutional
            or hierarchical model of timm.
        dropout: Probability of dropout of whole channels before the class layer; 0.2 is the library's.
        pyramid_channels: Width of the pyramid.
        branch_channels: Width of the branches that are summed; a multiple of 32, for they are normalised in 32 groups.
    """
    import segmentation_models_pytorch as smp

    return build_on_encoder(
        smp.FPN,
        encoder,
        num_classes,
        num_channels,
        decoder_dropout=dropout,
        decoder_pyramid_channels=pyramid_channels,
        decoder_segmentation_channels=branch_channels,
    )

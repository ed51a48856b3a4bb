"""DeepLabV3+ on any encoder that can be dilated."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.models.model import Model
from graft.models.parts.segmentation_models import Channels, Encoder, build_on_encoder


def deeplabv3plus(
    num_classes: int,
    num_channels: int,
    *,
    encoder: Encoder = "mobilenet_v2",
    decoder_channels: Channels = 256,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
) -> Model:
    """DeepLabV3+ of segmentation-models-pytorch: an atrous pyramid and a decoder with finer features.

    Context of DeepLabV3 with finer borders at less cost (Chen et al. 2018, "Encoder-Decoder with Atrous Separable
    Convolution for Semantic Image Segmentation"). Rates 12, 24 and 36, and 48 channels of the skip are the library's
    and the paper's.

    Args:
        encoder: A name in `segmentation_models_pytorch.encoders.get_encoder_names()`, or `tu-` and a convolutional
            model of timm, that can be dilated; VGG, DenseNet and Mix Transformers cannot.
        decoder_channels: Channels of each branch of the pyramid and of the decoder.
        dropout: Probability of dropout behind the pyramid; 0.5 is the library's.
    """
    import segmentation_models_pytorch as smp

    options = {"decoder_channels": decoder_channels, "decoder_aspp_dropout": dropout}
    return build_on_encoder(smp.DeepLabV3Plus, encoder, num_classes, num_channels, stride=16, **options)

"""UPerNet on any encoder."""

from __future__ import annotations

from graft.models.model import Model
from graft.models.parts.segmentation_models import Channels, Encoder, build_on_encoder


def upernet(
    num_classes: int, num_channels: int, *, encoder: Encoder = "mobilenet_v2", decoder_channels: Channels = 256
) -> Model:
    """UPerNet of segmentation-models-pytorch: a feature pyramid with PSPNet's pooling on top.

    The decoder with which Swin and ConvNeXt report their ADE20K scores; heavy for small encoders (Xiao et al. 2018,
    "Unified Perceptual Parsing for Scene Understanding", section 3.2).

    Args:
        encoder: A name in `segmentation_models_pytorch.encoders.get_encoder_names()`, or `tu-` and a convolutional
            or hierarchical model of timm.
        decoder_channels: Channels of each level; 256 is the library's, the paper's are 512.
    """
    import segmentation_models_pytorch as smp

    return build_on_encoder(smp.UPerNet, encoder, num_classes, num_channels, decoder_channels=decoder_channels)

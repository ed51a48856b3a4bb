"""U-Net on any encoder."""

from __future__ import annotations

from graft.models.model import Model
from graft.models.parts.segmentation_models import Encoder, build_on_encoder


def unet(num_classes: int, num_channels: int, *, encoder: Encoder = "mobilenet_v2") -> Model:
    """U-Net of segmentation-models-pytorch: a decoder that takes the encoder's features at every size by skips.

    The safe choice for thin structures and few images (Ronneberger et al. 2015, "U-Net: Convolutional Networks for
    Biomedical Image Segmentation"). Decoder widths 256 to 16 are the library's.

    Args:
        encoder: A name in `segmentation_models_pytorch.encoders.get_encoder_names()`, or `tu-` and a convolutional
            or hierarchical model of timm; it is the backbone.
    """
    import segmentation_models_pytorch as smp

    return build_on_encoder(smp.Unet, encoder, num_classes, num_channels)

"""Dense prediction transformer: a plain vision transformer as the backbone of a segmenter."""

from __future__ import annotations

from graft.models.model import Model
from graft.models.parts.segmentation_models import Channels, Encoder, build_on_transformer


def dpt(
    num_classes: int,
    num_channels: int,
    *,
    encoder: Encoder = "tu-vit_base_patch16_224",
    decoder_channels: Channels = 256,
) -> Model:
    """DPT of segmentation-models-pytorch: tokens of four depths of a vision transformer become maps of four sizes.

    For backbones that were pretrained without a hierarchy (DINOv2, CLIP, MAE). Position embeddings are resampled to the
    image at hand, so that sizes are free (Ranftl et al. 2021, "Vision Transformers for Dense Prediction", section 3).

    Args:
        encoder: Name of a vision transformer of timm behind `tu-`; its patches must measure 8, 16 or 32 pixels.
        decoder_channels: Channels of the fused maps; the maps of the four depths have one, two, four and four times as
            many. 256 is the paper's.
    """
    return build_on_transformer(encoder, num_classes, num_channels, decoder_channels)

"""SegFormer: a Mix Transformer, or any other encoder, under a decoder of linear layers."""

from __future__ import annotations

from graft.models.model import Model
from graft.models.parts.segmentation_models import Channels, Encoder, build_on_encoder


def segformer(
    num_classes: int, num_channels: int, *, encoder: Encoder = "mit_b0", decoder_channels: Channels = 256
) -> Model:
    """SegFormer of segmentation-models-pytorch: features of all sizes, made equally wide and large, one linear layer.

    A transformer for any image size, without position embeddings; wants AdamW at 6e-5 and a head that learns ten times
    as fast (Xie et al. 2021, "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers").

    Args:
        encoder: `mit_b0` to `mit_b5` are the paper's; any name in
            `segmentation_models_pytorch.encoders.get_encoder_names()`, or `tu-` and a model of timm, will do.
        decoder_channels: Channels of the map of each size; the paper has 256 for B0 and B1 and 768 for the larger.
    """
    import segmentation_models_pytorch as smp

    options = {"decoder_segmentation_channels": decoder_channels}
    return build_on_encoder(smp.Segformer, encoder, num_classes, num_channels, **options)

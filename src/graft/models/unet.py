"""U-Net on any encoder of segmentation-models-pytorch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor, nn

from graft.choices import resembling
from graft.models.model import Model

UNIVERSAL = "tu-"  # how segmentation-models-pytorch marks an encoder that timm builds


def known_encoder(name: str) -> str:
    """The name itself, if segmentation-models-pytorch, or for `tu-…` timm, has an encoder of that name."""
    if name.startswith(UNIVERSAL):
        import timm

        encoders = dict.fromkeys(f"{UNIVERSAL}{model}" for model in timm.list_models())
    else:
        import segmentation_models_pytorch as smp

        encoders = dict.fromkeys(smp.encoders.get_encoder_names())
    if name not in encoders:
        raise ValueError(f"segmentation-models-pytorch has no such encoder; {resembling(name, encoders)}")
    return name


def unet(
    num_classes: int, num_channels: int, *, encoder: Annotated[str, AfterValidator(known_encoder)] = "mobilenet_v2"
) -> Model:
    """U-Net (Ronneberger et al. 2015) with skip connections at a half to a sixteenth of the image's size.

    Args:
        num_classes: Channels of the logits.
        encoder: A name in `segmentation_models_pytorch.encoders.get_encoder_names()`, or `tu-` and a convolutional
            model of timm; it is the backbone.
    """
    import segmentation_models_pytorch as smp

    network = smp.Unet(encoder, encoder_weights=None, in_channels=num_channels, classes=num_classes)
    head = Decoding(network.decoder, network.segmentation_head)
    layers = ("head.segmentation_head.0",)
    return Model(network.encoder, head, class_layers=layers, padding_multiple=32, min_side_px=64)


class Decoding(nn.Sequential):
    """Decoder and class layer under the names they have in checkpoints of segmentation-models-pytorch."""

    def __init__(self, decoder: nn.Module, segmentation_head: nn.Module) -> None:
        super().__init__(OrderedDict(decoder=decoder, segmentation_head=segmentation_head))

    def forward(self, features: list[Tensor]) -> Tensor:
        return super().forward(features)

"""Architectures of segmentation-models-pytorch as our models: any of its encoders, and timm's, under any decoder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from graft.foundation.errors import GraftError, suggest
from graft.models.model import Model
from graft.models.parts.pooling import MatrixPool, PooledBatchNorm
from graft.models.parts.same_padding import fix_same_padding
from graft.models.parts.timm_library import input_options, stride_of, timm_names

if TYPE_CHECKING:
    from segmentation_models_pytorch.base import SegmentationModel

PATCHES_PX = (8, 16, 32)
MIX_TRANSFORMER = "mit_"
UNIVERSAL = "tu-"  # how segmentation-models-pytorch marks an encoder that timm builds


def check_encoder(name: str) -> str:
    """Returns the name itself, if segmentation-models-pytorch, or for `tu-…` timm, has an encoder of that name.

    Raises:
        ValueError: Neither has; the error says which name it resembles.
    """
    if name.startswith(UNIVERSAL):
        encoders = dict.fromkeys(f"{UNIVERSAL}{model}" for model in timm_names())
    else:
        import segmentation_models_pytorch as smp

        encoders = dict.fromkeys(smp.encoders.get_encoder_names())
    if name not in encoders:
        raise ValueError(f"segmentation-models-pytorch has no such encoder; {suggest(name, encoders)}")
    return name


Encoder = Annotated[str, AfterValidator(check_encoder)]
Channels = Annotated[int, Field(gt=0)]


def build_on_encoder(
    architecture: Callable[..., SegmentationModel],
    encoder: str,
    num_classes: int,
    num_channels: int,
    *,
    stride: int = 32,
    **options: Any,
) -> Model:
    """The library's architecture, its encoder as backbone, freshly initialised.

    Args:
        architecture: A class of segmentation-models-pytorch.
        encoder: A name that `check_encoder` accepts.
        num_classes: Channels of the logits.
        num_channels: Number of channels of the images.
        stride: Number that must divide height and width.
        options: Options of the architecture.

    Raises:
        GraftError: The library cannot put this decoder on this encoder.
    """
    name = encoder.removeprefix(UNIVERSAL)
    adapting, fixed_size_px = input_options(name) if encoder.startswith(UNIVERSAL) else ({}, None)
    supplied = {"in_channels": num_channels, "classes": num_classes, **adapting, **options}
    side = fixed_size_px or 2 * stride
    try:
        network = _create_network(architecture, encoder, supplied, side)
    except Exception as error:  # the library raises seven kinds of exception for encoders that do not fit
        raise _misfit_error(architecture, encoder, str(error)) from None
    return Model(
        network.encoder,
        SegmentationDecoder(network.decoder, network.segmentation_head),
        class_layers=("head.segmentation_head.0",),
        padding_multiple=fixed_size_px or stride,
        min_side_px=side,
        fixed_size_px=fixed_size_px,
        is_transformer=bool(adapting) or encoder.startswith(MIX_TRANSFORMER),
    )


def build_on_transformer(encoder: str, num_classes: int, num_channels: int, decoder_channels: int) -> Model:
    """DPT on a vision transformer of timm, freshly initialised; arguments as for `dpt`.

    What only a classifier needs, the last normalisation and the layers behind the deepest features, is left out.

    Raises:
        GraftError: The encoder is no vision transformer, or its patches have a size that the decoder cannot enlarge.
    """
    import segmentation_models_pytorch as smp

    has_tokens = _has_tokens(encoder)
    adapting, fixed_size_px = input_options(encoder.removeprefix(UNIVERSAL))
    network = smp.DPT(
        encoder,
        encoder_weights=None,
        decoder_readout="cat" if has_tokens else "ignore",
        decoder_intermediate_channels=[decoder_channels * factor for factor in (1, 2, 4, 4)],
        decoder_fusion_channels=decoder_channels,
        in_channels=num_channels,
        classes=num_classes,
        **adapting,
    )
    network.encoder.model.prune_intermediate_layers(network.encoder._output_indices, prune_norm=True, prune_head=True)
    return Model(
        network.encoder,
        SegmentationDecoder(network.decoder, network.segmentation_head),
        class_layers=("head.segmentation_head.head.4",),
        padding_multiple=fixed_size_px or 32,
        min_side_px=fixed_size_px or 64,
        fixed_size_px=fixed_size_px,
        is_transformer=True,
    )


def _create_network(
    architecture: Callable[..., SegmentationModel], encoder: str, supplied: Mapping[str, Any], side_px: int
) -> SegmentationModel:
    """The library's network, changed so that it exports and trains, without parts that no image passes."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # names that begin with timm-
        network = architecture(encoder, encoder_weights=None, **supplied)
    _replace_pools(network)
    fix_same_padding(network)
    decoder = SegmentationDecoder(network.decoder, network.segmentation_head)
    _prune_unreached(network, lambda images: decoder(network.encoder(images)), supplied["in_channels"], side_px)
    return network


def _has_tokens(encoder: str) -> bool:
    """Returns whether a vision transformer of timm has tokens beside those of its patches.

    Raises:
        GraftError: The encoder is no vision transformer, or its patches have a size that DPT cannot enlarge.
    """
    import segmentation_models_pytorch as smp
    import timm

    name = encoder.removeprefix(UNIVERSAL)
    if name == encoder:
        raise _misfit_error(smp.DPT, encoder, "it needs a vision transformer of timm, tu-vit_…")
    with torch.device("meta"):
        outline = timm.create_model(name)
    if not hasattr(outline, "prune_intermediate_layers") or not hasattr(outline, "blocks"):
        raise _misfit_error(smp.DPT, encoder, "it is no vision transformer")
    if (stride := stride_of(outline)) not in PATCHES_PX:
        raise _misfit_error(smp.DPT, encoder, f"patches of {stride} px; the decoder enlarges those of 8, 16 or 32 px")
    return getattr(outline, "num_prefix_tokens", 0) > 0


def _misfit_error(architecture: Callable[..., nn.Module], encoder: str, reason: str) -> GraftError:
    return GraftError(
        f"{architecture.__name__} cannot be built on the encoder {encoder} ({reason})",
        where="model.encoder",
        remedy="choose another encoder: graft models lists them",
    )


class SegmentationDecoder(nn.Module):
    """Decoder and class layer under the names they have in checkpoints of segmentation-models-pytorch."""

    def __init__(self, decoder: nn.Module, segmentation_head: nn.Module) -> None:
        super().__init__()
        self.decoder, self.segmentation_head = decoder, segmentation_head

    def forward(self, features: Any) -> Tensor:
        # A vision transformer returns two lists, features and class tokens; every other encoder one.
        decoded = self.decoder(*features) if isinstance(features, tuple) else self.decoder(features)
        return self.segmentation_head(decoded)


def _replace_pools(network: nn.Module) -> None:
    """Pools that export, and normalisation of pooled features that bears a batch of one image."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
                size = child.output_size
                sides = cast(tuple[int, int], size if isinstance(size, tuple) else (size, size))
                setattr(module, name, MatrixPool(*sides))
        if isinstance(module, nn.Sequential) and len(module) > 1 and _is_global(module[0]):
            _replace_norms(module)


def _is_global(pool: nn.Module) -> bool:
    return isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size in (1, (1, 1))


def _replace_norms(pooled: nn.Module) -> None:
    for module in list(pooled.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, PooledBatchNorm(child.num_features, eps=child.eps))


def _prune_unreached(network: nn.Module, forward: Callable[[Tensor], Tensor], num_channels: int, side_px: int) -> None:
    """Removes from the network each module whose parameters all have no influence on the output.

    The encoder of a library may be deeper than its decoder reads.

    Args:
        network: Network, changed in place and left in training mode.
        forward: Function that calls the network.
        num_channels: Number of channels of the image on which this is tried.
        side_px: Side of that image. The network sees it in evaluation mode, so that no statistic changes and nothing
            random is drawn.
    """
    network.eval()
    parameters = dict(network.named_parameters())
    image = next(iter(parameters.values())).new_zeros(1, num_channels, side_px, side_px)
    with torch.enable_grad():
        gradients = torch.autograd.grad(forward(image).sum(), list(parameters.values()), allow_unused=True)
    _prune(network, "", {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None})
    network.train()


def _prune(module: nn.Module, prefix: str, reached: set[str]) -> None:
    for name, child in list(module.named_children()):
        names = [f"{prefix}{name}.{parameter}" for parameter, _ in child.named_parameters()]
        if names and reached.isdisjoint(names):
            del module._modules[name]  # `del` of a Sequential's item would renumber the others
        else:
            _prune(child, f"{prefix}{name}.", reached)

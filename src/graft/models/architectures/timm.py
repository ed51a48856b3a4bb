"""Any classifier of timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator
from torch import nn

from graft.foundation.errors import GraftError
from graft.models.model import Model
from graft.models.parts.heads import Dropout, dense_layers
from graft.models.parts.same_padding import fix_same_padding, has_same_padding
from graft.models.parts.timm_library import check_variant, input_options, stride_of


def timm(
    num_classes: int,
    num_channels: int,
    *,
    variant: Annotated[str, AfterValidator(check_variant)] = "mobilenetv3_small_100",
    head: Literal["linear", "mlp"] = "linear",
    dropout: Dropout = 0.0,
) -> Model:
    """Any of timm's models: its features, pooled as it pools them, under a new head.

    For what torchvision does not have: over a thousand architectures, most with weights (Wightman 2019, "PyTorch Image
    Models"). Vision and Swin transformers take any size their patches divide; others of fixed size pad to it.

    Args:
        variant: A name in `timm.list_models()`, or `name.tag` in `timm.list_pretrained()`.
        head: Layers behind the backbone: `linear` is one layer; `mlp` a dense layer of 1024 with ReLU before it.
        dropout: Probability of dropout before the class layer.
    """
    adapting, fixed_size_px = input_options(variant)
    backbone = _create_backbone(variant, num_channels, adapting)
    num_features = cast(int, getattr(backbone, "head_hidden_size", None) or backbone.num_features)
    layers, class_layer = dense_layers(head, num_features, num_classes, dropout=dropout)
    multiple = fixed_size_px or (stride_of(backbone) if adapting or has_same_padding(backbone) else 1)
    fix_same_padding(backbone)
    return Model(
        backbone,
        nn.Sequential(layers),
        class_layers=(f"head.{class_layer}",),
        padding_multiple=multiple,
        min_side_px=fixed_size_px or max(64, 2 * multiple),
        fixed_size_px=fixed_size_px,
        is_transformer=bool(adapting),
    )


def _create_backbone(variant: str, num_channels: int, options: Mapping[str, Any]) -> nn.Module:
    """A freshly initialised model of timm without its class layer.

    Raises:
        GraftError: timm cannot build it: it needs a library of its own, or takes three channels only.
    """
    import timm as library

    try:
        return library.create_model(variant, pretrained=False, num_classes=0, in_chans=num_channels, **options)
    except Exception as error:  # of as many kinds as there are libraries
        raise GraftError(
            f"timm cannot build {variant} for {num_channels} channels ({error})",
            where="model.variant",
            remedy="choose another: graft models lists them",
        ) from None

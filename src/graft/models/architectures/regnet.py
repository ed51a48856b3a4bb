"""RegNet for classification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import (
    ClassifierParts,
    layers_before,
    network_of,
    torchvision_classifier,
)

Variant = Literal[
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "regnet_y_8gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_128gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_1_6gf",
    "regnet_x_3_2gf",
    "regnet_x_8gf",
    "regnet_x_16gf",
    "regnet_x_32gf",
]


@torchvision_classifier
def regnet(
    num_classes: int,
    *,
    variant: Variant = "regnet_y_400mf",
    dropout: Dropout = 0.0,
) -> ClassifierParts:
    """RegNet of torchvision: widths and depths follow a simple rule that was found by comparing whole design spaces.

    As plain as a ResNet, in sizes from phones to servers; the three largest Y also have weights that began with 3.6
    billion photographs and their hashtags, `IMAGENET1K_SWAG_…` (Radosavovic et al. 2020, "Designing Network Design
    Spaces", section 3.3; Singh et al. 2022).

    Args:
        variant: Multiplications of the backbone for 224 × 224 px, in millions (`mf`) or billions (`gf`); `y` squeezes
            and excites.
        dropout: Probability of dropout before the class layer; the original has none.
    """
    with SizesOnCpu():
        network = network_of(variant, num_classes)
    return ClassifierParts(
        layers_before("avgpool", network),
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), fc=network.fc),
        "fc",
        num_features=network.fc.in_features,
        dropout=dropout,
    )


class SizesOnCpu(TorchFunctionMode):
    """Tensors that torchvision computes widths and depths with stay on the CPU, also where a model is only outlined."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        device = {"device": "cpu"} if func in (torch.arange, torch.tensor) else {}
        return func(*args, **{**(kwargs or {}), **device})

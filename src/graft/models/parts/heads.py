"""Heads of classifiers: that of their library, one linear layer, or a small perceptron."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from graft.models.parts.pooling import MatrixPool

HeadKind = Literal["original", "linear", "mlp"]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Layers = OrderedDict[str, nn.Module]

HIDDEN_CHANNELS = 1024
# As many values a side as VGG flattens.
FLATTENED_SIDE = 7


def new_head(
    kind: HeadKind, num_features: int, num_classes: int, *, dropout: float, flatten: bool
) -> tuple[Layers, str]:
    """Layers from a backbone's features [B, C, H, W] to logits [B, K], and the name of the class layer.

    Args:
        kind: Kind of head: `linear` is dropout and the class layer; `mlp` a dense layer of 1024 with ReLU before them.
        num_features: Number of features, C.
        num_classes: Number of classes, K.
        dropout: Probability of dropout before the class layer.
        flatten: True to keep the features of each place of a 7 × 7 grid apart; False to average them.
    """
    side = FLATTENED_SIDE if flatten else 1
    pool = MatrixPool(side, side) if flatten else nn.AdaptiveAvgPool2d(1)
    dense, class_layer = dense_layers(kind, num_features * side**2, num_classes, dropout=dropout)
    return Layers(pool=pool, flatten=nn.Flatten(1)) | dense, class_layer


def dense_layers(kind: HeadKind, num_features: int, num_classes: int, *, dropout: float) -> tuple[Layers, str]:
    """As `new_head`, for features [B, C] that the backbone has pooled."""
    if kind == "mlp":
        dense, output = nn.Linear(num_features, HIDDEN_CHANNELS), nn.Linear(HIDDEN_CHANNELS, num_classes)
        return Layers(dense=dense, relu=nn.ReLU(inplace=True), dropout=nn.Dropout(dropout), output=output), "output"
    return Layers(dropout=nn.Dropout(dropout), fc=nn.Linear(num_features, num_classes)), "fc"

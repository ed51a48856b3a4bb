"""A small plain convolutional network for classification, for learning purposes."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import Field
from torch import nn

from graft.models.model import Model
from graft.models.parts.heads import Dropout, Layers, new_head


def plain_cnn(
    num_classes: int,
    num_channels: int,
    *,
    width: Annotated[int, Field(gt=0, le=256)] = 32,
    depth: Annotated[int, Field(ge=1, le=5)] = 3,
    dropout: Dropout = 0.0,
) -> Model:
    """Blocks of convolution, ReLU and pooling, then one layer on averaged features; nothing pretrained.

    To learn with, and as the control that a pretrained model has to beat (the pattern of LeCun et al. 1998,
    "Gradient-Based Learning Applied to Document Recognition", figure 2).

    Args:
        width: Channels of the first block; each further one has twice as many.
        depth: Number of blocks, each of which halves the image.
        dropout: Probability of dropout before the class layer.
    """
    backbone = plain_blocks(num_channels, width, depth)
    layers, class_layer = new_head("linear", width * 2 ** (depth - 1), num_classes, dropout=dropout, flatten=False)
    return Model(backbone, nn.Sequential(layers), class_layers=(f"head.{class_layer}",))


def plain_blocks(num_channels: int, width: int, depth: int) -> nn.Sequential:
    """`depth` blocks from images [B, num_channels, H, W] to [B, width · 2^(depth - 1), H / 2^depth, W / 2^depth]."""
    blocks, channels = nn.Sequential(), num_channels
    for number in range(depth):
        wider = width * 2**number
        convolution = nn.Conv2d(channels, wider, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(cast(nn.Parameter, convolution.bias))
        block = Layers(convolution=convolution, relu=nn.ReLU(inplace=True), pool=nn.MaxPool2d(2))
        blocks.add_module(f"block{number + 1}", nn.Sequential(block))
        channels = wider
    return blocks

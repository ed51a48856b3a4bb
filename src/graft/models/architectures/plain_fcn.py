"""A small plain convolutional network for segmentation, for learning purposes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

from pydantic import Field
from torch import nn

from graft.models.architectures.plain_cnn import plain_blocks
from graft.models.model import Model, Segmenter
from graft.models.parts.heads import Dropout


def plain_fcn(
    num_classes: int,
    num_channels: int,
    *,
    width: Annotated[int, Field(gt=0, le=256)] = 32,
    depth: Annotated[int, Field(ge=1, le=5)] = 3,
    dropout: Dropout = 0.0,
) -> Model:
    """The plain network of `plain_cnn` as a segmenter: a class for each of its features, enlarged to the image.

    To learn with, and as the control that a pretrained model has to beat; coarse at borders, since nothing brings the
    fine features back (Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation", FCN-32s).

    Args:
        width: Channels of the first block; each further one has twice as many.
        depth: Number of blocks, each of which halves the image.
        dropout: Probability of dropout before the class layer.
    """
    channels = width * 2 ** (depth - 1)
    head = nn.Sequential(OrderedDict(dropout=nn.Dropout2d(dropout), classes=nn.Conv2d(channels, num_classes, 1)))
    return Segmenter(plain_blocks(num_channels, width, depth), head, class_layers=("head.classes",))

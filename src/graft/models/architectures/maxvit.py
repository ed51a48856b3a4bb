"""MaxViT for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model

# torchvision fixes the number of windows when it builds the network.
SIDE_PX = 224


def maxvit(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["maxvit_t"] = "maxvit_t",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.0,
) -> Model:
    """MaxViT of torchvision: each block convolves, attends within windows, and attends over a sparse grid.

    Strong on photographs where its one size suffices: it takes images of 224 px only, smaller ones are padded (Tu et
    al. 2022, "MaxViT: Multi-Axis Vision Transformer", section 3).

    Args:
        variant: Size of the backbone; torchvision has the tiny one.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer of a new head; the original has none.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    return classifier_on(
        nn.Sequential(Layers(stem=network.stem, blocks=nn.Sequential(*network.blocks))),
        Layers(classifier=network.classifier),
        "classifier.5",
        num_channels,
        num_features=network.classifier[5].in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        padding_multiple=SIDE_PX,
        min_side_px=SIDE_PX,
        fixed_size_px=SIDE_PX,
    )

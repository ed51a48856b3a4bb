"""DenseNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model


def densenet(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["densenet121", "densenet161", "densenet169", "densenet201"] = "densenet121",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.0,
) -> Model:
    """DenseNet of torchvision: each layer reads the features of all layers before it in its block.

    Accurate for few parameters, at the price of memory; a common start for medical images (Huang et al. 2017, "Densely
    Connected Convolutional Networks", section 3).

    Args:
        variant: Depth and width of the backbone.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; the original has none.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    pool, classifier = nn.AdaptiveAvgPool2d(1), network.classifier
    original = Layers(pool=pool, flatten=nn.Flatten(1), dropout=nn.Dropout(dropout), classifier=classifier)
    return classifier_on(
        network.features,
        original,
        "classifier",
        num_channels,
        num_features=classifier.in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        before=Layers(relu=nn.ReLU()),
        min_side_px=64,
    )

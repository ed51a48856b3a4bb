"""ConvNeXt for classification."""

from __future__ import annotations

from typing import Literal

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model


def convnext(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"] = "convnext_tiny",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.0,
) -> Model:
    """ConvNeXt of torchvision: a convolutional network with the proportions and the training of a Swin transformer.

    Strong features for transfer and free in image size (Liu et al. 2022, "A ConvNet for the 2020s", section 2).

    Args:
        variant: Depth and width of the backbone.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer of a new head; the original has none.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    original = Layers(pool=network.avgpool, classifier=network.classifier)
    return classifier_on(
        network.features,
        original,
        "classifier.2",
        num_channels,
        num_features=network.classifier[2].in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

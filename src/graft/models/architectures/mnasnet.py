"""MNASNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on, layers_before
from graft.models.model import Model


def mnasnet(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["mnasnet1_0", "mnasnet0_5", "mnasnet0_75", "mnasnet1_3"] = "mnasnet1_0",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.2,
) -> Model:
    """MNASNet of torchvision: mobile blocks whose sizes a search chose by the latency measured on a phone.

    For small devices; MobileNetV3 came of the same search and is usually the better (Tan et al. 2019, "MnasNet:
    Platform-Aware Neural Architecture Search for Mobile", section 4).

    Args:
        variant: Width of the backbone, as a multiple.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; 0.2 is torchvision's.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    return classifier_on(
        layers_before("classifier", network),
        Layers(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(1), classifier=network.classifier),
        "classifier.1",
        num_channels,
        num_features=network.classifier[1].in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

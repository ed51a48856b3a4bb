"""SqueezeNet for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model


def squeezenet(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["squeezenet1_1", "squeezenet1_0"] = "squeezenet1_1",
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.5,
) -> Model:
    """SqueezeNet of torchvision: 1 × 1 convolutions squeeze the channels before each wider layer; a file of 3 to 5 MB.

    For where a model must be tiny. It has no normalisation, and its original head ends in a ReLU, so that logits are
    never negative: a new head trains more readily (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x
    fewer parameters and <0.5MB model size", section 3).

    Args:
        variant: 1.1 has fewer multiplications than the paper's 1.0 and the same accuracy.
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; 0.5 is torchvision's.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    return classifier_on(
        network.features,
        Layers(classifier=network.classifier, flatten=nn.Flatten(1)),
        "classifier.1",
        num_channels,
        num_features=512,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

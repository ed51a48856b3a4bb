"""AlexNet for classification."""

from __future__ import annotations

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.pooling import MatrixPool
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Model

# It works from 63 px on, but where its features are fewer than three a side torch cannot export it for any size.
MIN_SIDE_PX = 128


def alexnet(
    num_classes: int,
    num_channels: int,
    *,
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.5,
) -> Model:
    """AlexNet of torchvision: five convolutions and three dense layers.

    The network that began deep learning on photographs; a baseline, for newer ones know more with a tenth of its 61
    million parameters (Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", section
    5).

    Args:
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before each hidden layer; 0.5 is torchvision's.
    """
    from torchvision import models

    network = models.alexnet(weights=None, num_classes=num_classes)
    return classifier_on(
        network.features,
        Layers(pool=MatrixPool(6, 6), flatten=nn.Flatten(1), classifier=network.classifier),
        "classifier.6",
        num_channels,
        num_features=256,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=MIN_SIDE_PX,
    )

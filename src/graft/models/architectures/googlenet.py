"""GoogLeNet for classification."""

from __future__ import annotations

from torch import nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.torchvision_classifiers import classifier_on, layers_before
from graft.models.model import Model


def googlenet(
    num_classes: int,
    num_channels: int,
    *,
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.2,
) -> Model:
    """GoogLeNet (Inception v1) of torchvision: branches of several kernel sizes side by side, with batch normalisation.

    Small and fast for its age; `inception_v3` is its successor. Its two auxiliary heads, which torchvision publishes
    without trained weights, are left out (Szegedy et al. 2015, "Going Deeper with Convolutions", section 5).

    Args:
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own, as in VGG.
        dropout: Before the class layer; 0.2 is torchvision's.
    """
    from torchvision import models

    network = models.googlenet(weights=None, num_classes=num_classes, aux_logits=False, init_weights=True)
    return classifier_on(
        layers_before("avgpool", network),
        Layers(pool=network.avgpool, flatten=nn.Flatten(1), dropout=network.dropout, fc=network.fc),
        "fc",
        num_channels,
        num_features=network.fc.in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        min_side_px=64,
    )

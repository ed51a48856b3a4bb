"""MaxViT for classification."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier

# torchvision fixes the number of windows when it builds the network.
SIDE_PX = 224


@torchvision_classifier
def maxvit(
    num_classes: int,
    *,
    variant: Literal["maxvit_t"] = "maxvit_t",
    dropout: Dropout = 0.0,
) -> ClassifierParts:
    """MaxViT of torchvision: each block convolves, attends within windows, and attends over a sparse grid.

    Strong on photographs where its one size suffices: it takes images of 224 px only, smaller ones are padded (Tu et
    al. 2022, "MaxViT: Multi-Axis Vision Transformer", section 3).

    Args:
        variant: Size of the backbone; torchvision has the tiny one.
        dropout: Probability of dropout before the class layer of a new head; the original has none.
    """
    network = network_of(variant, num_classes)
    return ClassifierParts(
        nn.Sequential(Layers(stem=network.stem, blocks=nn.Sequential(*network.blocks))),
        Layers(classifier=network.classifier),
        "classifier.5",
        num_features=network.classifier[5].in_features,
        dropout=dropout,
        min_side_px=SIDE_PX,
        model_facts={"padding_multiple": SIDE_PX, "fixed_size_px": SIDE_PX},
    )

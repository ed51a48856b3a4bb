"""Inception v3 for classification."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from graft.models.architectures.parts.heads import Dropout, HeadKind, Layers
from graft.models.architectures.parts.pooling import PooledBatchNorm
from graft.models.architectures.parts.torchvision_classifiers import classifier_on
from graft.models.model import Feature, Model

# Its convolutions without padding leave 75 px a single value a side, which batch normalisation cannot train on with one
# image; 107 px leave two.
MIN_SIDE_PX = 107
# The auxiliary head pools windows of 5 and convolves with 5 at a seventeenth of this.
AUXILIARY_SIDE_PX = 299


def inception_v3(
    num_classes: int,
    num_channels: int,
    *,
    head: HeadKind = "original",
    flatten: bool = False,
    dropout: Dropout = 0.5,
    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.0,
) -> Model:
    """Inception v3 of torchvision: branches of several kernel sizes side by side.

    Made for images of 299 px; it works from 75 px on and trains from 107 px on, smaller ones are padded (Szegedy et al.
    2016, "Rethinking the Inception Architecture for Computer Vision", table 1).

    Args:
        head: `original` is torchvision's, which its checkpoints fit; `linear` one layer on averaged features; `mlp` a
            dense layer of 1024 with ReLU before that layer.
        flatten: For a new head: whether each place of a grid of 7 × 7 keeps features of its own.
        dropout: Before the class layer; 0.5 is torchvision's.
        auxiliary_weight: What the loss of a second head in the middle counts; 0 builds none. The paper's section 4 and
            torchvision have it; 0.4 is torchvision's. It wants images of 299 px at least, and more than one in a batch.
    """
    from torchvision import models

    network = models.inception_v3(
        weights=None, num_classes=num_classes, aux_logits=auxiliary_weight > 0, init_weights=True
    )
    facts: dict[str, Any] = {"min_side_px": MIN_SIDE_PX}
    auxiliary = network.AuxLogits
    if auxiliary is not None:
        auxiliary.conv1.bn = PooledBatchNorm(auxiliary.conv1.bn.num_features, eps=auxiliary.conv1.bn.eps)
        facts = {
            "min_side_px": AUXILIARY_SIDE_PX,
            "class_layers": ("auxiliary.AuxLogits.fc",),
            "auxiliary": nn.Sequential(Layers(feature=Feature("aux"), AuxLogits=auxiliary)),
            "auxiliary_weight": auxiliary_weight,
        }
    return classifier_on(
        Inception(network),
        Layers(pool=network.avgpool, dropout=network.dropout, flatten=nn.Flatten(1), fc=network.fc),
        "fc",
        num_channels,
        num_features=network.fc.in_features,
        head=head,
        flatten=flatten,
        dropout=dropout,
        before=Layers(feature=Feature("out")),
        **facts,
    )


class Inception(nn.Sequential):
    """The layers before the pooling, under torchvision's names: images to features `aux` (middle) and `out` (end)."""

    def __init__(self, network: nn.Module) -> None:
        behind = ("AuxLogits", "avgpool", "dropout", "fc")
        super().__init__(Layers((name, layer) for name, layer in network.named_children() if name not in behind))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features, found = images, {}
        for name, layer in self.named_children():
            features = layer(features)
            if name == "Mixed_6e":
                found["aux"] = features
        return {**found, "out": features}

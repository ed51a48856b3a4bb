"""Inception v3 for classification."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from graft.models.model import Feature
from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.pooling import PooledBatchNorm
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier

# Its convolutions without padding leave 75 px a single value a side, which batch normalisation cannot train on with one
# image; 107 px leave two.
MIN_SIDE_PX = 107
# The auxiliary head pools windows of 5 and convolves with 5 at a seventeenth of this.
AUXILIARY_SIDE_PX = 299


@torchvision_classifier
def inception_v3(
    num_classes: int,
    *,
    dropout: Dropout = 0.5,
    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.0,
) -> ClassifierParts:
    """Inception v3 of torchvision: branches of several kernel sizes side by side.

    Made for images of 299 px; it works from 75 px on and trains from 107 px on, smaller ones are padded (Szegedy et al.
    2016, "Rethinking the Inception Architecture for Computer Vision", table 1).

    Args:
        dropout: Probability of dropout before the class layer; 0.5 is torchvision's.
        auxiliary_weight: Weight of the loss of a second head in the middle of the network; 0 builds none. Section 4 of
            the paper and torchvision have one; 0.4 is torchvision's. It needs images of at least 299 px, and more than
            one in a batch.
    """
    network = network_of("inception_v3", num_classes, aux_logits=auxiliary_weight > 0, init_weights=True)
    facts: dict[str, Any] = {}
    auxiliary = network.AuxLogits
    if auxiliary is not None:
        auxiliary.conv1.bn = PooledBatchNorm(auxiliary.conv1.bn.num_features, eps=auxiliary.conv1.bn.eps)
        facts = {
            "class_layers": ("auxiliary.AuxLogits.fc",),
            "auxiliary": nn.Sequential(Layers(feature=Feature("aux"), AuxLogits=auxiliary)),
            "auxiliary_weight": auxiliary_weight,
        }
    return ClassifierParts(
        InceptionBackbone(network),
        Layers(pool=network.avgpool, dropout=network.dropout, flatten=nn.Flatten(1), fc=network.fc),
        "fc",
        num_features=network.fc.in_features,
        dropout=dropout,
        before_head=Layers(feature=Feature("out")),
        min_side_px=MIN_SIDE_PX if auxiliary is None else AUXILIARY_SIDE_PX,
        model_facts=facts,
    )


class InceptionBackbone(nn.Sequential):
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

"""VGG for classification, with or without batch normalisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.pooling import MatrixPool
from graft.models.parts.torchvision_classifiers import ClassifierParts, torchvision_classifier

CONFIGURATIONS = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}  # columns of the paper's table 1


@torchvision_classifier
def vgg(
    num_classes: int,
    *,
    variant: Literal["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"] = "vgg16_bn",
    hidden_channels: Annotated[int, Field(gt=0)] = 4096,
    dropout: Dropout = 0.5,
) -> ClassifierParts:
    """VGG of torchvision: plain 3 × 3 convolutions; `_bn` with batch normalisation.

    The classic of transfer learning, large and slow for what it knows (Simonyan and Zisserman 2015, "Very Deep
    Convolutional Networks for Large-Scale Image Recognition", table 1).

    Args:
        variant: Depth of the backbone; without batch normalisation it wants pretrained weights or a small rate.
        hidden_channels: Width of the two hidden layers of the original head. The paper's 4096 make 120 of its 130
            million parameters; with another width the pretrained head does not fit, and the backbone still does.
        dropout: Probability of dropout behind each hidden layer.
    """
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers(cfgs[CONFIGURATIONS[variant.removesuffix("_bn")]], batch_norm=variant.endswith("_bn"))
    classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, hidden_channels),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden_channels, hidden_channels),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden_channels, num_classes),
    )
    _initialise(features, classifier)
    return ClassifierParts(
        features,
        Layers(pool=MatrixPool(7, 7), flatten=nn.Flatten(1), classifier=classifier),
        "classifier.6",
        num_features=512,
        dropout=dropout,
    )


def _initialise(features: nn.Module, classifier: nn.Module) -> None:
    """torchvision's initialisation: He for convolutions, small normal values for linear layers."""
    for module in [*features.modules(), *classifier.modules()]:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

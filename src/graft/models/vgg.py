"""VGG with batch normalisation for classification."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from graft.models.model import Model
from graft.models.pooling import MatrixPool
from graft.models.stem import with_channels

CONFIGURATIONS = {"vgg11_bn": "A", "vgg13_bn": "B", "vgg16_bn": "D", "vgg19_bn": "E"}  # columns of the paper's table 1


def vgg(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"] = "vgg16_bn",
    hidden_channels: Annotated[int, Field(gt=0)] = 4096,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
) -> Model:
    """VGG of torchvision (Simonyan and Zisserman 2015), batch-normalised.

    Args:
        num_classes: Length of the logits.
        variant: Depth of the backbone.
        hidden_channels: Width of the two hidden layers of the head. The original's 4096 make 120 of its 130 million
            parameters; with another width the pretrained head does not fit, and the backbone still does.
        dropout: Behind each hidden layer.
    """
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers(cfgs[CONFIGURATIONS[variant]], batch_norm=True)
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
    layers = OrderedDict(pool=MatrixPool(7, 7), flatten=nn.Flatten(1), classifier=classifier)
    return Model(
        with_channels(features, num_channels),
        nn.Sequential(layers),
        class_layers=("head.classifier.6",),
        min_side_px=64,
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

"""AlexNet for classification."""

from __future__ import annotations

from torch import nn

from graft.models.parts.heads import Dropout, Layers
from graft.models.parts.pooling import MatrixPool
from graft.models.parts.torchvision_classifiers import ClassifierParts, network_of, torchvision_classifier

# It works from 63 px on, but where its features are fewer than three a side torch cannot export it for any size.
MIN_SIDE_PX = 128


@torchvision_classifier
def alexnet(
    num_classes: int,
    *,
    dropout: Dropout = 0.5,
) -> ClassifierParts:
    """AlexNet of torchvision: five convolutions and three dense layers.

    The network that began deep learning on photographs; a baseline, for newer ones know more with a tenth of its 61
    million parameters (Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", section
    5).

    Args:
        dropout: Probability of dropout before each hidden layer; 0.5 is torchvision's.
    """
    network = network_of("alexnet", num_classes)
    return ClassifierParts(
        network.features,
        Layers(pool=MatrixPool(6, 6), flatten=nn.Flatten(1), classifier=network.classifier),
        "classifier.6",
        num_features=256,
        dropout=dropout,
        min_side_px=MIN_SIDE_PX,
    )

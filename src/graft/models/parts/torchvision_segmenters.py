"""Segmenters of torchvision as our models: a dilated backbone, and heads that each read one of its features."""

from __future__ import annotations

from torch import nn

from graft.models.model import Feature, Model, Segmenter, set_dropout
from graft.models.parts.heads import Layers
from graft.models.parts.stem import set_channels


def segmenter_on(
    network: nn.Module, classifier: nn.Module, num_channels: int, *, dropout: float, auxiliary_weight: float
) -> Model:
    """The network's backbone under a classifier and, where its loss counts anything, the network's auxiliary one.

    Args:
        network: Network with a `backbone`, and an `aux_classifier` where that is wanted.
        classifier: Layers from the feature `out` to logits; its layer `4` is the class layer.
        num_channels: Number of channels of the images.
        dropout: Probability in each dropout layer of the classifier.
        auxiliary_weight: Weight of the loss of the auxiliary classifier; 0 leaves it out.
    """
    head = set_dropout(_on_feature("out", classifier), dropout)
    layers: tuple[str, ...] = ("head.4",)
    auxiliary = None
    if auxiliary_weight > 0:
        auxiliary, layers = _on_feature("aux", network.get_submodule("aux_classifier")), (*layers, "auxiliary.4")
    backbone = set_channels(network.get_submodule("backbone"), num_channels)
    return Segmenter(backbone, head, class_layers=layers, auxiliary=auxiliary, auxiliary_weight=auxiliary_weight)


def _on_feature(name: str, head: nn.Module) -> nn.Sequential:
    """The head behind a `Feature`, its layers keeping the names they have in torchvision's checkpoints."""
    return nn.Sequential(Layers([("feature", Feature(name)), *head.named_children()]))

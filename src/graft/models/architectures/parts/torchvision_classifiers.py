"""Classifiers of torchvision as our models: a backbone, and behind it the library's own head or a new one."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from graft.models.architectures.parts.heads import HeadKind, Layers, new_head
from graft.models.architectures.parts.stem import with_channels
from graft.models.model import Model, with_dropout


def classifier_on(
    backbone: nn.Module,
    original: Layers,
    class_layer: str,
    num_channels: int,
    *,
    num_features: int,
    head: HeadKind,
    flatten: bool,
    dropout: float,
    before: Layers | None = None,
    **facts: Any,
) -> Model:
    """The backbone with the head of its library, or with a new one.

    Args:
        backbone: Images to features.
        original: The library's layers from features to logits, under the names they have in its checkpoints.
        class_layer: The name of the last of them.
        num_channels: Of the images.
        num_features: Channels of the features.
        head: `original`, or what takes its place.
        flatten: For a new head: whether the features of a 7 × 7 grid are told apart.
        dropout: Of each dropout layer of the head.
        before: What stands before any head.
        facts: About the input and of the auxiliary head, as `Model` takes them.
    """
    layers = original
    if head != "original":
        num_classes = len(cast(Tensor, nn.Sequential(original).get_submodule(class_layer).weight))
        layers, class_layer = new_head(head, num_features, num_classes, dropout=dropout, flatten=flatten)
    chain = with_dropout(nn.Sequential((before or Layers()) | layers), dropout)
    facts["class_layers"] = (f"head.{class_layer}", *facts.get("class_layers", ()))
    return Model(with_channels(backbone, num_channels), chain, **facts)


def layers_before(name: str, network: nn.Module) -> nn.Sequential:
    """The layers that stand before the layer of this name, one behind the other, under their names."""
    layers = list(network.named_children())
    end = next(place for place, (child, _) in enumerate(layers) if child == name)
    return nn.Sequential(Layers(layers[:end]))

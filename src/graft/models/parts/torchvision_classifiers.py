"""Classifiers of torchvision as our models: a backbone, and behind it the library's own head or a new one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from graft.models.model import Model, set_dropout
from graft.models.parts.heads import HeadKind, Layers, new_head
from graft.models.parts.stem import set_channels

SHARED_ARGUMENTS = {
    "head": "Layers behind the backbone: `original` is torchvision's, which its checkpoints fit; `linear` one layer on "
    "averaged features; `mlp` a dense layer of 1024 with ReLU before that layer.",
    "flatten": "Whether a new head keeps the features of each place of a grid of 7 × 7 apart, as in VGG.",
}


@dataclass(frozen=True)
class ClassifierParts:
    """A network of torchvision, taken apart.

    Attributes:
        backbone: Layers from images to features.
        original_head: Layers of torchvision from features to logits, under the names they have in its checkpoints.
        class_layer: Name of the last of them.
        num_features: Number of channels of the features.
        dropout: Probability in each dropout layer of the head.
        before_head: Layers that stand before any head.
        min_side_px: Smallest side of an image, as `Model` takes it.
        model_facts: Further arguments of `Model`, about the input and the auxiliary head.
    """

    backbone: nn.Module
    original_head: Layers
    class_layer: str
    num_features: int
    dropout: float
    before_head: Layers = field(default_factory=Layers)
    min_side_px: int = 64
    model_facts: Mapping[str, Any] = field(default_factory=dict)


def torchvision_classifier(entry: Callable[..., ClassifierParts]) -> Callable[..., Model]:
    """Makes an entry of the registry out of a function from `num_classes` and options to the parts of a network.

    The entry also takes `num_channels`, and the options `head` and `flatten` behind `variant`. Signature and docstring
    hold them too: `choices.resolve` reads the one, the toolbox page the other.
    """

    @functools.wraps(entry)
    def build(
        num_classes: int, num_channels: int, *, head: HeadKind = "original", flatten: bool = False, **options: Any
    ) -> Model:
        return _assemble(entry(num_classes, **options), num_classes, num_channels, head=head, flatten=flatten)

    own = inspect.signature(entry, eval_str=True).parameters
    shared = inspect.signature(_assemble, eval_str=True).parameters
    names = ["num_classes", "num_channels", *(["variant"] if "variant" in own else []), "head", "flatten"]
    parameters = [own.get(name) or shared[name] for name in dict.fromkeys([*names, *own])]
    build.__signature__ = inspect.Signature(parameters, return_annotation=Model)  # type: ignore[attr-defined]
    build.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": Model}
    documented = inspect.getdoc(entry) or ""
    missing = [f"\n    {name}: {text}" for name, text in SHARED_ARGUMENTS.items() if f"    {name}: " not in documented]
    build.__doc__ = documented + "".join(missing)
    return build


def _assemble(
    parts: ClassifierParts, num_classes: int, num_channels: int, *, head: HeadKind = "original", flatten: bool = False
) -> Model:
    """The model of these parts, with the head of the library or a new one."""
    layers, class_layer = parts.original_head, parts.class_layer
    if head != "original":
        layers, class_layer = new_head(head, parts.num_features, num_classes, dropout=parts.dropout, flatten=flatten)
    chain = set_dropout(nn.Sequential(parts.before_head | layers), parts.dropout)
    facts = dict(parts.model_facts)
    class_layers = (f"head.{class_layer}", *facts.pop("class_layers", ()))
    backbone = set_channels(parts.backbone, num_channels)
    return Model(backbone, chain, class_layers=class_layers, min_side_px=parts.min_side_px, **facts)


def network_of(name: str, num_classes: int, **options: Any) -> Any:
    """The network of this name, freshly initialised by torchvision."""
    from torchvision import models

    return models.get_model(name, weights=None, num_classes=num_classes, **options)


def layers_before(name: str, network: nn.Module) -> nn.Sequential:
    """The layers that stand before the layer of this name, one behind the other, under their names."""
    layers = list(network.named_children())
    end = next(place for place, (child, _) in enumerate(layers) if child == name)
    return nn.Sequential(Layers(layers[:end]))

"""Widths of layers and their cost: a pruned network is built like any other, then narrowed to what was left of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from graft.models.model import Model

# Width of each layer that has another than the architecture gives it: torch's name of the attribute and its value.
Widths = Mapping[str, Mapping[str, int]]
NORMALISATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm)
ATTRIBUTES: dict[type[nn.Module], tuple[str, ...]] = {
    _ConvNd: ("in_channels", "out_channels", "groups"),
    nn.Linear: ("in_features", "out_features"),
    _NormBase: ("num_features",),
    nn.LayerNorm: ("normalized_shape",),
    nn.GroupNorm: ("num_channels",),
}


def widths_of(layer: nn.Module) -> dict[str, int]:
    """The widths of a layer by the names of torch's attributes; empty for a layer that has none."""
    names = [name for kind, names in ATTRIBUTES.items() if isinstance(layer, kind) for name in names]
    values = {name: getattr(layer, name) for name in names}
    return {name: value[0] if isinstance(value, tuple) else value for name, value in values.items()}


def changed_widths(model: nn.Module, before: nn.Module) -> dict[str, dict[str, int]]:
    """The widths in which the layers of a network differ from those of what it was before, by name of the layer."""
    layers = dict(before.named_modules())
    pairs = {name: (widths_of(layer), widths_of(layers[name])) for name, layer in model.named_modules()}
    changed = {name: {key: new[key] for key in new if new[key] != old[key]} for name, (new, old) in pairs.items()}
    return {name: widths for name, widths in changed.items() if widths}


def narrow(model: Model, widths: Widths) -> Model:
    """Narrows layers in place to these widths, and returns the model.

    Of every tensor the first values along each axis stay: the weights that belong to these widths are loaded after it.
    What the network was narrowed to, now and before, stands in `model.widths`.

    Raises:
        GraftError: The model has no such layer, or a layer cannot have such a width.
    """
    layers = dict(model.named_modules())
    for name, changed in widths.items():
        known = widths_of(layers[name]) if name in layers else {}
        if wrong := [key for key, width in changed.items() if not 1 <= width <= known.get(key, 0)]:
            raise _unfit(name, changed, wrong[0], known)
        _narrow_layer(layers[name], changed)
        model.widths = {**model.widths, name: {**model.widths.get(name, {}), **changed}}
    return model


def _narrow_layer(layer: nn.Module, widths: Mapping[str, int]) -> None:
    for key, width in widths.items():
        setattr(layer, key, (width,) if isinstance(layer, nn.LayerNorm) else width)
    for name, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
        if tensor.shape != (shape := _shape(layer, name, tensor)):
            kept = tensor.detach()[tuple(slice(side) for side in shape)].clone()
            is_parameter = isinstance(tensor, nn.Parameter)
            setattr(layer, name, nn.Parameter(kept, tensor.requires_grad) if is_parameter else kept)


def _shape(layer: nn.Module, name: str, tensor: Tensor) -> torch.Size:
    """The shape that a tensor of a layer has by the widths of the layer."""
    if tensor.ndim == 0:  # the number of batches that a normalisation has seen
        return tensor.shape
    if isinstance(layer, NORMALISATIONS):
        return torch.Size(widths_of(layer).values())
    if isinstance(layer, nn.Linear):
        return torch.Size([layer.out_features, layer.in_features] if name == "weight" else [layer.out_features])
    assert isinstance(layer, _ConvNd)
    if name == "bias":
        return torch.Size([layer.out_channels])
    sides = (layer.in_channels, layer.out_channels) if layer.transposed else (layer.out_channels, layer.in_channels)
    return torch.Size([sides[0], sides[1] // layer.groups, *tensor.shape[2:]])


def _unfit(layer: str, widths: Mapping[str, int], key: str, known: Mapping[str, int]) -> GraftError:
    has = f"it has {key} {known[key]}" if key in known else "it has no such layer"
    return GraftError(
        f"the spec narrows {layer} to {key} {widths[key]}, which the architecture cannot: {has}",
        rule="the widths in a spec are those that pruning left of the architecture which it names",
        remedy="rebuild the model: dvc repro",
    )


def num_macs(model: Model, size: Sequence[int], num_channels: int = 3) -> int:
    """The multiplications with addition of convolutions, matrix products and attention, of one image.

    They are counted while an empty image passes, on the device of the network, in evaluation mode; the auxiliary head,
    which only trains, costs none.

    Args:
        model: Network, left in the mode it is in.
        size: Height and width that reach the network, in pixels.
        num_channels: Number of channels of the image.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, num_channels, *size, device=device))
    model.train(was_training)
    return counter.get_total_flops() // 2


def num_parameters(model: Model) -> int:
    """The parameters of backbone and head; an auxiliary head, which only trains, is left out."""
    return sum(parameter.numel() for part in (model.backbone, model.head) for parameter in part.parameters())


def usual_size(model: Model, at_least_px: int = 64) -> tuple[int, int]:
    """The height and width of a small image that the network can take."""
    if model.fixed_size_px is not None:
        return model.fixed_size_px, model.fixed_size_px
    side = -(-max(at_least_px, model.min_side_px) // model.padding_multiple) * model.padding_multiple
    return side, side

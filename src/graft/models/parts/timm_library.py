"""Questions that Graft asks timm: which names it knows, and how a model takes images of any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graft.foundation.errors import suggest

if TYPE_CHECKING:
    from torch import nn

# Ways by which timm's transformers give up their fixed size: position embeddings or attention masks that adapt.
ADAPTABLE: tuple[Mapping[str, Any], ...] = ({"strict_img_size": False}, {"dynamic_img_size": True})


def timm_names() -> dict[str, None]:
    """The names of timm's models, and those that say which of several pretrained weights is meant (`name.tag`)."""
    import timm

    return dict.fromkeys([*timm.list_models(), *timm.list_pretrained()])


def check_variant(name: str) -> str:
    """Returns the name itself, if timm has a model of that name.

    Raises:
        ValueError: It has none; the error says which name it resembles.
    """
    if name not in (names := timm_names()):
        raise ValueError(f"timm has no such model; {suggest(name, names)}")
    return name


def input_options(name: str) -> tuple[dict[str, Any], int | None]:
    """Returns the options with which a timm model takes images of any size.

    Returns:
        Keyword arguments for `timm.create_model`, and the only side in pixels it works with, None where any will do.
    """
    import timm
    import torch

    settings = timm.get_pretrained_cfg(name)
    if settings is None or not settings.fixed_input_size:
        return {}, None
    for options in ADAPTABLE:
        try:
            with torch.device("meta"):
                timm.create_model(name, **options)
        except TypeError:  # a model without this option
            continue
        return dict(options), None
    return {}, settings.input_size[-1]


def outline(name: str) -> nn.Module:
    """A model of timm without values, on the meta device."""
    import timm
    import torch

    with torch.device("meta"):
        return timm.create_model(name)


def stride_of(network: nn.Module) -> int:
    """Number of pixels along a side that become one value of a timm model's last features; 32 where it does not say."""
    information = getattr(network, "feature_info", None)
    return max((part["reduction"] for part in information), default=32) if isinstance(information, list) else 32

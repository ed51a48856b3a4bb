"""The rest that pruning left of an architecture, counted for the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.models.architectures import build
from graft.models.widths import narrow, num_macs, num_parameters, usual_size

SIDE_PX = 256


def what_is_left(spec: Mapping[str, Any]) -> str:
    """The MACs and parameters of a pruned model beside those of the whole architecture, in words.

    Args:
        spec: Spec of the model as plain values, with the `widths` that were left.
    """
    num_channels = len(spec["channels"])
    model = build(spec["task"], spec["model"], spec["num_classes"], num_channels)
    height, width = usual_size(model, SIDE_PX)
    before = num_macs(model, (height, width), num_channels), num_parameters(model)
    narrow(model, spec["widths"])
    after = num_macs(model, (height, width), num_channels), num_parameters(model)
    macs, parameters = (f"{new:,} of {old:,} ({new / old:.1%})" for new, old in zip(after, before, strict=True))
    layers = f"{len(spec['widths'])} layers are narrower than the architecture has them"
    return f"{layers}: left are {macs} MACs of an image of {height} × {width} px and {parameters} parameters"

"""Class layers whose new rows begin as a share of the background, which is what the parent took those classes for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import cast

import torch
from torch import Tensor, nn

from graft.models.architectures import Model


@torch.no_grad()
def balance_rows(model: Model, background: int, new: Sequence[int]) -> None:
    """Sets the rows of new classes so that each has the same share of what the parent took for background.

    Their weights become those of the background, their biases and the background's its bias minus log(n + 1) for n new
    classes: the probability of every other class stays what it was (Cermelli et al. 2020, "Modeling the Background for
    Incremental Learning in Semantic Segmentation", equations 9 and 10). Where several layers make the logits
    together, as in LR-ASPP, the last takes the logarithm off.

    Args:
        model: Model whose class layers have a bias; changed in place.
        background: Id of the background.
        new: Ids of the new classes, n of them.
    """
    for _, names in groupby(model.class_layers, key=lambda name: name.partition(".")[0]):
        layers = [model.get_submodule(name) for name in names]
        for layer in layers:
            for tensor in (layer.weight, layer.bias):
                if isinstance(tensor, nn.Parameter):
                    tensor[list(new)] = tensor[background].clone()
        bias = cast(Tensor, layers[-1].bias)
        bias[[background, *new]] -= math.log(len(new) + 1)

"""Xavier (Glorot) initialisation, normal."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from graft.models.initialisations.fill import Initialise


def xavier_normal(*, gain: Annotated[float, Field(gt=0)] = 1.0) -> Initialise:
    """Xavier (Glorot) initialisation, normal.

    Weights are drawn from N(0, s²) with s = gain · sqrt(2 / (fan_in + fan_out)); biases start at zero. It helps where
    the variance of activations and of gradients stays about the same from layer to layer where the activation is linear
    around zero; like `xavier_uniform`, with tails. Source: Glorot and Bengio 2010, "Understanding the difficulty of
    training deep feedforward neural networks", equation 12.

    Args:
        gain: Factor of the deviation; the paper has one, and 5/3 suits tanh.
    """
    return lambda weight, generator: nn.init.xavier_normal_(weight, gain, generator=generator)

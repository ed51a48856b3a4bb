"""Xavier (Glorot) initialisation, uniform."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from graft.models.initialisations.fill import Initialise


def xavier_uniform(*, gain: Annotated[float, Field(gt=0)] = 1.0) -> Initialise:
    """Xavier (Glorot) initialisation, uniform.

    Weights are drawn from U(-a, a) with a = gain · sqrt(6 / (fan_in + fan_out)); biases start at zero. It helps where
    the variance of activations and of gradients stays about the same from layer to layer where the activation is linear
    around zero, as tanh is: the classic choice for heads without ReLU, and for class layers. Source: Glorot and Bengio
    2010, "Understanding the difficulty of training deep feedforward neural networks", equation 16.

    Args:
        gain: Factor of the deviation; the paper has one, and 5/3 suits tanh.
    """
    return lambda weight, generator: nn.init.xavier_uniform_(weight, gain, generator=generator)

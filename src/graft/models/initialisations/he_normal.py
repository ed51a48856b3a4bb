"""He (Kaiming) initialisation, normal."""

from __future__ import annotations

from typing import Literal

from torch import nn

from graft.models.initialisations.fill import Initialise


def he_normal(*, mode: Literal["fan_in", "fan_out"] = "fan_in") -> Initialise:
    """He (Kaiming) initialisation, normal.

    Weights are drawn from N(0, s²) with s = sqrt(2 / fan); biases start at zero. It helps where half of what ReLU lets
    through is lost, and twice the variance makes up for it: for deep stacks of convolutions with ReLU, such as a
    decoder or a plain network from scratch. Source: He et al. 2015, "Delving Deep into Rectifiers", equations 10 and
    14.

    Args:
        mode: Fan whose variance is preserved: `fan_in` that of activations going forward, `fan_out` that of gradients
            going back.
            The paper finds either enough and writes its networks with `fan_in`.
    """
    return lambda weight, generator: nn.init.kaiming_normal_(
        weight, mode=mode, nonlinearity="relu", generator=generator
    )

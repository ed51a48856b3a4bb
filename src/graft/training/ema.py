"""An exponential moving average of a model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from graft.models.model import Model


class Ema:
    """theta_ema <- d * theta_ema + (1 - d) * theta after each step, for parameters and floating buffers.

    d is min(decay, (1 + n) / (10 + n)) after n steps, so that a short training is not held back by its first weights
    (as in TensorFlow's ExponentialMovingAverage with num_updates). Other buffers are copied.

    Attributes:
        model: Averaged model, never trained itself.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.num_updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Updates the average with the weights after a step."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        live = model.state_dict()
        averaged, current = [], []
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(tensor)
                current.append(live[name])
            else:
                tensor.copy_(live[name])
        torch._foreach_lerp_(averaged, current, 1 - decay)

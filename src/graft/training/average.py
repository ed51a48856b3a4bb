"""The average of the weights of a model in training."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from graft.foundation.choices import Choice
from graft.training.averaging import MEASURED

if TYPE_CHECKING:
    from graft.models.model import Model


class Average:
    """theta_average <- s * theta_average + (1 - s) * theta after each step, for parameters and floating buffers.

    s is the share that an entry of AVERAGINGS gives for the step. Other buffers are copied.

    Args:
        model: Model that trains; the average begins as a copy of it.
        share: Bound entry of AVERAGINGS.

    Attributes:
        model: Averaged model, never trained itself.
        kept: Share of the average that stayed at the last step.
    """

    def __init__(self, model: Model, share: Choice) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.share, self.kept = share, 0.0

    @property
    def needs_statistics(self) -> bool:
        """Whether normalisation statistics have to be measured for the averaged weights."""
        return self.share.name in MEASURED and self.kept > 0

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, num_steps: int) -> None:
        """Updates the average with the weights after step `step` (from 0) of `num_steps`."""
        self.kept = self.share(step, num_steps)
        live = model.state_dict()
        averaged, current = [], []
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(tensor)
                current.append(live[name])
            else:
                tensor.copy_(live[name])
        torch._foreach_lerp_(averaged, current, 1 - self.kept)

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs."""
        return {"model": self.model.state_dict(), "kept": self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.kept = state["kept"]

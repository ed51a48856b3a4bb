"""Labels say what is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graft import freezing
from graft.losses import WeightedSum
from graft.models import Model


@dataclass(frozen=True)
class Supervised:
    """The loss of the model's logits against the targets of the batch."""

    loss: WeightedSum
    train: freezing.Train

    def parameter_groups(self, model: Model) -> list[dict[str, Any]]:
        """Freezes what is not trained; the rest as named groups."""
        freezing.apply(model, self.train)
        return freezing.parameter_groups(model)

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`loss` of images uint8 [B, 3, H, W] against targets, long [B, H, W] or [B]."""
        return {"loss": self.loss(model(images), targets)}


def supervised(loss: WeightedSum, *, train: freezing.Train = "all") -> Supervised:
    """Fine-tuning on labelled images.

    Args:
        loss: What is made small.
        train: `all`; `frozen_backbone` trains what is not backbone; `head` trains the class layers only.
    """
    return Supervised(loss, train)

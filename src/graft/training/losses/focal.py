"""Cross-entropy that turns away from what is already right."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graft.training.losses.pixelwise import true_class_losses, weighted_mean


def focal(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    *,
    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0,
) -> Tensor:
    """Focal loss: the mean over pixels (or images) of (1 - p)^gamma * -log p, p the probability of the true class.

    What the model is sure of and right about hardly counts, so the many easy pixels do not drown the few hard ones. The
    paper's alpha is `fine_tune.class_weights`, as in `cross_entropy`: sum_i w[t_i] loss_i / sum_i w[t_i]. gamma = 0 is
    `cross_entropy`. The loss is much smaller than that one's: a higher learning rate may serve.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", equations 4 and 5 (default of gamma: its best), with the
    softmax for its sigmoid.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K], or None for ones.
        gamma: How fast what is right loses its weight.

    Returns:
        A scalar. A batch in which everything is ignored gives zero with zero gradients.
    """
    losses, flat = true_class_losses(logits, targets)
    missing = -torch.expm1(-losses)
    # A gamma between 0 and 1 has no slope where nothing is missing.
    factors = missing.clamp_min(torch.finfo(logits.dtype).eps) ** gamma
    return weighted_mean(factors * losses, flat, class_weights, logits.shape[1])

"""Parts of losses of single pixels (or images): the loss of the true class, and a mean that skips ignored targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graft.foundation.class_map import ignored_target


def true_class_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """-log p of the true class of every pixel (or image) on its own, p the softmax of the logits.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids or what is ignored.

    Returns:
        Losses [N], zero where ignored, and the targets [N] they belong to.
    """
    if logits.is_cuda:  # nll_loss2d has no deterministic CUDA kernel; the one-dimensional one has
        logits, targets = logits.movedim(1, -1).reshape(-1, logits.shape[1]), targets.reshape(-1)
    losses = F.cross_entropy(logits, targets, ignore_index=ignored_target(logits.shape[1]), reduction="none")
    return losses.reshape(-1), targets.reshape(-1)


def one_hot(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets [B, …] as ones and zeros [B, K, …], in the type of logits [B, K, …]; nothing but zeros where ignored."""
    ids = torch.arange(logits.shape[1], device=logits.device).view(1, -1, *[1] * (targets.ndim - 1))
    return (targets.unsqueeze(1) == ids).to(logits.dtype)


def weighted_mean(
    losses: Tensor, targets: Tensor, class_weights: Tensor | None, num_classes: int, extra_weights: Tensor | None = None
) -> Tensor:
    """sum_i w_i * losses_i / sum_i w_i, where w_i is zero where ignored, else the weight of the true class.

    Args:
        losses: Any shape.
        targets: The same shape, long, class ids or what is ignored.
        class_weights: [K], or None for ones.
        num_classes: K.
        extra_weights: The shape of `losses`: what w_i is multiplied by.

    Returns:
        A scalar; zero where everything is ignored.
    """
    counted = targets != ignored_target(num_classes)
    weights = counted.to(losses.dtype)
    if class_weights is not None:
        weights = weights * class_weights[targets.masked_fill(~counted, 0)]
    if extra_weights is not None:
        weights = weights * extra_weights
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)

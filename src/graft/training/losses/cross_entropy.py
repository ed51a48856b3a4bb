"""Cross-entropy over the pixels (or images) that are not ignored."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from graft.foundation.class_map import ignored_target


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    *,
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> Tensor:
    """The mean negative log-probability of the true class: sum_i w[t_i] * -log p_i[t_i] / sum_i w[t_i].

    p is the softmax of the logits, i runs over what is not ignored.

    With `label_smoothing` e the target is (1 - e) on the true class plus e / K on every class (Szegedy et al. 2016,
    "Rethinking the Inception Architecture for Computer Vision", section 7).

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K], or None for ones.
        label_smoothing: Share of the target spread over all classes, in [0, 1).

    Returns:
        A scalar. A batch in which everything is ignored gives zero with zero gradients, not NaN.
    """
    if logits.is_cuda:  # nll_loss2d has no deterministic CUDA kernel; the one-dimensional one has
        logits, targets = logits.movedim(1, -1).reshape(-1, logits.shape[1]), targets.reshape(-1)
    ignored = ignored_target(logits.shape[1])
    total = F.cross_entropy(
        logits, targets, class_weights, ignore_index=ignored, reduction="sum", label_smoothing=label_smoothing
    )
    return total / _total_weight(targets != ignored, targets, class_weights).clamp_min(torch.finfo(logits.dtype).tiny)


def _total_weight(counted: Tensor, targets: Tensor, class_weights: Tensor | None) -> Tensor:
    if class_weights is None:
        return counted.sum()
    return (class_weights[targets.masked_fill(~counted, 0)] * counted).sum()

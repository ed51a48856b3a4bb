"""One Dice over all classes, in which the rare ones count as much as the common."""

from __future__ import annotations

import torch
from torch import Tensor

from graft.training.losses.overlap import soft_counts


def generalised_dice(logits: Tensor, targets: Tensor, class_weights: None) -> Tensor:
    """Generalised Dice: 1 - 2 sum_k v_k sum p*g / sum_k v_k (sum p + sum g), with v_k = 1 / (sum g)^2.

    p is the softmax, g the one-hot target; the sums run over all pixels of the batch that are not ignored. One ratio of
    sums over the classes, where `dice` is a mean of ratios: it helps where some classes are a thousand times smaller
    than others. v_k of a class no pixel of the batch has is zero. The v_k are its weights of the classes, so it takes
    no others: `fine_tune.class_weights` must be `none`.

    Sudre et al. 2017, "Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations",
    section 2.1.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: None.

    Returns:
        A scalar in [0, 1]. A batch in which everything is ignored gives zero with zero gradients.
    """
    counts = soft_counts(logits, targets)
    present = counts.truth > 0
    weights = present / counts.truth.clamp_min(1) ** 2
    sizes = (weights * (counts.predicted + counts.truth)).sum().clamp_min(torch.finfo(logits.dtype).tiny)
    return present.any().to(logits.dtype) - 2 * (weights * counts.overlap).sum() / sizes

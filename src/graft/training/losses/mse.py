"""Squared error of the probabilities."""

from __future__ import annotations

from torch import Tensor

from graft.training.losses.pixelwise import one_hot, weighted_mean


def mse(logits: Tensor, targets: Tensor, class_weights: Tensor | None) -> Tensor:
    """Mean squared error on probabilities, the Brier score: the mean over pixels (or images) of sum_k (p_k - g_k)^2.

    p is the softmax, g the one-hot target. Unlike cross-entropy it is bounded, so that a wrong label cannot cost more
    than 2, and it is a proper score, so that probabilities stay honest; where the model is wrong and sure it hardly
    learns. It helps with noisy labels; elsewhere cross-entropy learns faster.

    Brier 1950, "Verification of forecasts expressed in terms of probability", equation 2.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K] weights of the mean, by true class, or None for ones.

    Returns:
        A scalar in [0, 2]. A batch in which everything is ignored gives zero with zero gradients.
    """
    errors = (logits.softmax(1) - one_hot(targets, logits)).square().sum(1)
    return weighted_mean(errors, targets, class_weights, logits.shape[1])

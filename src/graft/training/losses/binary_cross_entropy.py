"""Cross-entropy of yes and no: of one foreground class, or of each label that an image may have."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from graft.training.losses.foreground import foreground_logit
from graft.training.losses.pixelwise import weighted_mean


def binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    *,
    positive_weight: Annotated[float, Field(gt=0)] = 1.0,
) -> Tensor:
    """Cross-entropy of yes and no: the mean over pixels (or images) of -(v g log p + (1 - g) log(1 - p)).

    p is the probability of class 1, the foreground, g one where it is true, v `positive_weight`. With v = 1 it is
    `cross_entropy`; a v above one finds more foreground, and more that is none. Set v for a cost you know; to weigh by
    how often each class occurs set `fine_tune.class_weights` instead.

    With task multilabel each class is such a question of its own: p is the sigmoid of its logit, g one where the image
    has it, and the mean is over images and classes. The weight of a class is then that of its positives, times v.

    Bishop 2006, "Pattern Recognition and Machine Learning", equation 4.90; v as in torch's `BCEWithLogitsLoss`.

    Args:
        logits: [B, 2] or [B, 2, H, W], float; of several labels [B, K].
        targets: [B] or [B, H, W], long: 0, 1, or 255 where ignored; of several labels [B, K], long: 0 or 1.
        class_weights: [2] weights of the mean, by true class, or None for ones; of several labels [K].
        positive_weight: Weight of foreground against background.

    Returns:
        A scalar. A batch in which everything is ignored gives zero with zero gradients.

    Raises:
        GraftError: A target is one class, and there are not two classes.
    """
    positive = torch.tensor(positive_weight, dtype=logits.dtype, device=logits.device)
    if targets.shape == logits.shape:
        positive = positive if class_weights is None else positive * class_weights
        return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), pos_weight=positive)
    logit = foreground_logit(logits, "binary_cross_entropy")
    truth = (targets == 1).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logit, truth, pos_weight=positive, reduction="none")
    return weighted_mean(losses, targets, class_weights, 2)

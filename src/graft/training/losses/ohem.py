"""Cross-entropy over the hardest pixels of a batch alone."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor

from graft.foundation.class_map import ignored_target
from graft.training.losses.pixelwise import true_class_losses, weighted_mean


def ohem(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    *,
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.7,
    min_kept_fraction: Annotated[float, Field(gt=0, le=1)] = 0.0625,
) -> Tensor:
    """Online hard example mining: the mean cross-entropy of the pixels (or images) of a batch that are hard.

    Hard is what gives its true class a probability of at most `threshold`, and always the worst `min_kept_fraction` of
    what is not ignored; all else gets no gradient. It helps where most pixels are easy: roads, sky, background. Wrong
    labels are hard too: where masks are noisy prefer `cross_entropy`.

    Shrivastava et al. 2016, "Training Region-based Object Detectors with Online Hard Example Mining", section 4; for
    pixels Wu et al. 2016, "High-performance Semantic Segmentation Using Very Deep Fully Convolutional Networks", online
    bootstrapping. The defaults are those common for BiSeNet (0.7, one pixel in sixteen).

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K] weights of the mean, or None for ones; they do not decide what is hard.
        threshold: The probability of the true class above which a pixel is easy.
        min_kept_fraction: Share of the pixels that counts even if it is easy.

    Returns:
        A scalar. A batch in which everything is ignored gives zero with zero gradients.
    """
    losses, flat = true_class_losses(logits, targets)
    ignored = ignored_target(logits.shape[1])
    num_kept = max(1, math.ceil(int((flat != ignored).sum()) * min_kept_fraction))
    least = losses.detach().topk(num_kept, sorted=False).values.min().clamp_max(-math.log(threshold))
    return weighted_mean(losses, flat.where(losses.detach() >= least, ignored), class_weights, logits.shape[1])

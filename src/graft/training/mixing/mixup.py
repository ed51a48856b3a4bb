"""Two images, one shining through the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.mixing.partners import partner_shift

WHOLE = 2**16


def mixup(
    *,
    alpha: Annotated[float, Field(gt=0)] = 0.2,
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor | MixedTargets]]:
    """Each image becomes a weighted mean of itself and another of the batch, and so does its label.

    `x = s x_i + (1 - s) x_j` with s ~ Beta(alpha, alpha), one for the whole batch (equation 1). Helps a classifier
    against overfitting and overconfidence, most in long training; in a short one it may cost accuracy. Zhang 2018,
    "mixup: Beyond Empirical Risk Minimization": alpha between 0.1 and 0.4 helps on ImageNet, and its
    ResNet-50 has the default.

    Args:
        alpha: Parameter of the Beta distribution of the weight: a small one leaves most images nearly as they are.
        probability: Probability that a batch is mixed at all.
    """

    def mix(images: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor | MixedTargets]:
        generator = np.random.default_rng(seed)
        shift = partner_shift(len(images), generator)
        if generator.random() >= probability or not shift:
            return images, targets
        weight = round(generator.beta(alpha, alpha) * WHOLE)  # whole numbers round alike on every device
        both = images.to(torch.int32) * weight + images.roll(shift, 0).to(torch.int32) * (WHOLE - weight)
        mixed = ((both + WHOLE // 2) // WHOLE).to(torch.uint8)
        return mixed, MixedTargets(targets, targets.roll(shift, 0), weight / WHOLE)

    return mix

"""Targets of images that were mixed from two."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class MixedTargets:
    """The targets of a batch whose images are each mixed from two.

    A loss of mixed targets is `share` times the loss of `first` plus `1 - share` times that of `second` (Zhang et al.
    2018, "mixup", equation 1, which is linear in the targets).

    Attributes:
        first: Targets of the images before mixing, long [B].
        second: Targets of the images mixed in, long [B].
        share: Weight of the first, a fraction of one, the same for the whole batch.
    """

    first: Tensor
    second: Tensor
    share: float

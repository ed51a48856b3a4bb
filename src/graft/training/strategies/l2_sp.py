"""L2-SP: weights are pulled to where they started instead of to zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class L2SP:
    """alpha / 2 * ||w - w0||^2 over the backbone, and beta / 2 * ||v||^2 over the weights of the head.

    Li, Grandvalet & Davoine 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks",
    section 3. w0 is what the weights are when this is made: the pretrained ones, also where a training resumes, since
    it resumes on a model that was loaded anew.

    Args:
        backbone: w, parameters that were pretrained; those that are frozen are left out.
        head: v, parameters that begin from scratch and may decay.
        alpha: Strength of the pull to the start.
        beta: Strength of the pull to zero.
    """

    def __init__(
        self, backbone: Sequence[nn.Parameter], head: Sequence[nn.Parameter], alpha: float, beta: float
    ) -> None:
        self.pulled = [(parameter, parameter.detach().clone()) for parameter in backbone]
        self.head, self.alpha, self.beta = list(head), alpha, beta

    def __call__(self) -> Tensor:
        """The penalty, a scalar; what is frozen at the moment lies at its start and adds nothing."""
        away = [(w - start).square().sum() for w, start in self.pulled if w.requires_grad]
        size = [v.square().sum() for v in self.head if v.requires_grad]
        terms = [self.alpha / 2 * distance for distance in away] + [self.beta / 2 * distance for distance in size]
        return torch.stack(terms).sum()

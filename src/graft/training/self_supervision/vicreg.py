"""VICReg: features of two views agree, vary and do not repeat each other.

Legend of shape suffixes: N places, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0  # of the paper, section 4.2
EPSILON = 1e-4


class VICReg(nn.Module):
    """The loss of Bardes et al. 2022, "VICReg: Variance-Invariance-Covariance Regularization", equation 6.

    25 · mean (a - b)² + 25 · (v(a) + v(b)) + c(a) + c(b) for the features a and b of two views, with
    v(z) = mean_d max(0, 1 - sqrt(var z_d + 1e-4)) and c(z) = sum of cov(z)_de² over d ≠ e, divided by D (equations 1
    to 4). The mean of (a - b)² is over D as well, as in the code that the authors published (main_vicreg.py of
    https://github.com/facebookresearch/vicreg): their equation 5 sums over D. That code also halves v, which is whole
    here, as in equation 6. The variance keeps features apart without a second network, without pairs that must differ,
    and without large batches.

    Args:
        num_features: Unused: there is nothing to learn.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()

    def forward(self, first_ND: Tensor, second_ND: Tensor) -> Tensor:
        """The loss of N places, at least two: features of each in two views, float [N, D]."""
        invariance = F.mse_loss(first_ND, second_ND)
        spreads = [spread_and_covariance(view) for view in (first_ND, second_ND)]
        variance, covariance = (sum(parts) for parts in zip(*spreads, strict=True))
        return INVARIANCE * invariance + VARIANCE * variance + COVARIANCE * covariance


def spread_and_covariance(features_ND: Tensor) -> tuple[Tensor, Tensor]:
    """The terms v and c of one view."""
    centred = features_ND - features_ND.mean(0)
    covariance_DD = centred.T @ centred / (len(centred) - 1)
    variance_D = covariance_DD.diagonal()
    spread = (1 - (variance_D + EPSILON).sqrt()).clamp(min=0).mean()
    apart = covariance_DD - torch.diag(variance_D)
    return spread, apart.square().sum() / len(variance_D)

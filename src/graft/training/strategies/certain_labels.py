"""Labels out of the parent's answers: background is labelled anew where the parent is certain enough, else ignored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# The paper's code has 100 bins; the median is interpolated within its bin.
NUM_BINS = 100
# Least threshold: a class that the parent never finds in background has no median.
LEAST = 1e-3


def normalised_entropy(logits: Tensor) -> Tensor:
    """The entropy of the softmax of logits [B, P, …] over log P, from 0 to 1: [B, …]; zero for one class."""
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(1) / math.log(max(logits.shape[1], 2))


def median_entropies(
    batches: Iterable[tuple[Tensor, Tensor]], ask: Callable[[Tensor], Tensor], background: int
) -> Tensor:
    """For each class that the parent knows the median of its entropy in background that it takes for this class.

    Args:
        batches: Images and masks [B, H, W].
        ask: Function from images to the parent's logits [B, P, H, W].
        background: Id of the background in the masks.

    Returns:
        [P], at least `LEAST`, on the device of the logits; exact to a hundredth.
    """
    counts: np.ndarray | None = None
    for images, targets in batches:
        logits = ask(images)
        hidden = targets == background
        bins = (normalised_entropy(logits)[hidden] * NUM_BINS).long().clamp(0, NUM_BINS - 1)
        cells = logits.argmax(1)[hidden] * NUM_BINS + bins
        found = np.bincount(cells.cpu().numpy(), minlength=logits.shape[1] * NUM_BINS).reshape(-1, NUM_BINS)
        counts, device = found if counts is None else counts + found, logits.device
    assert counts is not None
    medians = [max(_median(row), LEAST) for row in counts]
    return torch.tensor(medians, device=device)


def _median(counts: np.ndarray) -> float:
    """The median of numbers from 0 to 1 out of their histogram; 0 where there are none."""
    if not counts.any():
        return 0.0
    half, up_to = counts.sum() / 2, counts.cumsum()
    place = int(np.searchsorted(up_to, half))  # its bin is the first that reaches half
    return float((place + 1 - (up_to[place] - half) / counts[place]) / NUM_BINS)


def relabel(
    targets: Tensor, logits: Tensor, thresholds: Tensor, known: Tensor, background: int, ignored: int
) -> tuple[Tensor, Tensor]:
    """Masks in which background has the parent's class where the parent is certain, and is ignored elsewhere.

    Douillard et al. 2021, equations 6 to 8: certain is an entropy below the threshold of the class that is likeliest.

    Args:
        targets: Long [B, H, W].
        logits: Logits of the parent [B, P, H, W].
        thresholds: Largest normalised entropy for each of its classes, [P].
        known: Their ids, [P].
        background: Id of the background.
        ignored: Target that counts nowhere.

    Returns:
        The masks, and ν, the share of background in which the parent was certain: one where there is none.
    """
    hidden, likeliest = targets == background, logits.argmax(1)
    certain = normalised_entropy(logits) < thresholds[likeliest]
    labels = torch.where(hidden, torch.where(certain, known[likeliest], ignored), targets)
    share = (hidden & certain).sum() / hidden.sum().clamp_min(1)
    return labels, torch.where(hidden.any(), share, torch.ones_like(share))

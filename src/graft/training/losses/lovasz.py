"""A loss whose corners are the intersection over union itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graft.foundation.class_map import ignored_target


def lovasz(logits: Tensor, targets: Tensor, class_weights: Tensor | None) -> Tensor:
    """Lovász-Softmax: the Lovász extension of one minus IoU, averaged over the classes present in the batch.

    For each class the errors |g - p| of all pixels of the batch that are not ignored are sorted, largest first, and
    each is weighted by how much it adds to 1 - IoU when the pixels before it are wrong already; p is the softmax, g the
    one-hot target. It optimises mean IoU directly; from random weights begin with, or add, cross-entropy. Sorting makes
    it the slowest of the losses.

    Berman et al. 2018, "The Lovász-Softmax loss: A tractable surrogate for the optimization of the
    intersection-over-union measure in neural networks", equations 8 to 11 and algorithm 1.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: [B] or [B, H, W], long, class ids, or 255 where ignored (of more than 255 classes, 255 is one).
        class_weights: [K] weights of the mean over classes, or None for ones.

    Returns:
        A scalar in [0, 1]. A batch in which everything is ignored gives zero with zero gradients.
    """
    num_classes, flat = logits.shape[1], targets.reshape(-1)
    probabilities = logits.softmax(1).movedim(1, 0).reshape(num_classes, -1)
    # What is ignored has no error, and after all errors it adds nothing.
    probabilities = probabilities * (flat != ignored_target(num_classes))
    sizes = torch.stack([(flat == class_id).sum() for class_id in range(num_classes)])
    total, weight_sum = probabilities.sum() * 0, torch.zeros((), dtype=logits.dtype, device=logits.device)
    for class_id in sizes.nonzero().flatten().tolist():
        weight = torch.ones_like(weight_sum) if class_weights is None else class_weights[class_id]
        total = total + weight * _extension(probabilities[class_id], flat == class_id)
        weight_sum = weight_sum + weight
    return total / weight_sum.clamp_min(torch.finfo(logits.dtype).tiny)


def _extension(probabilities: Tensor, truth: Tensor) -> Tensor:
    """The extension for one class: probabilities [N] float and truth [N] bool to a scalar."""
    errors = (truth.to(probabilities.dtype) - probabilities).abs()
    order = _largest_first(errors.detach())
    found = truth[order].long().cumsum(0)  # whole numbers: sums of floats have no deterministic order on CUDA
    size = found[-1]
    wrong = torch.arange(1, len(found) + 1, device=found.device) - found
    losses = 1 - (size - found).to(errors.dtype) / (size + wrong).to(errors.dtype)
    added = torch.empty_like(losses).scatter_(0, order, torch.cat([losses[:1], losses.diff()]))
    return (errors * added).sum()


def _largest_first(errors: Tensor) -> Tensor:
    if errors.device.type != "cpu":
        return errors.argsort(descending=True, stable=True)
    return torch.from_numpy(np.argsort(-errors.numpy()))  # 400,000 errors: 7 ms, torch 41 ms

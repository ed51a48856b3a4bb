"""What training makes small: one file a loss, `(logits, targets, class_weights, *, options) -> scalar tensor`."""

from __future__ import annotations

from graft.losses.cross_entropy import cross_entropy
from graft.losses.dice import dice
from graft.losses.weighted_sum import WeightedSum, resolve_losses

LOSSES = {
    "cross_entropy": cross_entropy,
    "dice": dice,
}

__all__ = ["LOSSES", "WeightedSum", "cross_entropy", "dice", "resolve_losses"]

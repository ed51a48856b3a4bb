"""Losses: one file each, `(logits, targets, class_weights, *, options) -> scalar tensor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.training.losses.asymmetric import asymmetric
from graft.training.losses.binary_cross_entropy import binary_cross_entropy
from graft.training.losses.binary_dice import binary_dice
from graft.training.losses.boundary import boundary
from graft.training.losses.cross_entropy import cross_entropy
from graft.training.losses.dice import dice
from graft.training.losses.focal import focal
from graft.training.losses.generalised_dice import generalised_dice
from graft.training.losses.lovasz import lovasz
from graft.training.losses.mse import mse
from graft.training.losses.ohem import ohem
from graft.training.losses.tversky import tversky
from graft.training.losses.weighted_sum import WeightedSum, class_weight_refusals, resolve_losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

LOSSES: dict[str, Callable[..., Tensor]] = {
    "asymmetric": asymmetric,
    "binary_cross_entropy": binary_cross_entropy,
    "binary_dice": binary_dice,
    "boundary": boundary,
    "cross_entropy": cross_entropy,
    "dice": dice,
    "focal": focal,
    "generalised_dice": generalised_dice,
    "lovasz": lovasz,
    "mse": mse,
    "ohem": ohem,
    "tversky": tversky,
}
# Which tasks each serves: where a class begins is a question of masks.
TASKS = dict.fromkeys(LOSSES, ("segmentation", "classification")) | {
    "asymmetric": ("multilabel",),
    "binary_cross_entropy": ("segmentation", "classification", "multilabel"),
    "boundary": ("segmentation",),
}
# Losses that weigh the classes themselves, or have but one.
WITHOUT_CLASS_WEIGHTS = ("asymmetric", "binary_dice", "generalised_dice")
# Means over the targets, each counting what its class weighs: sum_i w[t_i] l_i / sum_i w[t_i], l_i of one target alone.
MEANS_OVER_TARGETS = ("binary_cross_entropy", "cross_entropy", "focal", "mse")

__all__ = [
    "LOSSES",
    "MEANS_OVER_TARGETS",
    "TASKS",
    "WITHOUT_CLASS_WEIGHTS",
    "WeightedSum",
    "asymmetric",
    "binary_cross_entropy",
    "binary_dice",
    "boundary",
    "class_weight_refusals",
    "cross_entropy",
    "dice",
    "focal",
    "generalised_dice",
    "lovasz",
    "mse",
    "ohem",
    "resolve_losses",
    "tversky",
]

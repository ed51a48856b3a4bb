"""Mixing of the images of a batch: `(*, options) -> Mix`, or None where nothing is mixed.

A `Mix` is `(images, targets, seed) -> (images, targets)`: uint8 [B, C, H, W] and long [B, H, W] or [B] (or
`MixedTargets`), a pure function that leaves its arguments as they are. Random numbers are drawn on the CPU and all
arithmetic is of whole numbers, so every device gives the same bits. `TASKS` names the tasks that each serves.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from graft.training.mixing.classmix import classmix
from graft.training.mixing.copy_paste import copy_paste
from graft.training.mixing.cutmix import cutmix
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.mixing.mixup import mixup
from graft.training.mixing.none import none

Mix = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor | MixedTargets]]

MIXINGS: dict[str, Callable[..., Mix | None]] = {
    "classmix": classmix,
    "copy_paste": copy_paste,
    "cutmix": cutmix,
    "mixup": mixup,
    "none": none,
}
TASKS = {
    "classmix": ("segmentation",),
    "copy_paste": ("segmentation",),
    "cutmix": ("segmentation", "classification"),
    "mixup": ("classification",),
    "none": ("segmentation", "classification", "multilabel"),
}

__all__ = ["MIXINGS", "TASKS", "Mix"]

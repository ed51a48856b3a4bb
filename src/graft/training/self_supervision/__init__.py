"""Learning from images without labels: two views of an image shall agree where they show the same place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from graft.training.self_supervision.simsiam import SimSiam
from graft.training.self_supervision.vicreg import VICReg

__all__ = ["METHODS"]

# The name that params use -> what makes the loss, given the number of features; `(first, second) -> loss`.
METHODS: Mapping[str, Callable[[int], nn.Module]] = {"vicreg": VICReg, "simsiam": SimSiam}

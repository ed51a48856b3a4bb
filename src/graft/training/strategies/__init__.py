"""Strategies of training: one file each, `(loss, *, options) -> Strategy`."""

from __future__ import annotations

from collections.abc import Callable

from graft.training.loop import Strategy
from graft.training.strategies.combinations import refusals
from graft.training.strategies.ewc import ewc
from graft.training.strategies.incremental import incremental
from graft.training.strategies.lwf import lwf
from graft.training.strategies.mib import mib
from graft.training.strategies.plop import plop
from graft.training.strategies.supervised import supervised

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "ewc": ewc,
    "incremental": incremental,
    "lwf": lwf,
    "mib": mib,
    "plop": plop,
    "supervised": supervised,
}
# Which tasks each serves: background is a question of masks.
TASKS = dict.fromkeys(STRATEGIES, ("segmentation", "classification")) | dict.fromkeys(
    ("mib", "plop"), ("segmentation",)
)
# Those that keep the answers of a parent: pretrained weights that know classes by name.
FROM_PARENT = ("ewc", "incremental", "lwf", "mib", "plop")

__all__ = ["FROM_PARENT", "STRATEGIES", "TASKS", "refusals", "supervised"]

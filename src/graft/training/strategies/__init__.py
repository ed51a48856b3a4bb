"""Strategies of training: one file each, `(loss, *, options) -> Strategy`."""

from __future__ import annotations

from graft.training.strategies.combinations import refusals
from graft.training.strategies.supervised import supervised

STRATEGIES = {
    "supervised": supervised,
}

__all__ = ["STRATEGIES", "refusals", "supervised"]

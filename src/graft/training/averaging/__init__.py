"""Averages of the weights on their way: `(step, num_steps, *, options) -> share`, pure functions.

The share is what remains of the average at a step (from 0, of `num_steps` in all), the rest is the weights after it:
average <- share * average + (1 - share) * weights. A share of 0 makes the average the weights as they are.
"""

from __future__ import annotations

from collections.abc import Callable

from graft.training.averaging.ema import ema
from graft.training.averaging.none import none
from graft.training.averaging.swa import swa

AVERAGINGS: dict[str, Callable[..., float]] = {
    "ema": ema,
    "none": none,
    "swa": swa,
}
# Those whose normalisation statistics are measured for the averaged weights before val looks at them.
MEASURED = ("swa",)

__all__ = ["AVERAGINGS", "MEASURED"]

"""How the learning rate goes: one file a schedule, `(step, num_steps, *, options) -> factor`, pure functions.

The factor multiplies the learning rate of step `step` of `num_steps` (counted from 0, warm-up left out).
"""

from __future__ import annotations

from graft.choices import Choice
from graft.schedules.constant import constant
from graft.schedules.cosine import cosine
from graft.schedules.exponential import exponential
from graft.schedules.poly import poly
from graft.schedules.step import step

SCHEDULES = {
    "constant": constant,
    "cosine": cosine,
    "exponential": exponential,
    "poly": poly,
    "step": step,
}


def warmed_up(schedule: Choice, step: int, num_steps: int, num_warmup_steps: int) -> float:
    """The factor of `step` (from 0): (step + 1) / num_warmup_steps while warming up, then the schedule over the rest.

    A linear warm-up as in Goyal et al. 2017, section 2.2; its last step has factor one.
    """
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    return schedule(step - num_warmup_steps, num_steps - num_warmup_steps)


__all__ = ["SCHEDULES", "constant", "cosine", "exponential", "poly", "step", "warmed_up"]

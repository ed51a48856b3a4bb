"""Cosines one after the other."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment


def cosine_restarts(
    moment: Moment,
    *,
    first_epochs: Annotated[int, Field(ge=1)],
    multiplier: Annotated[int, Field(ge=1)] = 2,
    final_factor: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> float:
    """Half cosines one after the other: each starts at one again and is `multiplier` times as long as the last.

    final_factor + (1 - final_factor) * (1 + cos(pi * t / T)) / 2, t epochs into a period of T. A restart can leave a
    poor minimum, and every end of a period is a good model; choose `first_epochs` so that the last epoch ends one.
    Periods begin when the warm-up is over. Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm
    Restarts", equation 5; the default multiplier is the better of theirs (section 4.1, T_mult = 2).

    Args:
        moment: Position of the step.
        first_epochs: Length of the first period.
        multiplier: Factor by which each further period is longer.
        final_factor: Factor at the end of a period.
    """
    begun, period = 0, first_epochs
    while moment.epochs - begun >= period:
        begun, period = begun + period, period * multiplier
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * (moment.epochs - begun) / period)) / 2


def reason_against(epochs: int, warmup_epochs: int, *, first_epochs: int, **_: float) -> str | None:
    """Why the schedule makes no sense for a training of so many epochs, or None."""
    left = epochs - warmup_epochs
    return None if first_epochs < left else f"the first period of {first_epochs} epochs has no restart within {left}"

"""How the learning rate rises before the schedule begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from graft.schedules.moment import Moment

Warmup = Literal["linear", "constant", "exponential"]
START = 0.1


def warmed_up(
    schedule: Callable[[Moment], float],
    step: int,
    *,
    epochs: int,
    steps_per_epoch: int,
    warmup_epochs: int,
    warmup: Warmup = "linear",
    scores: Sequence[float] = (),
) -> float:
    """The factor of `step` (from 0): the warm-up's while it lasts, then the schedule's over the rest.

    With s = (step + 1) / (steps of the warm-up), so that the last step of a rise has factor one:

    * `linear`: s (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2);
    * `constant`: a tenth throughout (He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2);
    * `exponential`: 0.1 ** (1 - s), from about a tenth by equal ratios (`exp` of OpenMMLab's schedules).

    Args:
        schedule: Bound entry of SCHEDULES.
        step: Steps taken since training began.
        epochs: Of the whole training.
        steps_per_epoch: How many an epoch has.
        warmup_epochs: How long the warm-up lasts.
        warmup: Its kind.
        scores: The val score of each finished epoch.
    """
    num_warmup_steps = warmup_epochs * steps_per_epoch
    if step >= num_warmup_steps:
        num_steps = epochs * steps_per_epoch - num_warmup_steps
        return schedule(Moment(step - num_warmup_steps, num_steps, steps_per_epoch, warmup_epochs, scores))
    risen = (step + 1) / num_warmup_steps
    return {"linear": risen, "constant": START, "exponential": START ** (1 - risen)}[warmup]

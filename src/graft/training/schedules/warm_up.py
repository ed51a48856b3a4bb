"""The warm-up: the rise of the learning rate before the schedule begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from graft.training.schedules.moment import Moment

Warmup = Literal["linear", "constant", "exponential"]
START = 0.1


def linear(risen: float) -> float:
    """The rate rises by equal steps to its full height.

    The usual warm-up: large first steps on fresh layers would undo what was pretrained (Goyal et al. 2017, "Accurate,
    Large Minibatch SGD", section 2.2).
    """
    return risen


def constant(risen: float) -> float:
    """A tenth of the rate, then all of it at once.

    As in He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2, who began so until training
    took hold.
    """
    return START


def exponential(risen: float) -> float:
    """From about a tenth to the full rate by equal ratios: slower at first than `linear`, then faster.

    The `exp` warm-up of OpenMMLab's schedules.
    """
    return START ** (1 - risen)


# Each takes the share of the warm-up's steps that is done, 1 at the last of them, and returns a factor of the rate.
WARM_UPS: Mapping[str, Callable[[float], float]] = {
    "linear": linear,
    "constant": constant,
    "exponential": exponential,
}


def rate_factor_at(
    schedule: Callable[[Moment], float],
    step: int,
    *,
    epochs: int,
    steps_per_epoch: int,
    warmup_epochs: int,
    warmup: Warmup = "linear",
    scores: Sequence[float | None] = (),
) -> float:
    """The factor of `step` (from 0): the warm-up's while it lasts, then the schedule's over the rest.

    Args:
        schedule: Bound entry of SCHEDULES.
        step: Number of steps taken since training began.
        epochs: Number of epochs of the whole training.
        steps_per_epoch: Number of steps in an epoch.
        warmup_epochs: Number of epochs of the warm-up.
        warmup: Name in WARM_UPS.
        scores: Val score of each finished epoch; None where val was not scored.
    """
    num_warmup_steps = warmup_epochs * steps_per_epoch
    if step >= num_warmup_steps:
        num_steps = epochs * steps_per_epoch - num_warmup_steps
        return schedule(Moment(step - num_warmup_steps, num_steps, steps_per_epoch, warmup_epochs, scores))
    return WARM_UPS[warmup]((step + 1) / num_warmup_steps)

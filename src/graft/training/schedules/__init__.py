"""Schedules of the learning rate: one file each, `(moment, *, options) -> factor`, pure functions.

The factor multiplies the learning rate of the step at a `Moment`. A schedule that can be too long for a training says
so in a `reason_against(epochs, warmup_epochs, *, validate_every_epochs, options)` of its file, which stands in REASONS.
"""

from __future__ import annotations

from collections.abc import Callable

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError
from graft.training.schedules.constant import constant
from graft.training.schedules.cosine import cosine
from graft.training.schedules.cosine_restarts import cosine_restarts
from graft.training.schedules.cosine_restarts import reason_against as reason_against_cosine_restarts
from graft.training.schedules.exponential import exponential
from graft.training.schedules.moment import Moment
from graft.training.schedules.multi_step import multi_step
from graft.training.schedules.multi_step import reason_against as reason_against_multi_step
from graft.training.schedules.one_cycle import one_cycle
from graft.training.schedules.plateau import plateau
from graft.training.schedules.plateau import reason_against as reason_against_plateau
from graft.training.schedules.poly import poly
from graft.training.schedules.step import reason_against as reason_against_step
from graft.training.schedules.step import step
from graft.training.schedules.warm_up import rate_factor_at

SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "exponential": exponential,
    "multi_step": multi_step,
    "one_cycle": one_cycle,
    "plateau": plateau,
    "poly": poly,
    "step": step,
}

REASONS: dict[str, Callable[..., str | None]] = {
    "cosine_restarts": reason_against_cosine_restarts,
    "multi_step": reason_against_multi_step,
    "plateau": reason_against_plateau,
    "step": reason_against_step,
}


def refuse_too_long(schedule: Choice, epochs: int, warmup_epochs: int, validate_every_epochs: int = 1) -> None:
    """Refuses a schedule that is longer than training, parts of which would never come.

    Args:
        schedule: Bound entry of SCHEDULES.
        epochs: Number of epochs of the whole training.
        warmup_epochs: Number of them that are warm-up.
        validate_every_epochs: Number of epochs from one validation to the next.

    Raises:
        GraftError: The schedule is too long.
    """
    options = {"validate_every_epochs": validate_every_epochs, **schedule.options}
    reason = REASONS[schedule.name](epochs, warmup_epochs, **options) if schedule.name in REASONS else None
    if reason is not None:
        raise GraftError(
            f"fine_tune.schedule {schedule.name}: {reason}",
            rule="every part of a schedule lies within training",
            remedy="raise fine_tune.epochs, or shorten the schedule",
        )


__all__ = [
    "REASONS",
    "SCHEDULES",
    "Moment",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "multi_step",
    "one_cycle",
    "plateau",
    "poly",
    "rate_factor_at",
    "refuse_too_long",
    "step",
]

"""Drops at milestones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment

Share = Annotated[float, Field(gt=0, lt=1)]
Epoch = Annotated[int, Field(ge=1)]


def multi_step(
    moment: Moment,
    *,
    milestones: list[Share] | list[Epoch] = [0.5, 0.75],  # noqa: B006 (never written to, and a list is what YAML gives)
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.1,
) -> float:
    """Drops at milestones: shares of the training after the warm-up, or epochs of the whole training.

    drop ** (number of milestones reached). What classic trainings of image classifiers used; a rate that is held long
    and cut hard shows in the curves where the next cut pays. The defaults are those of He et al. 2016, "Deep Residual
    Learning for Image Recognition", section 4.2 (at 32 and 48 of 64 thousand steps, to a tenth).

    Args:
        moment: Position of the step.
        milestones: Shares such as 0.5, or numbers of finished epochs such as 8; not both in one list.
        drop: Factor of the rate at each milestone.
    """
    reached = [
        moment.finished_epochs >= milestone
        if isinstance(milestone, int)
        else moment.step >= milestone * moment.num_steps
        for milestone in milestones
    ]
    return drop ** sum(reached)


def reason_against(epochs: int, warmup_epochs: int, *, milestones: Sequence[float], **_: float) -> str | None:
    """Why the schedule makes no sense for a training of so many epochs, or None."""
    late = [str(milestone) for milestone in milestones if isinstance(milestone, int) and milestone >= epochs]
    return f"no epoch follows milestone {', '.join(late)}: the last of training is {epochs}" if late else None

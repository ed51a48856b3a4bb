"""A drop every so many epochs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment


def step(
    moment: Moment,
    *,
    every_epochs: Annotated[int, Field(ge=1)],
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.1,
) -> float:
    """A drop every so many epochs of the training, warm-up included.

    drop ** (epochs finished // every_epochs). Easy to reason about where a training's length is known by heart. The
    default drop is the usual one (He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.4).

    Args:
        moment: Position of the step.
        every_epochs: How many epochs lie between two drops.
        drop: Factor of each drop.
    """
    return drop ** (moment.finished_epochs // every_epochs)


def reason_against(epochs: int, warmup_epochs: int, *, every_epochs: int, **_: float) -> str | None:
    """Why the schedule makes no sense for a training of so many epochs, or None."""
    return None if every_epochs < epochs else f"a drop every {every_epochs} epochs never comes within {epochs}"

"""Drops when val no longer improves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment


def plateau(
    moment: Moment,
    *,
    patience_epochs: Annotated[int, Field(ge=0)] = 3,
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.1,
    min_improvement: Annotated[float, Field(ge=0, lt=1)] = 1e-4,
) -> float:
    """A drop each time the val score has not improved for more than `patience_epochs` epochs.

    For trainings whose length nobody knows, beside early stopping. An epoch that `validate_every_epochs` leaves out
    counts as one without improvement, and drops follow a validation. The scores of all finished epochs are read anew at
    each step, so there is no state that a resumed training could lose. As PyTorch's ReduceLROnPlateau in mode `max`
    with an absolute threshold, which has the defaults but for a patience of ten epochs, too long for most fine-tuning.

    Args:
        moment: Position of the step, with the scores so far.
        patience_epochs: Number of epochs in a row without improvement after which the rate drops at the next.
        drop: Factor of each drop.
        min_improvement: Least amount by which a score must exceed the best so far, in fractions of one.
    """
    factor, best, num_stale = 1.0, float("-inf"), 0
    for score in moment.scores:
        if score is not None and score > best + min_improvement:
            best, num_stale = score, 0
        else:
            num_stale += 1
        if score is not None and num_stale > patience_epochs:
            factor, num_stale = factor * drop, 0
    return factor


def reason_against(
    epochs: int, warmup_epochs: int, *, patience_epochs: int, validate_every_epochs: int, **_: float
) -> str | None:
    """Why the schedule makes no sense for a training of so many epochs, or None."""
    # The first score is the best so far; as many must follow as exceed patience; the drop needs a next epoch.
    needed = (1 + patience_epochs // validate_every_epochs + 1) * validate_every_epochs + 1
    if needed <= epochs:
        return None
    return f"with patience_epochs {patience_epochs} the first drop can come in epoch {needed}, and there are {epochs}"

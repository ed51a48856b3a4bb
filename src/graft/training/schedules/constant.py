"""No decay."""

from __future__ import annotations

from graft.training.schedules.moment import Moment


def constant(moment: Moment) -> float:
    """One, at every step.

    The plainest choice, for a short training at a small rate, and for comparing rates with one another. There is
    nothing to set.
    """
    return 1.0

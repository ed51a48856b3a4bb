"""Polynomial decay to zero, the usual one of semantic segmentation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment


def poly(moment: Moment, *, power: Annotated[float, Field(gt=0)] = 0.9) -> float:
    """Polynomial decay from one to zero.

    (1 - step / num_steps) ** power. The usual schedule of semantic segmentation, whose published results it makes
    comparable. Chen et al. 2017, "DeepLab", section 4.1.1, which has the default.

    Args:
        moment: Position of the step.
        power: One is a straight line; more is faster at first.
    """
    return (1 - moment.fraction) ** power

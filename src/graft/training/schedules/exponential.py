"""The same ratio at every step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment


def exponential(moment: Moment, *, final_factor: Annotated[float, Field(gt=0, le=1)] = 0.01) -> float:
    """The same ratio at every step, from one to `final_factor`.

    final_factor ** (step / num_steps). It leaves high rates soon, which suits weights that are nearly right already.
    The default, two orders of magnitude, is what two drops to a tenth come to (He et al. 2016, "Deep Residual Learning
    for Image Recognition", section 4.2).

    Args:
        moment: Position of the step.
        final_factor: Factor at the end.
    """
    return final_factor**moment.fraction

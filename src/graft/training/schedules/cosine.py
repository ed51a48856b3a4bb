"""Half a cosine."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment


def cosine(moment: Moment, *, final_factor: Annotated[float, Field(ge=0, le=1)] = 0.0) -> float:
    """Half a cosine from one to `final_factor`.

    final_factor + (1 - final_factor) * (1 + cos(pi * step / num_steps)) / 2. It spends long at high and at low rates
    and asks for no milestone, which makes it a good first choice. Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient
    Descent with Warm Restarts", equation 5 with one period and a minimum of zero.

    Args:
        moment: Position of the step.
        final_factor: Factor at the end.
    """
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * moment.step / moment.num_steps)) / 2

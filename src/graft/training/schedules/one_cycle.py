"""Up to the full rate and down to nearly nothing, once."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from graft.training.schedules.moment import Moment


def one_cycle(
    moment: Moment,
    *,
    peak_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3,
    initial_factor: Annotated[float, Field(gt=0, le=1)] = 0.04,
    final_factor: Annotated[float, Field(ge=0, le=1)] = 4e-6,
) -> float:
    """Half a cosine from `initial_factor` up to one, then half a cosine down to `final_factor`.

    With s = step / num_steps: the rise ends at s = peak_fraction. A short training at a high rate that gets its warm-up
    from the schedule itself (warmup_epochs: 0). Smith & Topin 2018, "Super-Convergence: Very Fast Training of Neural
    Networks Using Large Learning Rates", section 3; shape and defaults (a 25th, 30%, a further ten-thousandth) are
    those of fast.ai and PyTorch's OneCycleLR. The learning rate of `params.yaml` is the peak: with this schedule `graft
    find-rate` suggests one. Momentum is not cycled.

    Args:
        moment: Position of the step.
        peak_fraction: Share of the training at which the rate is highest.
        initial_factor: Factor at the start.
        final_factor: Factor at the end.
    """
    done, peak = moment.fraction, peak_fraction
    if done < peak:
        return initial_factor + (1 - initial_factor) * (1 - math.cos(math.pi * done / peak)) / 2
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * (done - peak) / (1 - peak))) / 2

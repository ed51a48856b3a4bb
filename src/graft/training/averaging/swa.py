"""The plain mean of the weights towards the end."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field


def swa(step: int, num_steps: int, *, last_fraction: Annotated[float, Field(gt=0, le=1)] = 0.25) -> float:
    """Stochastic weight averaging: the mean of the weights after each step of the last part of training.

    Before that part the weights count as they are. It finds the middle of a wide valley whose edge each single step
    lies on, which needs steps that still move: a `constant` schedule, or one with a `final_factor` well above zero.
    Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", algorithm 1, which starts
    at 75% of training and takes one point an epoch; fine-tuning has few epochs, so here each step is one. Statistics of
    normalisation are measured anew for the mean before each validation, on at most 10,000 training images as they are
    in their first view, which costs a forward pass over them: `validate_every_epochs` saves it.

    Args:
        step: Number of the step, from 0.
        num_steps: Number of steps of the whole training.
        last_fraction: Share of the steps that the mean is taken over.
    """
    before = max(step - math.floor(num_steps * (1 - last_fraction)), 0)
    return before / (before + 1)

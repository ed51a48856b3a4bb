"""An exponential moving average."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field


def ema(
    step: int,
    num_steps: int,
    *,
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99,
    warmup: Annotated[int, Field(ge=1)] = 10,
) -> float:
    """The recent past: what lies further back than 1 / (1 - `decay`) steps has faded.

    min(decay, (1 + n) / (warmup + n)) of the average stays at step n, so that a short training is not held back by its
    first weights (as in TensorFlow's ExponentialMovingAverage with num_updates, which has the default of `warmup`).
    Until `decay` is reached, 890 steps at the defaults, the average spans about the last n / (warmup - 1) steps. It
    smooths noisy steps of small batches at hardly any cost. Statistics of normalisation are averaged like weights.

    Args:
        step: Number of the step, from 0.
        num_steps: Number of steps of the whole training.
        decay: Largest share of the average that stays at a step.
        warmup: How slowly the share rises to `decay`: 1 not at all, larger values shorten the memory for longer.
    """
    return min(decay, (1 + step) / (warmup + step))

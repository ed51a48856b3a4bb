"""The same ratio at every step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field


def exponential(step: int, num_steps: int, *, final_factor: Annotated[float, Field(gt=0, le=1)] = 0.01) -> float:
    """final_factor ** (step / num_steps): one at the start, `final_factor` at the end."""
    return final_factor ** (step / num_steps)

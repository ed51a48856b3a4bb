"""Half a cosine."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field


def cosine(step: int, num_steps: int, *, final_factor: Annotated[float, Field(ge=0, le=1)] = 0.0) -> float:
    """final_factor + (1 - final_factor) * (1 + cos(pi * step / num_steps)) / 2 (Loshchilov & Hutter 2017, eq. 5)."""
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * step / num_steps)) / 2

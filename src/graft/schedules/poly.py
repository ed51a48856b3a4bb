"""Polynomial decay to zero, the usual one of semantic segmentation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field


def poly(step: int, num_steps: int, *, power: Annotated[float, Field(gt=0)] = 0.9) -> float:
    """(1 - step / num_steps) ** power (Chen et al. 2017, "DeepLab", section 4.1.1)."""
    return (1 - step / num_steps) ** power

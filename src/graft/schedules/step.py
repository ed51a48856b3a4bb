"""Drops at milestones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Milestone = Annotated[float, Field(gt=0, lt=1)]


def step(
    step: int,
    num_steps: int,
    *,
    milestones: list[Milestone] = [0.5, 0.75],  # noqa: B006 (never written to, and a list is what YAML gives)
    drop: Annotated[float, Field(gt=0, le=1)] = 0.1,
) -> float:
    """drop ** (number of milestones reached); a milestone is a fraction of the steps (He et al. 2016, section 4.2)."""
    return drop ** sum(step >= milestone * num_steps for milestone in milestones)

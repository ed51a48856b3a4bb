"""No decay."""

from __future__ import annotations


def constant(step: int, num_steps: int) -> float:
    """One, at every step."""
    return 1.0

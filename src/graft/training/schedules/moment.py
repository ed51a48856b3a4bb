"""Where in a training a step is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """Where in a training a step is, and how the training has gone so far.

    Attributes:
        step: Steps taken since the warm-up ended.
        num_steps: How many there are from the end of the warm-up to the last.
        steps_per_epoch: How many an epoch has.
        warmup_epochs: How many epochs the warm-up took.
        scores: The val score of each finished epoch, those of the warm-up included; the larger the better.
    """

    step: int
    num_steps: int
    steps_per_epoch: int = 1
    warmup_epochs: int = 0
    scores: Sequence[float] = ()

    @property
    def fraction(self) -> float:
        """How much of the training after the warm-up is done, from 0 to 1."""
        return self.step / self.num_steps

    @property
    def epochs(self) -> float:
        """Epochs since the warm-up ended, with parts of one."""
        return self.step / self.steps_per_epoch

    @property
    def finished_epochs(self) -> int:
        """Epochs since training began that are finished."""
        return self.warmup_epochs + self.step // self.steps_per_epoch

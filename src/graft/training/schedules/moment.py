"""The moment of a training at which a schedule is asked for the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """The position of a step in a training, and the scores so far.

    Attributes:
        step: Number of steps taken since the warm-up ended.
        num_steps: Number of steps from the end of the warm-up to the last one.
        steps_per_epoch: Number of steps in an epoch.
        warmup_epochs: Number of epochs of the warm-up.
        scores: Val score of each finished epoch, those of the warm-up included; larger is better. None where val was
            not scored.
    """

    step: int
    num_steps: int
    steps_per_epoch: int = 1
    warmup_epochs: int = 0
    scores: Sequence[float | None] = ()

    @property
    def fraction(self) -> float:
        """Share of the training after the warm-up that is done, from 0 to 1."""
        return self.step / self.num_steps

    @property
    def epochs(self) -> float:
        """Number of epochs since the warm-up ended, with fractions."""
        return self.step / self.steps_per_epoch

    @property
    def finished_epochs(self) -> int:
        """Number of finished epochs since training began."""
        return self.warmup_epochs + self.step // self.steps_per_epoch

"""How long, how fast and in which order to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from graft.foundation.class_map import IGNORE_INDEX
from graft.foundation.content import content_seed
from graft.training.mixing import Mix
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.sampling import Sampling
from graft.training.schedules import Moment, rate_factor_at
from graft.training.schedules.warm_up import Warmup


@dataclass(frozen=True)
class Plan:
    """How long, how fast and in which order to train.

    Attributes:
        seed: Of the whole pipeline.
        epochs: How many at most.
        batch_size: Images of a batch.
        learning_rate: Before schedule and rate factors.
        schedule: Bound entry of SCHEDULES.
        warmup_epochs: How long the rate rises first.
        clip_norm: The gradients' largest norm, or None.
        early_stopping_epochs: Stop when the best epoch lies this far back, or None.
        sampling: Makes the order of an epoch out of a generator.
        mix: Mixes the images of a batch, or None.
        warmup: How the rate rises: `linear`, `constant` or `exponential`.
        accumulate_steps: Batches whose gradients make one step.
        clip_value: The largest absolute value of a gradient, or None.
        ignored_target: The target that counts nowhere.
    """

    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Callable[[Moment], float]
    warmup_epochs: int
    clip_norm: float | None
    early_stopping_epochs: int | None
    sampling: Sampling
    mix: Mix | None = None
    warmup: Warmup = "linear"
    accumulate_steps: int = 1
    clip_value: float | None = None
    ignored_target: int = IGNORE_INDEX

    def rate(self, step: int, steps_per_epoch: int, scores: Sequence[float]) -> float:
        """The learning rate of a step (from 0), given the val scores of the epochs so far."""
        return self.learning_rate * rate_factor_at(
            self.schedule,
            step,
            epochs=self.epochs,
            steps_per_epoch=steps_per_epoch,
            warmup_epochs=self.warmup_epochs,
            warmup=self.warmup,
            scores=scores,
        )

    def order(self, epoch: int, *, needs_two: bool) -> np.ndarray:
        """The order of an epoch (from 0): sample numbers, int64.

        Args:
            epoch: Which epoch.
            needs_two: Leave the last sample out where it would be a batch of its own: one value has no variance.
        """
        order = self.sampling(np.random.default_rng(content_seed(self.seed, "order", epoch)))
        alone = len(order) > 1 < self.batch_size and len(order) % self.batch_size == 1
        return order[:-1] if needs_two and alone else order

    def mix_batch(self, images: Tensor, targets: Tensor, batch: int) -> tuple[Tensor, Tensor | MixedTargets]:
        """A batch as `mix` makes it; `batch` counts all batches of the training from 0."""
        if self.mix is None:
            return images, targets
        return self.mix(images, targets, content_seed(self.seed, "mix", batch))

    def weight(self, targets: Tensor | MixedTargets, target_weights: Tensor | None = None) -> Tensor | None:
        """What a batch weighs in a step of several: what its targets count together, by the number of a full batch.

        None where a step has one batch only.

        Args:
            targets: Long [B, H, W] or [B]; of mixed ones the first, whose classes the second have in another order.
            target_weights: What a target counts by its class, [K] on the device of the targets; None for ones.
        """
        if self.accumulate_steps == 1:
            return None
        if isinstance(targets, MixedTargets):
            targets = targets.first
        counted = targets != self.ignored_target
        if target_weights is not None:
            counted = target_weights[targets.masked_fill(~counted, 0)] * counted
        return counted.sum() / (targets[0].numel() * self.batch_size)

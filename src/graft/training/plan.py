"""The plan of a training: its length, its learning rate and the order of its samples."""

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
    """The length, the learning rate and the order of a training.

    Attributes:
        seed: Seed of the whole pipeline.
        epochs: Largest number of epochs.
        batch_size: Number of images in a batch.
        learning_rate: Learning rate before schedule and rate factors.
        schedule: Bound entry of SCHEDULES.
        warmup_epochs: Number of epochs in which the rate rises first.
        clip_norm: Largest norm of the gradients, or None.
        early_stopping_epochs: Number of epochs without a better one after which training stops, or None.
        sampling: Function that makes the order of an epoch from a generator.
        mix: Function that mixes the images of a batch, or None.
        warmup: Kind of warm-up: `linear`, `constant` or `exponential`.
        accumulate_steps: Number of batches whose gradients make one step.
        clip_value: Largest absolute value of a gradient, or None.
        ignored_target: Target that counts nowhere.
        validate_every_epochs: Number of epochs from one validation to the next; the last epoch is always validated.
        sizes: Heights and widths of the views in pixels, each for an equal part of the epochs; none where all views are
            as they were made.
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
    validate_every_epochs: int = 1
    sizes: Sequence[tuple[int, int]] = ()

    def rate(self, step: int, steps_per_epoch: int, scores: Sequence[float | None]) -> float:
        """The learning rate of a step (from 0), given the val score of each epoch so far (None: not validated)."""
        return self.learning_rate * rate_factor_at(
            self.schedule,
            step,
            epochs=self.epochs,
            steps_per_epoch=steps_per_epoch,
            warmup_epochs=self.warmup_epochs,
            warmup=self.warmup,
            scores=scores,
        )

    def validates(self, epoch: int) -> bool:
        """Whether the model is validated after an epoch (from 0)."""
        return (epoch + 1) % self.validate_every_epochs == 0 or epoch + 1 == self.epochs

    def size(self, epoch: int) -> tuple[int, int] | None:
        """Height and width in pixels of the views of an epoch (from 0); None where they are as they were made."""
        return self.sizes[epoch * len(self.sizes) // self.epochs] if self.sizes else None

    def order(self, epoch: int, *, needs_two: bool) -> np.ndarray:
        """The order of an epoch (from 0): sample numbers, int64.

        Args:
            epoch: Number of the epoch.
            needs_two: Whether the last sample is left out if it would be a batch of its own: one value has no variance.
        """
        order = self.sampling(np.random.default_rng(content_seed(self.seed, "order", epoch)))
        alone = len(order) > 1 < self.batch_size and len(order) % self.batch_size == 1
        return order[:-1] if needs_two and alone else order

    def mix_batch(self, images: Tensor, targets: Tensor, batch: int) -> tuple[Tensor, Tensor | MixedTargets]:
        """Mixes the images of a batch if `mix` is set; `batch` counts all batches of the training from 0."""
        if self.mix is None:
            return images, targets
        return self.mix(images, targets, content_seed(self.seed, "mix", batch))

    def weight(self, targets: Tensor | MixedTargets, target_weights: Tensor | None = None) -> Tensor | None:
        """The weight of a batch in a step of several: that of its targets, divided by the number in a full batch.

        None if a step has one batch only.

        Args:
            targets: Long [B, H, W] or [B]; of mixed targets the first, as the second have the same classes reordered.
            target_weights: Weight of a target by its class, [K] on the device of the targets; None for ones.
        """
        if self.accumulate_steps == 1:
            return None
        if isinstance(targets, MixedTargets):
            targets = targets.first
        counted = targets != self.ignored_target
        if target_weights is not None:
            counted = target_weights[targets.masked_fill(~counted, 0)] * counted
        return counted.sum() / (targets[0].numel() * self.batch_size)

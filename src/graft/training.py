"""The one training loop: a generator of epoch reports.

What a step computes is the strategy's business, what an epoch is worth the validator's; the loop moves the weights,
keeps the best and says where it is. Everything random in a step is seeded by (seed, step), the order of an epoch by
(seed, epoch), so the number of the next step is all the state of samplers and generators a checkpoint needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from graft.choices import Choice
from graft.datasets.loading import batches
from graft.datasets.views import Views
from graft.predicting import padding
from graft.resuming import Checkpoint
from graft.sample import content_seed
from graft.schedules import warmed_up
from graft.trainee import EpochReport, Trainee, batch_norms

# Looking at a loss makes the host wait for the device; a few steps in vain after one that is not finite cost less.
STEPS_BETWEEN_LOOKS = 16


class Strategy(Protocol):
    """What a training step computes; entries of STRATEGIES make one."""

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Freezes what is not trained; returns the rest as named groups for an optimizer."""

    def step(self, model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The losses of a batch; `loss` is what is made small."""


@dataclass(frozen=True)
class Held:
    """What a validation found: mean loss, score (a fraction of one), and the class all is predicted as, if it is so."""

    loss: float
    score: float
    collapsed_to: int | None


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Choice
    warmup_epochs: int
    clip_norm: float | None
    early_stopping_epochs: int | None

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """What the learning rate of a step (from 0) is multiplied by."""
        return warmed_up(self.schedule, step, self.epochs * steps_per_epoch, self.warmup_epochs * steps_per_epoch)


class Forward:
    """A model as strategies call it: uint8 RGB [B, 3, H, W] in, float32 logits out; normalised and padded inside."""

    def __init__(
        self, model: nn.Module, normalisation: tuple[Tensor, Tensor], precision: str, channels_last: bool
    ) -> None:
        self.model, self.precision = model, precision
        self.scale, self.shift = normalisation
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        for axis in (-2, -1):
            images = self._padded(images, axis)
        pixels = images.to(torch.float32, memory_format=self.layout).mul_(self.scale).add_(self.shift)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.model(pixels).float()
        return logits[..., :height, :width] if logits.ndim == 4 else logits

    def _padded(self, images: Tensor, axis: int) -> Tensor:
        """Mirrored at the end of an axis, pixel for pixel as `predicting` does."""
        side = images.shape[axis]
        missing = padding(side, self.model.padding_multiple, self.model.min_side_px)
        if not missing:
            return images
        places = np.pad(np.arange(side), (0, missing), mode="reflect")
        return images.index_select(axis, torch.from_numpy(places).to(images.device))


def fit(
    trainee: Trainee,
    plan: Plan,
    views: Views,
    strategy: Strategy,
    forward: Forward,
    validate: Callable[[nn.Module], Held],
    checkpoint: Checkpoint,
    tick: Callable[[int], None],
) -> Iterator[EpochReport]:
    """Trains from where the trainee is, a report for each epoch; the trainee holds the best weights afterwards.

    Args:
        trainee: Model, optimizer and position; changed in place.
        plan: How long and how fast.
        views: Training samples; epoch e (from 0) reads view e mod `num_views` of each.
        strategy: What a step computes.
        forward: The trainee's model, ready for uint8 images.
        validate: Scores a model on the val rows.
        checkpoint: Where an interrupted run goes on.
        tick: Called with the number of images a step has seen.

    Raises:
        GraftError: A loss is not finite.
    """
    while trainee.epoch < plan.epochs and not trainee.has_stalled(plan.early_stopping_epochs):
        started = time.perf_counter()
        rate = _train_epoch(trainee, plan, views, strategy, forward, checkpoint, tick)
        report = trainee.end_epoch(validate(trainee.judged), rate, time.perf_counter() - started)
        if checkpoint.is_due():
            checkpoint.write(trainee.state())
        yield report
    checkpoint.write(trainee.state())


def epoch_order(num_samples: int, plan: Plan, epoch: int, *, needs_two: bool) -> np.ndarray:
    """The order of an epoch (from 0): sample indices, int64.

    Args:
        num_samples: How many samples there are.
        plan: Seed and batch size.
        epoch: Which epoch.
        needs_two: Leave the last sample out where it would be a batch of its own: one value has no variance.
    """
    order = np.random.default_rng(content_seed(plan.seed, "order", epoch)).permutation(num_samples)
    return (
        order[:-1] if needs_two and num_samples > 1 < plan.batch_size and num_samples % plan.batch_size == 1 else order
    )


def _train_epoch(
    trainee: Trainee,
    plan: Plan,
    views: Views,
    strategy: Strategy,
    forward: Forward,
    checkpoint: Checkpoint,
    tick: Callable[[int], None],
) -> float:
    """The steps of an epoch that are left; returns the learning rate of its last step."""
    trainee.model.train()  # validation left it in evaluation mode; frozen parts stay there
    order = epoch_order(views.num_samples, plan, trainee.epoch, needs_two=bool(batch_norms(trainee.model)))
    steps_per_epoch = -(-len(order) // plan.batch_size)
    left = order[trainee.batch * plan.batch_size :]
    view = trainee.epoch % views.num_views
    for images, targets in batches(views, left, view, plan.batch_size, device=forward.scale.device):
        torch.manual_seed(content_seed(plan.seed, "step", trainee.step))
        trainee.set_learning_rate(plan.learning_rate * plan.factor(trainee.step, steps_per_epoch))
        trainee.set_normalisation()
        loss = strategy.step(forward, images, targets)["loss"]
        loss.backward()
        trainee.take_step(loss.detach(), plan.clip_norm)
        if trainee.step % STEPS_BETWEEN_LOOKS == 0:
            trainee.look_at_losses()
        if checkpoint.is_due():
            trainee.look_at_losses()
            checkpoint.write(trainee.state())
        tick(len(images))
    trainee.look_at_losses()
    return plan.learning_rate * plan.factor(trainee.step - 1, steps_per_epoch)

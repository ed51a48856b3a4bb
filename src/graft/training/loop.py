"""The one training loop: a generator of epoch reports.

The strategy decides what a step computes, and validation what an epoch is worth; the loop moves the weights, keeps the
best and reports its progress. Everything random in a step is seeded by (seed, number of the batch), the order of
an epoch by (seed, epoch), so the number of the next batch is all the state of samplers and generators a checkpoint
needs.
"""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from graft.data.views.resized import ResizedViews
from graft.data.views.view import BatchSource, Views
from graft.foundation.content import content_seed
from graft.models.architectures import Model, WithAuxiliary
from graft.training.checkpoint import Checkpoint
from graft.training.context import TrainingContext
from graft.training.epoch_cost import EpochMeter
from graft.training.forward import Forward
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.plan import Plan
from graft.training.state import EpochReport, Trainee, ValidationResult, batch_norms

# Looking at a loss makes the host wait for the device; a few steps in vain after one that is not finite cost less.
STEPS_BETWEEN_LOOKS = 16


class Strategy(ABC):
    """Decides what a training step computes, and which weights move when; entries of STRATEGIES make one.

    A subclass has to say what is trained and what a step computes; the rest does nothing unless it is overridden.

    Attributes:
        target_weights: Weight of a target by its class in the mean that `loss` is, [K]; None where all weigh the same,
            or the loss is no mean over targets.
        looks_at_unlabelled: Whether it looks at unlabelled images, where there are any.
    """

    target_weights: Tensor | None = None
    looks_at_unlabelled: bool = False

    def begin(self, model: Model, context: TrainingContext) -> None:  # noqa: B027  most need to know nothing
        """Looks at the weights that training starts from, and may change them.

        Called once before all else, on the device of the training, also where it is resumed: `model` was loaded anew.
        """

    @abstractmethod
    def parameter_groups(self, model: Model) -> list[dict[str, Any]]:
        """Every parameter that will ever be trained, as groups for an optimizer; freezes the others.

        A group has a `name`, `params`, and may have a `weight_decay` and a `rate_factor` of its own.
        """

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """The views and the forward that training uses.

        Called once, with the weights that training starts from, also where a training is resumed.
        """
        return views, forward

    def begin_epoch(self, model: Model, epoch: int, epochs: int) -> None:  # noqa: B027  many freeze nothing
        """Freezes and unfreezes: called before each epoch (from 0), and again where one is resumed half-way.

        The loop puts the model into training mode afterwards, where frozen parts stay in evaluation mode.
        """

    def begin_batch(self, trainee: Trainee, batch: int) -> None:  # noqa: B027  most need no number
        """Takes note of the state of training and of the number of the batch, from 0: called before each step."""

    @abstractmethod
    def step(
        self, forward: Callable[[Any], Tensor | WithAuxiliary], images: Tensor, targets: Tensor | MixedTargets
    ) -> dict[str, Tensor]:
        """The losses of a batch; `loss` is the one to be minimised."""

    def worth(self, held: ValidationResult) -> float:
        """The worth of an epoch: that of the best one decides which weights are kept. Called before `measures`."""
        return held.score

    def measures(self) -> dict[str, float]:
        """Numbers of the epoch that become curves, the same for the same inputs."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Facts of the finished training for `summary.json`, by name."""
        return {}

    def end_epoch(self, trainee: Trainee) -> None:  # noqa: B027  most go on
        """Looks at an epoch that has ended, its report included, and may change the trainee."""

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint has to keep of the strategy, as tensors, numbers, lists and dicts."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027  most keep nothing
        """Restores a `state`, bit for bit."""

    def model_to_validate(self, model: Model) -> nn.Module:
        """The model to validate after an epoch in place of `model`, with the same answers as after `finish`."""
        return model

    def finish(  # noqa: B027  most have nothing left to do
        self, model: Model, views: BatchSource, forward: Forward, plan: Plan
    ) -> None:
        """Does what is left to do on the best weights, which `model` holds; on pixels, whatever training used."""


@dataclass(frozen=True)
class Training:
    """A training with all its parts; each step moves the weights of the trainee.

    Attributes:
        trainee: Model, optimizer and position; changed in place.
        plan: Length, learning rate and order of the training.
        views: Source of the batches; epoch e (from 0) reads view e mod `num_views` of each sample.
        strategy: Strategy that computes each step.
        forward: Function from the inputs of a batch to logits.
        settle: Function that makes the model to be validated ready for it; called before each validation.
        batch_seconds: Seconds of forward, loss and backward, for each batch that this process has trained on.
    """

    trainee: Trainee
    plan: Plan
    views: BatchSource
    strategy: Strategy
    forward: Callable[[Any], Any]
    settle: Callable[[], None] = lambda: None
    batch_seconds: list[float] = field(default_factory=list)

    def views_of(self, epoch: int) -> BatchSource:
        """The source of the batches of an epoch (from 0), in the size that the plan gives it."""
        size, views = self.plan.size(epoch), self.views
        if size is None or not isinstance(views, Views) or size == views.size:
            return views
        return ResizedViews(views, size)

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs, of the trainee and of the strategy."""
        return {**self.trainee.state(), "strategy": self.strategy.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`, bit for bit."""
        self.trainee.restore(state)
        self.strategy.restore(state["strategy"])

    def compile_facts(self) -> dict[str, float]:
        """The seconds that torch.compile took at the start; empty if no batch was compiled.

        `first_compiled_batch_seconds` are forward, loss and backward of the batch that compiled both passes, and
        `compile_seconds` the same less the median of the batches after it, if there are any. Where a later batch has
        another size, or finds more unfrozen, torch compiles again, which is in neither.
        """
        num_compiled = self.forward.num_compiled if isinstance(self.forward, Forward) else 0
        if not num_compiled:
            return {}
        first, *later = self.batch_seconds[-num_compiled:]
        usual = {"compile_seconds": first - statistics.median(later)} if later else {}
        return {"first_compiled_batch_seconds": first, **usual}


def fit(
    training: Training,
    validate: Callable[[nn.Module], ValidationResult] | None,
    checkpoint: Checkpoint,
    tick: Callable[[int], None],
) -> Iterator[EpochReport]:
    """Trains from the trainee's position on, and yields a report for each epoch; the trainee keeps the best weights.

    Args:
        training: Training with all its parts.
        validate: Function that scores a model on the val images; None where there is nothing to score it by, and the
            last weights are what counts.
        checkpoint: Checkpoint from which an interrupted training goes on.
        tick: Called after each step with the number of its images.

    Raises:
        GraftError: A loss is not finite.
    """
    trainee, plan = training.trainee, training.plan
    while trainee.epoch < plan.epochs and not trainee.has_stalled(plan.early_stopping_epochs):
        meter = EpochMeter(trainee.device, plan.size(trainee.epoch))
        with closing(epoch_steps(training)) as steps:
            for num_images in steps:
                if trainee.step % STEPS_BETWEEN_LOOKS == 0:
                    trainee.look_at_losses()
                if checkpoint.is_due():
                    trainee.look_at_losses()
                    checkpoint.write(training.state())
                meter.count(num_images)
                tick(num_images)
        trainee.look_at_losses()
        meter.end_steps()
        held, worth = None, None
        if validate is not None and plan.validates(trainee.epoch):
            training.settle()
            held = validate(training.strategy.model_to_validate(trainee.judged))
            worth = training.strategy.worth(held)
        report = trainee.end_epoch(held, meter.cost(), training.strategy.measures(), worth)
        training.strategy.end_epoch(trainee)
        if checkpoint.is_due():
            checkpoint.write(training.state())
        yield report
    checkpoint.write(training.state())


def epoch_steps(training: Training) -> Generator[int, None, None]:
    """Takes the remaining steps of an epoch; yields the number of images of each after it is taken."""
    trainee, plan, views = training.trainee, training.plan, training.views_of(training.trainee.epoch)
    training.strategy.begin_epoch(trainee.model, trainee.epoch, plan.epochs)
    trainee.model.train()  # validation left it in evaluation mode; frozen parts stay there
    order = plan.order(trainee.epoch, needs_two=bool(batch_norms(trainee.model)))
    num_batches = -(-len(order) // plan.batch_size)
    steps_per_epoch = -(-num_batches // plan.accumulate_steps)
    scores = [report.val_score for report in trainee.history]
    left, view = order[trainee.batch * plan.batch_size :], trainee.epoch % views.num_views
    num_images, first = 0, trainee.epoch * num_batches + trainee.batch
    targets: Tensor | MixedTargets
    for batch, (images, targets) in enumerate(views.batches(left, view, plan.batch_size, trainee.device), first):
        torch.manual_seed(content_seed(plan.seed, "step", batch))
        trainee.set_normalisation(batch)
        images, targets = plan.mix_batch(images, targets, batch)
        started = time.perf_counter()
        training.strategy.begin_batch(trainee, batch)
        losses = training.strategy.step(training.forward, images, targets)
        trainee.gradients.add(losses["loss"], plan.weight(targets, training.strategy.target_weights))
        training.batch_seconds.append(time.perf_counter() - started)
        num_images += len(images)
        taken = batch % num_batches + 1
        if taken == num_batches or taken % plan.accumulate_steps == 0:
            trainee.set_learning_rate(plan.rate(trainee.step, steps_per_epoch, scores))
            trainee.take_step(plan.clip_norm, plan.clip_value, plan.epochs * steps_per_epoch)
            yield num_images
            num_images = 0

"""The assembly of a training from `params.yaml`: model, optimizer, plan, views and strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from graft.data.views.view import Views
from graft.foundation.choices import Choice, check_task, resolve
from graft.foundation.class_map import ignored_target
from graft.foundation.errors import GraftError
from graft.inference.runtime import use_runtime
from graft.inference.torch_runner import normalisation
from graft.models.architectures import Model
from graft.models.saved_model import ModelSpec
from graft.models.teacher import Teacher
from graft.training.average import Average
from graft.training.averaging import AVERAGINGS
from graft.training.context import TrainingContext
from graft.training.features import FeatureViews
from graft.training.forward import Forward
from graft.training.loop import Strategy, Training
from graft.training.mixing import MIXINGS
from graft.training.mixing import TASKS as MIXING_TASKS
from graft.training.optimizers import OPTIMIZERS
from graft.training.plan import Plan
from graft.training.sampling import SAMPLINGS
from graft.training.sampling import TASKS as SAMPLING_TASKS
from graft.training.schedules import SCHEDULES, refuse_too_long
from graft.training.state import Trainee
from graft.training.strategies.re_estimation import re_estimate_on_views
from graft.training.strategies.reused_answers import AnsweredViews
from graft.training.view_sizes import view_sizes

if TYPE_CHECKING:
    from graft.params.sections import FineTune, Runtime

Registry = Mapping[str, Callable[..., Any]]


def reuse_refusals(what: str, mixing: str, compiled: bool, sizes: Sequence[float]) -> Iterator[GraftError]:
    """The settings that exclude features or answers which are computed once, each as an error.

    Args:
        what: Name of the things computed once: `features` of the model or `answers` of its teachers.
        mixing: Name of `fine_tune.mixing`.
        compiled: Value of `runtime.compile`.
        sizes: Value of `fine_tune.sizes`.
    """
    if mixing != "none":
        yield GraftError(
            f"fine_tune.mixing is {mixing!r}, and this strategy reuses {what}",
            rule=f"{what} are computed once, from images as they are; mixed images would need new ones",
            remedy=f"set fine_tune.mixing: none, or reuse no {what}",
        )
    if compiled and what == "features":
        yield GraftError(
            "runtime.compile is true, and this strategy reuses features",
            rule="what is left of the model is not compiled: it costs little",
            remedy="set runtime.compile: false, or reuse no features",
        )
    if min(sizes) < 1:
        yield GraftError(
            f"fine_tune.sizes is {list(sizes)}, and this strategy reuses {what}",
            rule=f"{what} are computed once, from views of one size",
            remedy=f"set fine_tune.sizes: [1], or reuse no {what}",
        )


@dataclass(frozen=True)
class Assembly:
    """Makes the parts of the trainings of a stage, and puts them together.

    Attributes:
        seed: Seed of the whole pipeline.
        params: Section `fine_tune`.
        runtime: Section `runtime`.
        views: Training samples, as pixels.
        spec: Rules by which an image becomes the model's input.
        known_classes: Names of the classes that the pretrained weights tell apart already.
        unlabelled: Weak views of unlabelled images; None where augment made none.
        teachers: Finished models that the strategy learns from.
    """

    seed: int
    params: FineTune
    runtime: Runtime
    views: Views
    spec: ModelSpec
    known_classes: tuple[str, ...] = ()
    unlabelled: Views | None = None
    teachers: tuple[Teacher, ...] = ()

    def training(self, model: Model, strategy: Strategy, learning_rate: float) -> Training:
        """The training of `model`, which is moved to the device of the runtime.

        Raises:
            GraftError: An option cannot be used, the device is not there, or views are too small for the model.
        """
        device = self.device()
        layout = torch.channels_last if self.runtime.channels_last else torch.contiguous_format
        model.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch takes both at once
        strategy.begin(model, self.context())
        optimizer = self.optimizer()(strategy.parameter_groups(model), learning_rate)
        trainee = Trainee(model, optimizer, self.average(model), self.runtime.precision)
        plan = replace(self.plan(learning_rate), sizes=view_sizes(self.views.size, self.params.sizes, model))
        views, forward = strategy.prepare(model, self.views, self.forward(model, compiled=self.runtime.compile))
        if isinstance(views, FeatureViews | AnsweredViews):
            what = "answers" if isinstance(views, AnsweredViews) else "features"
            for refusal in reuse_refusals(what, self.mixing().name, self.runtime.compile, self.params.sizes):
                raise refusal
        return Training(trainee, plan, views, strategy, forward, partial(self.settle, trainee))

    def context(self) -> TrainingContext:
        """The facts of the start that a strategy may need."""
        return TrainingContext(
            seed=self.seed,
            task=self.spec.task,
            class_names=self.spec.class_names,
            known_classes=self.known_classes,
            channels=self.spec.channels,
            batch_size=self.params.batch_size,
            averaging=self.averaging().name,
            unlabelled=self.unlabelled,
            teachers=self.teachers,
        )

    def device(self) -> torch.device:
        """The device of the runtime; from now on this process computes as the section `runtime` says.

        Raises:
            GraftError: The machine has no such device, or the device lacks the precision.
        """
        return use_runtime(self.runtime)

    def forward(self, model: Model, *, compiled: bool = False) -> Forward:
        """The forward pass of the model, from uint8 images to logits."""
        device = next(model.parameters()).device
        scale, shift = (tensor.to(device) for tensor in normalisation(self.spec.mean, self.spec.std))
        return Forward(model, (scale, shift), self.runtime.precision, self.runtime.channels_last, compiled)

    def average(self, model: Model) -> Average | None:
        """The average of the weights, or None where there shall be none."""
        averaging = self.averaging()
        return None if averaging.name == "none" else Average(model, averaging)

    def settle(self, trainee: Trainee) -> None:
        """Measures the normalisation statistics of averaged weights that have none of their own."""
        average = trainee.average
        if average is not None and average.needs_statistics:
            forward = self.forward(average.model)
            re_estimate_on_views(average.model, forward, self.views, self.params.batch_size, trainee.model)

    def plan(self, learning_rate: float) -> Plan:
        """The plan of the training.

        Raises:
            GraftError: A choice cannot be used, or the schedule is longer than training.
        """
        params = self.params
        return Plan(
            seed=self.seed,
            epochs=params.epochs,
            batch_size=params.batch_size,
            learning_rate=learning_rate,
            schedule=self.schedule(),
            warmup_epochs=params.warmup_epochs,
            clip_norm=params.clip_norm,
            early_stopping_epochs=params.early_stopping_epochs,
            sampling=self.sampling()(self.views.class_counts),
            mix=self.mixing()(),
            warmup=params.warmup,
            accumulate_steps=params.accumulate_steps,
            clip_value=params.clip_value,
            ignored_target=ignored_target(self.spec.num_classes),
            validate_every_epochs=params.validate_every_epochs,
        )

    def optimizer(self) -> Choice:
        """The optimizer, `(parameter_groups, learning_rate) -> Optimizer`."""
        return resolve(OPTIMIZERS, self.params.optimizer, where="fine_tune.optimizer")

    def schedule(self) -> Choice:
        """The schedule, `Moment -> factor`.

        Raises:
            GraftError: It is longer than training.
        """
        params, schedule = self.params, resolve(SCHEDULES, self.params.schedule, where="fine_tune.schedule")
        refuse_too_long(schedule, params.epochs, params.warmup_epochs, params.validate_every_epochs)
        return schedule

    def averaging(self) -> Choice:
        """The averaging, `(step, num_steps) -> share`."""
        return resolve(AVERAGINGS, self.params.averaging, where="fine_tune.averaging")

    def sampling(self) -> Choice:
        """The sampling, `class_counts -> Sampling`.

        Raises:
            GraftError: It is not for this task.
        """
        return self._for_task("sampling", SAMPLINGS, SAMPLING_TASKS)

    def mixing(self) -> Choice:
        """The mixing, `() -> Mix | None`.

        Raises:
            GraftError: It is not for this task.
        """
        return self._for_task("mixing", MIXINGS, MIXING_TASKS)

    def _for_task(self, key: str, registry: Registry, tasks: Mapping[str, Sequence[str]]) -> Choice:
        choice = resolve(registry, getattr(self.params, key), where=f"fine_tune.{key}")
        check_task(choice, tasks, self.spec.task, where=f"fine_tune.{key}")
        return choice

"""A tiny training by any strategy with any of its options, for the tests of what moves when and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from graft.data.views.view import UNLABELLED_VIEWS, open_views
from graft.foundation.choices import resolve
from graft.inference.runtime import use_runtime
from graft.inference.torch_runner import normalisation
from graft.models.architectures import Model, build_fresh
from graft.models.saved_model import tensor_digest
from graft.models.teacher import Teacher
from graft.training.average import Average
from graft.training.averaging import AVERAGINGS
from graft.training.checkpoint import Checkpoint
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.loop import Training, fit
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.optimizers import OPTIMIZERS
from graft.training.plan import Plan
from graft.training.sampling import shuffled
from graft.training.schedules import SCHEDULES
from graft.training.state import EpochReport, Trainee, ValidationResult
from graft.training.strategies import STRATEGIES
from tests import tiny_training

CLASS_NAMES = ("background", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NOTHING = ValidationResult(1.0, 0.5, None)
CROSS_ENTROPY = [{"name": "cross_entropy", "weight": 1.0}]


class KilledError(Exception):
    """What the tests end a training with."""


def small_model(task: str = "classification", spec: Any = None) -> Model:
    """The model of a task as a training starts with it."""
    spec = spec or tiny_training.MODELS[task]
    return build_fresh(task, spec, num_classes(task), 5).to(memory_format=torch.channels_last)


def num_classes(task: str) -> int:
    """The number of classes of the tiny training of a task."""
    return {"classification": 2, "segmentation": 11}[task]


def training_of(
    folder: Path,
    model: Model,
    *,
    task: str = "classification",
    epochs: int = 3,
    batch_size: int = 3,
    optimizer: str = "adamw",
    learning_rate: float = 1e-2,
    averaging: Any = "none",
    strategy: str = "supervised",
    num_known: int | None = None,
    precision: str = "float32",
    compiled: bool = False,
    teachers: tuple[Teacher, ...] = (),
    **options: Any,
) -> Training:
    """A training of `model` on the views in `folder`, six samples of them.

    Its weights know the first `num_known` classes, by default all.
    """
    use_runtime(tiny_training.runtime())
    chosen = STRATEGIES[strategy](WeightedSum(resolve_losses(CROSS_ENTROPY)), **options)
    names = CLASS_NAMES[: num_classes(task)]
    weak = folder / "augmented" / UNLABELLED_VIEWS
    facts: dict[str, Any] = {"batch_size": batch_size, "teachers": teachers}
    facts["unlabelled"] = open_views(weak, task) if weak.is_dir() else None
    facts["averaging"] = averaging if isinstance(averaging, str) else averaging["name"]
    chosen.begin(model, TrainingContext(7, task, names, names[:num_known], **facts))
    groups = chosen.parameter_groups(model)
    average = None if averaging == "none" else Average(model, resolve(AVERAGINGS, averaging, where="x"))
    trainee = Trainee(model, resolve(OPTIMIZERS, optimizer, where="x")(groups, learning_rate), average, precision)
    views = open_views(folder / "augmented", task)
    schedule, sampling = resolve(SCHEDULES, "poly", where="x"), shuffled(views.class_counts)
    plan = Plan(7, epochs, batch_size, learning_rate, schedule, 0, 1.0, None, sampling)
    forward = Forward(model, normalisation((0.5,) * 3, (0.2,) * 3), precision, True, compiled)
    views, forward = chosen.prepare(model, views, forward)
    return Training(trainee, plan, views, chosen, forward)


def run(training: Training, checkpoint: Checkpoint | None = None, kill_at: int | None = None) -> list[EpochReport]:
    """Trains to the end, or until the callback number `kill_at`; goes on from the checkpoint where there is one."""
    checkpoint = checkpoint or Checkpoint(None, "run")
    if (state := checkpoint.read()) is not None:
        training.restore(state)
    calls = iter(range(1000))

    def tick(_: int) -> None:
        if next(calls) == kill_at:
            raise KilledError

    return list(fit(training, lambda _: NOTHING, checkpoint, tick))


def digests(training: Training) -> tuple[Any, ...]:
    """All that a training came to: weights, average, best, moments, curves."""
    trainee = training.trainee
    states = trainee.optimizer.state_dict()["state"]
    moments = {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}
    kept = (trainee.model.state_dict(), trainee.judged.state_dict(), trainee.best, moments)
    return (*map(tensor_digest, kept), [report.curve() for report in trainee.history])

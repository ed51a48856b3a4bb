"""Epochs with a frozen backbone, features reused or computed anew each time: the same training, loss for loss.

Validation is inside. The first epoch, which computes the features, is not counted in the ratio; what it costs is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from benchmarks import prepared
from benchmarks.figures import Figure, Options, interleaved, median, ratio
from benchmarks.training import deterministic
from graft.adaptation import supervised
from graft.checkpoints import ModelSpec
from graft.choices import resolve
from graft.datasets.views import open_views
from graft.forward import Forward
from graft.held_out import HeldOut
from graft.losses import WeightedSum, resolve_losses
from graft.models import fresh, resolve_model
from graft.optimizers import OPTIMIZERS
from graft.plan import Plan
from graft.predicting_torch import normalisation, torch_runner
from graft.resuming import Checkpoint
from graft.sample import ClassMap
from graft.sampling import shuffled
from graft.schedules import SCHEDULES
from graft.trainee import EpochReport, Held, Trainee
from graft.training import Training, fit
from graft.weights.source import IMAGENET_MEAN, IMAGENET_STD

HEIGHT, WIDTH = 192, 256
NUM_TRAIN, NUM_VAL, BATCH_SIZE = 48, 16, 8
NUM_QUICK = 8
LEARNING_RATE = 1e-3
LEAST_SPEED_UP = 8.0


@dataclass(frozen=True)
class Job:
    """A training with a frozen backbone, and the speed-up it is held to."""

    name: str
    task: str
    model: dict[str, Any]
    train: str
    at_least: float | None = None


JOBS = (
    Job("classifier, MobileNetV3-Large", "classification", {"name": "mobilenet_v3"}, "frozen_backbone", LEAST_SPEED_UP),
    Job(
        "DeepLabV3-ResNet-50, train: head",
        "segmentation",
        {"name": "deeplabv3", "backbone": "resnet50"},
        "head",
        LEAST_SPEED_UP,
    ),
    Job("LR-ASPP, train: head", "segmentation", {"name": "lraspp"}, "head"),
)


def run(options: Options) -> list[Figure]:
    """An epoch a round of each way, for each job."""
    torch.set_num_threads(options.threads)
    num_train, num_val = (NUM_QUICK, NUM_QUICK) if options.quick else (NUM_TRAIN, NUM_VAL)
    figures = []
    with TemporaryDirectory(prefix="graft-bench-") as name:
        for task in ("classification", "segmentation"):
            folder = Path(name) / task
            source = prepared.scenes(num_train, num_val, width_px=WIDTH, height_px=HEIGHT)
            prepared.interim(source, Path(name), folder, task)
            prepared.materialised(folder, folder / "augmented", (HEIGHT, WIDTH), 1, task=task)
            for job in (job for job in JOBS if job.task == task):
                figures += measured(job, folder, options)
    return figures


def measured(job: Job, folder: Path, options: Options) -> list[Figure]:
    """The ratio of epochs, and what the epoch costs that computes the features.

    Raises:
        RuntimeError: The losses differ.
    """
    losses: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    first: list[float] = []
    ways = {}
    for reuse in (False, True):
        epochs = reports(job, folder, reuse, 2 + options.rounds)
        report = next(epochs)
        first += [report.seconds]
        losses[reuse].append((report.train_loss, report.val_loss))
        ways[reuse] = deterministic(partial(one_epoch, epochs, losses[reuse].append))
    seconds = interleaved({str(reuse): way for reuse, way in ways.items()}, options.rounds, f"Epochs of {job.name}")
    if losses[True] != losses[False]:
        raise RuntimeError(f"{job.name}: the losses with reuse are {losses[True]}, without {losses[False]}")
    bound = {} if job.at_least is None or options.quick else {"at_least": job.at_least}
    return [
        ratio(f"{job.name}: epoch without reuse / epoch with", seconds["False"], seconds["True"], **bound),
        median("the same, an epoch with reuse", seconds["True"], "s"),
        Figure("the same, the epoch that computes the features / one without reuse", first[1] / first[0], "×"),
    ]


def one_epoch(epochs: Iterator[EpochReport], keep: Callable[[tuple[float, float]], None]) -> None:
    """Trains for an epoch and keeps its losses."""
    report = next(epochs)
    keep((report.train_loss, report.val_loss))


def reports(job: Job, folder: Path, reuse: bool, num_epochs: int) -> Iterator[EpochReport]:
    """The training of a job, validation included; each report is an epoch."""
    num_classes = ClassMap.read(folder / "class_map.json").num_classes
    model = fresh(job.task, job.model, num_classes, prepared.SEED).to(memory_format=torch.channels_last)
    spec = ModelSpec(
        task=job.task,
        model=resolve_model(job.task, job.model).as_dict(),
        num_classes=num_classes,
        class_names=tuple(map(str, range(num_classes))),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        resize={"name": "none"},
        padding_multiple=model.padding_multiple,
        synthetic=True,
        min_side_px=model.min_side_px,
    )
    loss = WeightedSum(resolve_losses([{"name": "cross_entropy", "weight": 1.0}]))
    held_out = HeldOut(folder / "val", spec, num_classes, loss, BATCH_SIZE)

    def validate(judged: nn.Module) -> Held:
        return held_out.score(torch_runner(judged, spec), lambda _: None)

    strategy = supervised(loss, train=job.train, reuse_features=reuse)
    optimizer = resolve(OPTIMIZERS, {"name": "adamw"}, where="benchmark")
    trainee = Trainee(model, optimizer(strategy.parameter_groups(model), LEARNING_RATE), ema_decay=None)
    pixels = open_views(folder / "augmented", job.task)
    views, forward = strategy.prepare(
        model, pixels, Forward(model, normalisation(spec.mean, spec.std), "float32", channels_last=True)
    )
    plan = Plan(
        seed=prepared.SEED,
        epochs=num_epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        schedule=resolve(SCHEDULES, "constant", where="benchmark"),
        warmup_epochs=0,
        clip_norm=1.0,
        early_stopping_epochs=None,
        sampling=shuffled(pixels.class_counts),
    )
    training = Training(trainee, plan, views, strategy, forward)
    return fit(training, validate, Checkpoint(None, ""), lambda _: None)

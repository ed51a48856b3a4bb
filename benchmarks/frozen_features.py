"""Epochs with a frozen backbone whose features are reused, compared with the same training that recomputes them.

The losses have to be equal. An epoch includes validation. The first epoch, which computes the features, is not part of
the ratio; its cost is a figure of its own.
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
from benchmarks.figures import Figure, Options, interleave, median, ratio
from benchmarks.training import BATCH_SIZE, CROSS_ENTROPY, PREDICT, deterministic, graft_reports
from graft.data.views.view import open_views
from graft.foundation.class_map import ClassMap
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import build_fresh
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.state import EpochReport, ValidationResult
from graft.training.strategies import supervised
from graft.training.validation import Validation

HEIGHT, WIDTH = 192, 256
NUM_TRAIN, NUM_VAL = 48, 16
NUM_QUICK = 8
LEAST_SPEED_UP = 8.0


@dataclass(frozen=True)
class Job:
    """A training with a frozen backbone, and the speed-up it has to reach."""

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
    """Measures one epoch per round, with and without reuse, for each job."""
    torch.set_num_threads(options.threads)
    num_train, num_val = (NUM_QUICK, NUM_QUICK) if options.quick else (NUM_TRAIN, NUM_VAL)
    figures = []
    with TemporaryDirectory(prefix="graft-bench-") as name:
        for task in ("classification", "segmentation"):
            folder = Path(name) / task
            source = prepared.scenes_source(num_train, num_val, width_px=WIDTH, height_px=HEIGHT)
            prepared.ingest_source(source, Path(name), folder, task)
            prepared.make_views(folder, folder / "augmented", (HEIGHT, WIDTH), 1, task=task)
            for job in (job for job in JOBS if job.task == task):
                figures += measure(job, folder, options)
    return figures


def measure(job: Job, folder: Path, options: Options) -> list[Figure]:
    """Measures a job: the ratio of epochs, and the cost of the epoch that computes the features.

    Raises:
        RuntimeError: The losses of the two ways differ.
    """
    losses: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    first: list[float] = []
    ways = {}
    for reuse in (False, True):
        epochs = iterate_epochs(job, folder, reuse, 2 + options.rounds)
        report = next(epochs)
        first += [report.cost.seconds]
        losses[reuse].append((report.train_loss, report.val_loss))
        ways[reuse] = deterministic(partial(train_epoch, epochs, losses[reuse].append))
    seconds = interleave({str(reuse): way for reuse, way in ways.items()}, options.rounds, f"Epochs of {job.name}")
    if losses[True] != losses[False]:
        raise RuntimeError(f"{job.name}: the losses with reuse are {losses[True]}, without {losses[False]}")
    bound = {} if job.at_least is None or options.quick else {"at_least": job.at_least}
    return [
        ratio(f"{job.name}: epoch without reuse / epoch with", seconds["False"], seconds["True"], **bound),
        median("the same, an epoch with reuse", seconds["True"], "s"),
        Figure("the same, the epoch that computes the features / one without reuse", first[1] / first[0], "×"),
    ]


def train_epoch(epochs: Iterator[EpochReport], keep: Callable[[tuple[float, float]], None]) -> None:
    """Trains for an epoch and keeps its losses."""
    report = next(epochs)
    keep((report.train_loss, report.val_loss))


def iterate_epochs(job: Job, folder: Path, reuse: bool, num_epochs: int) -> Iterator[EpochReport]:
    """Trains a job epoch by epoch, validation included; yields a report of each."""
    classes = ClassMap.read(folder / "class_map.json")
    model = build_fresh(job.task, job.model, classes.num_classes, prepared.SEED)
    spec = prepared.untrained_spec(job.task, job.model, classes.names, model)
    loss = WeightedSum(resolve_losses(CROSS_ENTROPY))
    validation = Validation(folder / "val", spec, loss, BATCH_SIZE, PREDICT)

    def validate(judged: nn.Module) -> ValidationResult:
        return validation.score(torch_runner(judged, spec), lambda _: None)

    strategy = supervised(loss, train=job.train, reuse_features=reuse)
    views = open_views(folder / "augmented", job.task)
    return graft_reports(views, model, strategy, (spec.mean, spec.std), num_epochs, validate, "constant")

"""Epochs of distillation, compared with those of the student alone and the teacher's forward passes.

LR-ASPP MobileNetV3-Large learns from U-Net ResNet-18, in batches of 8 views of 256×256 px, without validation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import prepared
from benchmarks.figures import Figure, Options, interleave, median, ratio
from benchmarks.training import BATCH_SIZE, CROSS_ENTROPY, SIZE, deterministic, graft_reports
from graft.data.views.batches import batches
from graft.data.views.view import Views, open_views
from graft.foundation.class_map import ClassMap
from graft.inference.torch_runner import normalisation
from graft.models.architectures import build_fresh
from graft.models.teacher import Teacher
from graft.training.context import TrainingContext
from graft.training.loop import Strategy, ValidationResult
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.strategies import supervised
from graft.training.strategies.distil import Taught
from graft.training.strategies.divergences import Divergence, Kind

STUDENT, TEACHER = {"name": "lraspp"}, {"name": "unet", "encoder": "resnet18"}
NUM_IMAGES, NUM_IMAGES_QUICK = 48, 16
KINDS: tuple[Kind, ...] = ("kl", "channel_wise")
MOST_OF_BOTH, MOST_OF_STUDENT = 1.05, 1.1


def run(options: Options) -> list[Figure]:
    """Measures one epoch per round of each."""
    torch.set_num_threads(options.threads)
    num_images = NUM_IMAGES_QUICK if options.quick else NUM_IMAGES
    with TemporaryDirectory(prefix="graft-bench-") as folder:
        source = prepared.scenes_source(num_images, width_px=480, height_px=360)
        data = prepared.ingest_source(source, Path(folder), Path(folder) / "interim")
        prepared.make_views(data, Path(folder) / "augmented", SIZE, 1)
        views = open_views(Path(folder) / "augmented", "segmentation")
        names = ClassMap.read(data / "class_map.json").names
        teacher = untrained_teacher(names)
        loss, num_epochs = WeightedSum(resolve_losses(CROSS_ENTROPY)), options.rounds + 1
        ways = {"student": epochs_of(views, names, supervised(loss), teacher, num_epochs)}
        for kind in KINDS:
            strategy = Taught(loss, Divergence(kind), 1.0, 0.0, 0.0, 1, False, {})
            ways[kind] = epochs_of(views, names, strategy, teacher, num_epochs)
        reusing = Taught(loss, Divergence("kl"), 1.0, 0.0, 0.0, 1, True, {})
        ways["reused"] = epochs_of(views, names, reusing, teacher, num_epochs)
        ways["teacher"] = forward_passes(views, teacher)
        ways = {name: deterministic(way) for name, way in ways.items()}
        seconds = interleave(ways, options.rounds, "Epochs of distillation")
    return figures(seconds)


def figures(seconds: dict[str, list[float]]) -> list[Figure]:
    """The ratio to both parts for each divergence, and what the parts take."""
    both = [sum(pair) for pair in zip(seconds["student"], seconds["teacher"], strict=True)]
    what = "epoch of distillation / epoch of the student alone and forward passes of the teacher"
    return [
        *(ratio(f"{kind}: {what}", seconds[kind], both, at_most=MOST_OF_BOTH) for kind in KINDS),
        ratio(
            "kl, reused answers: epoch / epoch of the student alone",
            seconds["reused"],
            seconds["student"],
            at_most=MOST_OF_STUDENT,
        ),
        median("epoch of the student alone", seconds["student"], "s"),
        median("forward passes of the teacher", seconds["teacher"], "s"),
    ]


def untrained_teacher(names: tuple[str, ...]) -> Teacher:
    """A teacher with arbitrary weights, which cost what others do."""
    model = build_fresh("segmentation", TEACHER, len(names), 1).eval().requires_grad_(False)
    spec = prepared.untrained_spec("segmentation", TEACHER, names, model)
    return Teacher("teacher", model.to(memory_format=torch.channels_last), spec)  # type: ignore[call-overload]


def epochs_of(
    views: Views, names: tuple[str, ...], strategy: Strategy, teacher: Teacher, num_epochs: int
) -> Callable[[], None]:
    """A function that trains the student for an epoch."""
    model = build_fresh("segmentation", STUDENT, len(names), 0)
    strategy.begin(model, TrainingContext(prepared.SEED, "segmentation", names, teachers=(teacher,)))
    nothing = ValidationResult(loss=0.0, score=0.0, collapsed_to=None)
    means = (teacher.spec.mean, teacher.spec.std)
    reports = graft_reports(views, model, strategy, means, num_epochs, lambda _: nothing)
    return lambda: next(reports)


def forward_passes(views: Views, teacher: Teacher) -> Callable[[], None]:
    """A function that shows the teacher an epoch of views, in memory and normalised beforehand."""
    scale, shift = normalisation(teacher.spec.mean, teacher.spec.std)
    order = list(range(views.num_samples))
    ready = [
        (images.float() * scale + shift).contiguous(memory_format=torch.channels_last)
        for images, _ in batches(views, order, 0, BATCH_SIZE, device=torch.device("cpu"))
    ]

    def epoch() -> None:
        with torch.no_grad():
            for images in ready:
                teacher.model(images)

    return epoch

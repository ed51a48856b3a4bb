"""Training end to end, compared with bare steps on tensors in memory and with the usual recipe.

LR-ASPP MobileNetV3-Large, batches of 8 views of 256×256 px from streets of 480×360 px, without validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import prepared
from benchmarks.figures import Figure, Options, interleave, rate, ratio
from benchmarks.usual_recipe import UsualRecipe, untrained_lraspp
from graft.data.views.batches import batches
from graft.data.views.view import Views, open_views
from graft.foundation.choices import resolve
from graft.foundation.class_map import ClassMap
from graft.inference.torch_runner import normalisation
from graft.models.architectures import Model, build_fresh
from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD
from graft.params.sections import Predict
from graft.training.checkpoint import Checkpoint
from graft.training.loop import Forward, Plan, Strategy, Training, ValidationResult, fit
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.optimizers import OPTIMIZERS
from graft.training.sampling import shuffled
from graft.training.schedules import SCHEDULES
from graft.training.state import EpochReport, Trainee
from graft.training.strategies import supervised

SIZE = (256, 256)
BATCH_SIZE, NUM_VIEWS = 8, 8
NUM_IMAGES, NUM_IMAGES_QUICK = 96, 16
LEARNING_RATE = 1e-3
CROSS_ENTROPY = [{"name": "cross_entropy", "weight": 1.0}]
PREDICT = Predict(max_pixels=2_000_000, overlap_px=64)
LEAST_OF_BARE = 0.9


def run(options: Options) -> list[Figure]:
    """Measures one epoch per round of each."""
    torch.set_num_threads(options.threads)
    num_images = NUM_IMAGES_QUICK if options.quick else NUM_IMAGES
    with TemporaryDirectory(prefix="graft-bench-") as folder:
        data = prepared.ingest_source(
            prepared.scenes_source(num_images, width_px=480, height_px=360), Path(folder), Path(folder) / "interim"
        )
        num_classes = ClassMap.read(data / "class_map.json").num_classes
        making = prepared.make_views(data, Path(folder) / "augmented", SIZE, NUM_VIEWS)
        views = open_views(Path(folder) / "augmented", "segmentation")
        pairs = prepared.write_files(data / "train", Path(folder) / "files")
        usual = UsualRecipe(pairs, SIZE, untrained_lraspp(), num_classes, BATCH_SIZE, LEARNING_RATE)
        ways = {
            "bare": bare_epoch(views, num_classes),
            "graft": deterministic(graft_epoch(views, num_classes, num_epochs=options.rounds + 1)),
            "usual": usual.epoch,
        }
        seconds = interleave(ways, options.rounds, "Training epochs")
        del usual, ways  # the workers end with their loader
    return figures(seconds, making, num_images)


def figures(seconds: dict[str, list[float]], making: float, num_images: int) -> list[Figure]:
    """Both ratios, the largest they could be, and the cost of materialising views."""
    bare, ours, usual = seconds["bare"], seconds["graft"], seconds["usual"]
    name = "channels last, batch 8, 256×256"
    faster, fastest = ratio("Graft / usual recipe, in images/s", usual, ours), ratio("", usual, bare)
    share = [a / b for a, b in zip(bare, ours, strict=True)]
    return [
        ratio("Graft end to end / bare steps, in images/s", bare, ours, at_least=LEAST_OF_BARE),
        faster,
        Figure("largest possible ratio: bare steps / usual recipe", fastest.value, "×", fastest.spread),
        Figure(
            "share of the largest possible reached",
            faster.value / fastest.value,
            "%",
            (min(share), max(share)),
            at_least=0.9,
        ),
        rate(f"bare forward, backward, step ({name})", bare, num_images),
        rate("Graft end to end", ours, num_images),
        rate("usual recipe (PIL, torchvision v2, two workers, channels first)", usual, num_images),
        Figure(f"materialising {NUM_VIEWS} views an image, once", num_images * NUM_VIEWS / making, "views/s"),
        Figure("the same, for each training image of one epoch", 1000 * making / (num_images * NUM_VIEWS), "ms"),
    ]


def graft_epoch(views: Views, num_classes: int, num_epochs: int) -> Callable[[], None]:
    """A function that runs an epoch of `graft.training.loop.fit` as fine-tune does, without the cost of validation."""
    model = build_fresh("segmentation", {"name": "lraspp"}, num_classes, 0)
    strategy = supervised(WeightedSum(resolve_losses(CROSS_ENTROPY)))
    means = (IMAGENET_MEAN, IMAGENET_STD)
    nothing = ValidationResult(loss=0.0, score=0.0, collapsed_to=None)
    reports = graft_reports(views, model, strategy, means, num_epochs, lambda _: nothing)
    return lambda: next(reports)


def graft_reports(
    views: Views,
    model: Model,
    strategy: Strategy,
    means: tuple[Sequence[float], Sequence[float]],
    num_epochs: int,
    validate: Callable[[nn.Module], ValidationResult],
    schedule: str = "cosine",
) -> Iterator[EpochReport]:
    """Trains with the settings of the default job; yields a report of each epoch.

    Args:
        views: Training views.
        model: Model to train, changed in place.
        strategy: Strategy of the training.
        means: Mean and standard deviation of the normalisation.
        num_epochs: Largest number of epochs.
        validate: Function that scores the model after each epoch.
        schedule: Name of the schedule; `constant` has no warm-up.
    """
    model.to(memory_format=torch.channels_last)
    optimizer = resolve(OPTIMIZERS, {"name": "adamw"}, where="benchmark")
    trainee = Trainee(model, optimizer(strategy.parameter_groups(model), LEARNING_RATE))
    plan = Plan(
        seed=prepared.SEED,
        epochs=num_epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        schedule=resolve(SCHEDULES, schedule, where="benchmark"),
        warmup_epochs=0 if schedule == "constant" else min(1, num_epochs - 1),
        clip_norm=1.0,
        early_stopping_epochs=None,
        sampling=shuffled(views.class_counts),
    )
    forward = Forward(model, normalisation(*means), "float32", channels_last=True)
    prepared_views, prepared_forward = strategy.prepare(model, views, forward)
    training = Training(trainee, plan, prepared_views, strategy, prepared_forward)
    return fit(training, validate, Checkpoint(None, ""), tick=lambda _: None)


def bare_epoch(views: Views, num_classes: int) -> Callable[[], None]:
    """A function that runs the cheapest possible epoch: as many steps, on normalised batches that are in memory."""
    model: Model = build_fresh("segmentation", {"name": "lraspp"}, num_classes, 0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    scale, shift = normalisation(IMAGENET_MEAN, IMAGENET_STD)
    order = range(views.num_samples)
    ready = [
        ((images.float() * scale + shift).contiguous(memory_format=torch.channels_last), targets)
        for images, targets in batches(views, list(order), 0, BATCH_SIZE, device=torch.device("cpu"))
    ]

    def epoch() -> None:
        model.train()
        for images, targets in ready:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images), targets, ignore_index=255).backward()
            optimizer.step()

    return epoch


def deterministic(way: Callable[[], None]) -> Callable[[], None]:
    """Wraps a function so that it runs with deterministic algorithms, as Graft trains; the others do not."""

    def run_it() -> None:
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # as `graft.inference.runtime` sets it
        try:
            way()
        finally:
            torch.use_deterministic_algorithms(False)

    return run_it

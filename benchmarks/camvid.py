"""Time to reach a val mean IoU on CamVid: Graft from the bundled weights compared with the usual recipe from scratch.

The usual recipe trains for a fixed number of epochs, and its best val mean IoU is the mark. Graft trains with the
policy, crop, class weights and rate of `pipeline/recipes/camvid.yaml` until it reaches the mark, for at most as many
epochs. The times leave out scoring on val, which is the same for both; Graft's time includes making the views.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from benchmarks import prepared
from benchmarks.figures import Figure, Options, Skipped
from benchmarks.training import BATCH_SIZE, CROSS_ENTROPY, PREDICT, graft_reports
from benchmarks.usual_recipe import UsualRecipe
from graft.data.views.view import open_views
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.foundation.progress import say
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import build_fresh
from graft.models.saved_model import ModelSpec
from graft.models.weights.bundled import FOLDER, read_bundle
from graft.models.weights.match import load_into
from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD
from graft.training.class_weights import class_weights
from graft.training.loop import ValidationResult
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.strategies import supervised
from graft.training.validation import Validation

SIZE = (288, 352)
NUM_VIEWS = 6
USUAL_RATE = 2e-3  # fine_tune.baseline_learning_rate of the recipe
Curve = list[tuple[float, float]]  # seconds of training so far, and val mean IoU, after each epoch


def run(options: Options) -> list[Figure]:
    """Trains once with each; takes an hour."""
    if options.camvid is None or not options.camvid.is_dir():
        raise Skipped("name the folder of CamVid: python -m benchmarks camvid --camvid FOLDER")
    if not FOLDER.is_dir():
        raise Skipped("the bundled weights are not installed: make bundled")
    torch.set_num_threads(options.threads)
    with TemporaryDirectory(prefix="graft-bench-") as name:
        folder = Path(name)
        data = prepared.ingest_source({"name": "camvid"}, options.camvid, folder / "interim")
        usual = usual_curve(data, prepared.write_files(data / "train", folder / "files"), options.epochs)
        mark = max(score for _, score in usual)
        making = prepared.make_views(data, folder / "augmented", SIZE, NUM_VIEWS)
        ours = graft_curve(data, folder / "augmented", options.epochs, mark)
    return figures(usual, ours, making, mark)


def figures(usual: Curve, ours: Curve, making: float, mark: float) -> list[Figure]:
    """The time each needed to reach the mark, which the usual recipe sets."""
    usual_seconds = next(seconds for seconds, score in usual if score >= mark)
    best = max(score for _, score in ours)
    reached = [seconds + making for seconds, score in ours if score >= mark]
    common = [
        Figure("val mean IoU to reach: the best of the usual recipe from scratch", mark, "%"),
        Figure(f"usual recipe from scratch, epoch {1 + [score for _, score in usual].index(mark)}", usual_seconds, "s"),
    ]
    if not reached:
        return [*common, Figure(f"Graft, bundled weights: not reached in {len(ours)} epochs, best", best, "%")]
    return [
        *common,
        Figure(f"Graft, bundled weights, epoch {len(ours)}, views included", reached[0], "s"),
        Figure("making the views, of that", making, "s"),
        Figure("val mean IoU of Graft then", best, "%"),
        Figure("times faster to the mark", usual_seconds / reached[0], "×"),
    ]


def usual_curve(data: Path, pairs: Sequence[tuple[Path, Path]], num_epochs: int) -> Curve:
    """Trains by the usual recipe with a cosine decay; scores on val after each epoch."""
    spec = spec_of(data, IMAGENET_MEAN, IMAGENET_STD)
    recipe = UsualRecipe(pairs, SIZE, spec.num_classes, BATCH_SIZE, USUAL_RATE)
    for norm in (module for module in recipe.model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 0.1  # torchvision's 0.01 lags behind for a thousand steps, which would flatter Graft
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(recipe.optimizer, num_epochs)
    score, seconds, curve = scorer(data, spec, channels_last=False), 0.0, []
    for epoch in range(num_epochs):
        start = time.perf_counter()
        recipe.epoch()
        seconds += time.perf_counter() - start
        decay.step()
        curve.append((seconds, score(OutputAlone(recipe.model)).score))
        say(f"usual recipe, epoch {epoch + 1}/{num_epochs}: {seconds:.0f} s, val mean IoU {curve[-1][1]:.3f}")
    return curve


def graft_curve(data: Path, augmented: Path, num_epochs: int, mark: float) -> Curve:
    """Trains with Graft from the bundled weights until the mark is reached."""
    source = read_bundle(FOLDER)
    spec = spec_of(data, source.mean, source.std)
    model = build_fresh(spec.task, spec.model, spec.num_classes, prepared.SEED)
    load_into(model, source, spec.class_names)
    counts = read_json(augmented / "statistics.json")["class_pixels_before"]
    loss = WeightedSum(resolve_losses(CROSS_ENTROPY), class_weights("median_frequency", counts))
    score, scoring, curve = scorer(data, spec, channels_last=True), [0.0], []

    def timed(model: nn.Module) -> ValidationResult:
        start = time.perf_counter()
        held = score(model)
        scoring[0] = time.perf_counter() - start
        return held

    seconds, views = 0.0, open_views(augmented, spec.task)
    for report in graft_reports(views, model, supervised(loss), (spec.mean, spec.std), num_epochs, timed):
        seconds += report.cost.seconds - scoring[0]
        curve.append((seconds, report.val_score))
        say(f"Graft, epoch {report.epoch}/{num_epochs}: {seconds:.0f} s, val mean IoU {report.val_score:.3f}")
        if report.val_score >= mark:
            break
    return curve


def scorer(data: Path, spec: ModelSpec, *, channels_last: bool) -> Callable[[nn.Module], ValidationResult]:
    """A function that scores a model on val as Graft does, at the original image size and in the training's layout."""
    loss = WeightedSum(resolve_losses(CROSS_ENTROPY))
    validation = Validation(data / "val", spec, loss, BATCH_SIZE, PREDICT)
    return lambda model: validation.score(torch_runner(model, spec, channels_last=channels_last), lambda _: None)


def spec_of(data: Path, mean: Sequence[float], std: Sequence[float]) -> ModelSpec:
    """The spec of an LR-ASPP for the classes of the data."""
    classes = ClassMap.read(data / "class_map.json")
    return ModelSpec(
        task="segmentation",
        model={"name": "lraspp"},
        num_classes=classes.num_classes,
        class_names=classes.names,
        mean=tuple(mean),
        std=tuple(std),
        resize={"name": "none"},
        padding_multiple=1,
        synthetic=False,
    )


class OutputAlone(nn.Module):
    """A segmenter of torchvision that returns only its logits, the entry `out` of its dict."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)["out"]

"""The usual recipe on CamVid, from the weights of a package, scored on val as Graft scores; the curve is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from benchmarks import prepared
from benchmarks.recipe_runs import Curve
from benchmarks.training import BATCH_SIZE, CROSS_ENTROPY, PREDICT
from benchmarks.usual_recipe import Network, UsualRecipe, pretrained_fpn
from graft.foundation.choices import resolve
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_digest, read_json, write_json
from graft.foundation.progress import say
from graft.inference.torch_runner import torch_runner
from graft.models.pins import no_download
from graft.models.saved_model import ModelSpec
from graft.models.weights import WEIGHTS
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.validation import Validation

STRIDE = 32


@dataclass(frozen=True)
class UsualTraining:
    """The choices of a training by the usual recipe.

    Attributes:
        source: Source of the pretrained weights, as in `pretrain_load.source`.
        data: Source of the images, as in `ingest.source`.
        size: Height and width of the crops.
        epochs: Number of epochs, under a cosine.
        rate: Learning rate of the decoder.
        backbone_rate: Learning rate of the backbone.
        threads: Number of threads of torch, beside the two workers.
    """

    source: dict[str, Any]
    data: dict[str, Any]
    size: tuple[int, int]
    epochs: int
    rate: float
    backbone_rate: float
    threads: int

    def curve(self, root: Path, kept: Path) -> Curve:
        """Trains on the CamVid in a folder, or reads the curve that is kept; scoring val counts, as for Graft."""
        file = self.place(kept)
        if not file.is_file():
            write_json(file, {**asdict(self), "curve": self._train(root)})
        return [(seconds, score) for seconds, score in read_json(file)["curve"]]

    def place(self, kept: Path) -> Path:
        """The file that holds the curve."""
        return kept / f"usual-{content_digest(asdict(self))[:16]}.json"

    def _train(self, root: Path) -> Curve:
        torch.set_num_threads(self.threads)
        network = pretrained_fpn(resolve(WEIGHTS, self.source, where="benchmark")("segmentation", None, no_download))
        with TemporaryDirectory(prefix="graft-bench-") as name:
            data = prepared.ingest_source(self.data, root, Path(name) / "interim")
            pairs, spec = prepared.write_files(data / "train", Path(name) / "files"), spec_of(data, network)
            sizes = (spec.num_classes, BATCH_SIZE)
            recipe = UsualRecipe(pairs, self.size, network, *sizes, self.rate, self.backbone_rate)
            decay = torch.optim.lr_scheduler.CosineAnnealingLR(recipe.optimizer, self.epochs)
            score, curve, start = scorer(data, spec), [], time.perf_counter()
            for epoch in range(self.epochs):
                recipe.epoch()
                decay.step()
                held = score(recipe.model)
                curve.append((time.perf_counter() - start, held))
                say(f"usual recipe, epoch {epoch + 1}/{self.epochs}: {curve[-1][0]:.0f} s, val mean IoU {held:.3f}")
        return curve


def scorer(data: Path, spec: ModelSpec) -> Callable[[nn.Module], float]:
    """A function that scores a model on val as Graft does, at the original image size."""
    validation = Validation(data / "val", spec, WeightedSum(resolve_losses(CROSS_ENTROPY)), BATCH_SIZE, PREDICT)
    return lambda model: validation.score(torch_runner(model, spec, channels_last=False), lambda _: None).score


def spec_of(data: Path, network: Network) -> ModelSpec:
    """The spec of a network for the classes of the data."""
    classes = ClassMap.read(data / "class_map.json")
    return ModelSpec(
        task="segmentation",
        model={"name": "fpn"},
        num_classes=classes.num_classes,
        class_names=classes.names,
        mean=tuple(network.mean),
        std=tuple(network.std),
        resize={"name": "none"},
        padding_multiple=STRIDE,
        synthetic=False,
    )

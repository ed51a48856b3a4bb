"""The continued pretraining of a backbone on images without labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graft.data.images.stacks import decode
from graft.data.resize import resize_image, short_side
from graft.data.shards import num_rows, read_columns, read_rows
from graft.foundation.class_map import UNLABELLED, ClassMap
from graft.foundation.content import content_seed, write_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, say, start_ticker, warn
from graft.inference.embedding import deepest
from graft.inference.image_to_logits import padding
from graft.inference.runtime import use_runtime
from graft.inference.torch_runner import normalisation
from graft.models.model import Model
from graft.models.weights.self_supervised import NAME, WHERE
from graft.models.weights.source import Source
from graft.training.checkpoint import Checkpoint
from graft.training.forward import Forward
from graft.training.loop import Training, fit
from graft.training.normalisation import are_all_known, normalisation_of
from graft.training.optimizers.adamw import adamw
from graft.training.plan import Plan
from graft.training.sampling.shuffled import shuffled
from graft.training.schedules.cosine import cosine
from graft.training.self_supervision import METHODS
from graft.training.self_supervision.image_file import ImageFile
from graft.training.self_supervision.pairs import LEAST_SIDE, PairSource
from graft.training.self_supervision.place_matching import WIDTH, PlaceMatching, SelfSupervisedModel, as_map
from graft.training.state import EpochReport, Trainee

if TYPE_CHECKING:
    from graft.params.sections import Runtime

COLLAPSED = 0.1  # deviation of the features; healthy ones have about one
MOST_MEASURED = 500  # images whose channels are measured where the weights expect none of them


@dataclass(frozen=True)
class Learning:
    """The options of the source `self_supervised`, all but where it starts.

    Attributes:
        method: Name in METHODS.
        epochs: Number of epochs.
        batch_size: Number of images in a batch.
        learning_rate: Highest learning rate.
        crop_px: Side of a view, in pixels.
        places: Number of places along each side of what two views share whose features are compared.
    """

    method: str
    epochs: int
    batch_size: int
    learning_rate: float
    crop_px: int
    places: int

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Learning:
        """Takes from the options of the source what is not of its start."""
        return cls(**{field.name: options[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Experience:
    """The result of learning without labels, beside the weights.

    Attributes:
        history: Report of each epoch.
        image_sha256: Digests of the images that were seen.
        normalisation: Names of the channels that were seen, and the `mean` and `std` that each was normalised by.
    """

    history: Sequence[EpochReport]
    image_sha256: list[str]
    normalisation: Mapping[str, Sequence[Any]]

    def facts(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The facts for the card of the weights, which fine-tune is to normalise as it was learnt.

        Args:
            options: Options of the source.
        """
        last = self.history[-1]
        numbers = {"num_images": len(self.image_sha256), "loss": last.train_loss, **last.measures}
        return {NAME: {**options, **numbers}, **self.normalisation}

    def write(self, out: Path) -> None:
        """Writes the curves, a row an epoch, and the digests of the images."""
        write_json(out / "seen.json", {UNLABELLED: sorted(set(self.image_sha256))})
        rows = [{"epoch": report.epoch, **report.curve()} for report in self.history]
        with (out / "self_supervision.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def continue_pretraining(
    network: Model,
    learning: Learning,
    images: Path,
    classes: ClassMap,
    source: Source,
    runtime: Runtime,
    seed: int,
    resume: Path | None = None,
) -> Experience:
    """Trains the backbone of `network`, in place, on images whose labels it does not look at.

    Args:
        network: Model with the weights to start from; comes back on the CPU.
        learning: How it learns.
        images: Folder of the shards of the images.
        classes: Class map, for the channels of the images.
        source: The weights that were loaded, for the normalisation that they expect; any channel that they say nothing
            of is normalised by its mean and deviation in these images.
        runtime: Section `runtime`; `compile` is not used.
        seed: Seed of the whole pipeline.
        resume: Folder of the checkpoint; None keeps none.

    Raises:
        GraftError: There are no images, a view is of a size that the model cannot take, or a loss is not finite.
    """
    refuse_crop(network, learning.crop_px)
    refuse_none(images)
    seed = content_seed(seed, "self_supervised")
    ids, image_sha256 = (list(column) for column in zip(*read_columns(images, ("id", "image_sha256")), strict=True))
    decoded = ImageFile(decode_small(images, classes, learning.crop_px))
    expected = {"mean": source.mean, "std": source.std}
    statistics = {} if are_all_known(classes, expected) else channel_statistics(decoded)
    form = normalisation_of(classes, expected, statistics)
    pairs = PairSource(decoded, ids, seed, learning.epochs, learning.crop_px)
    training = assemble(network, learning, pairs, classes.channels, form, runtime, seed)
    checkpoint = Checkpoint(resume and resume / "self_supervised.checkpoint", f"self_supervised {seed} {learning}")
    if (state := checkpoint.read()) is not None:
        training.restore(state)
        say(f"learning without labels: going on after epoch {training.trainee.epoch}, step {training.trainee.step}")
    run(training, checkpoint)
    network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch takes both at once
    normalised = dict(zip(("mean", "std"), form, strict=True)) | {"channels": classes.channels}
    return Experience(training.trainee.history, image_sha256, normalised)


def decode_small(images: Path, classes: ClassMap, crop_px: int) -> Iterator[np.ndarray]:
    """The images of a split, no larger than the smallest square of them needs to be for a view."""
    total, most_px = num_rows(images), round(crop_px / LEAST_SIDE)
    for row in progress(read_rows(images), "Decoding images", total=total, unit="image"):
        image = decode(row.image, classes, where=row.id)
        size = image.shape[:2]
        yield resize_image(image, short_side(*size, size_px=most_px)) if min(size) > most_px else image


def channel_statistics(images: ImageFile) -> dict[str, list[float]]:
    """Mean and deviation of each channel in 0..1, over the first images."""
    means, squares = [], []
    for number in range(min(len(images), MOST_MEASURED)):
        shares = images[number] / 255
        means.append(shares.mean((0, 1)))
        squares.append(np.square(shares).mean((0, 1)))
    mean, square = np.mean(means, axis=0), np.mean(squares, axis=0)
    return {"mean": mean.tolist(), "std": np.sqrt(np.maximum(square - mean**2, 0)).tolist()}


def assemble(
    network: Model,
    learning: Learning,
    pairs: PairSource,
    channels: Sequence[str],
    form: tuple[Sequence[float], Sequence[float]],
    runtime: Runtime,
    seed: int,
) -> Training:
    """Puts the parts of the training together, as the shared loop takes them."""
    device = use_runtime(runtime)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(content_seed(seed, "projector"))
        model = build_model(network, learning, len(channels))
    layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
    model.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch takes both at once
    strategy = PlaceMatching(model, channels, learning.places)
    optimizer = adamw(strategy.parameter_groups(model), learning.learning_rate)
    scale, shift = (tensor.to(device) for tensor in normalisation(*form))
    plan = Plan(
        seed=seed,
        epochs=learning.epochs,
        batch_size=learning.batch_size,
        learning_rate=learning.learning_rate,
        schedule=cosine,
        warmup_epochs=learning.epochs // 10,
        clip_norm=1.0,
        early_stopping_epochs=None,
        sampling=shuffled(np.empty(pairs.num_samples)),
    )
    trainee = Trainee(model, optimizer, precision=runtime.precision)
    forward = Forward(model, (scale, shift), runtime.precision, runtime.channels_last)
    return Training(trainee, plan, pairs, strategy, forward)


def build_model(network: Model, learning: Learning, num_channels: int) -> SelfSupervisedModel:
    """The backbone of `network`, with a projector for its features and the loss of the method."""
    pixels = torch.zeros(1, num_channels, learning.crop_px, learning.crop_px)
    with torch.no_grad():
        num_features = as_map(deepest(network.eval().backbone(pixels))).shape[1]
    return SelfSupervisedModel(network, num_features, METHODS[learning.method](WIDTH))


def run(training: Training, checkpoint: Checkpoint) -> None:
    """Trains to the end, reports each epoch, and warns once of features that have become the same everywhere."""
    trainee, epochs = training.trainee, training.plan.epochs
    total = (epochs - trainee.epoch) * training.views.num_samples - trainee.batch * training.plan.batch_size
    tick = start_ticker("Learning without labels", total)
    has_collapsed = any(map(is_collapsed, trainee.history))
    try:
        for report in fit(training, None, checkpoint, tick):
            spread = report.measures["feature_deviation"]
            say(f"self_supervised epoch {report.epoch}/{epochs}: loss {report.train_loss:.3f}, deviation {spread:.2f}")
            if is_collapsed(report) and not has_collapsed:
                has_collapsed = True
                warn(
                    f"features have become nearly the same everywhere in epoch {report.epoch} (deviation {spread:.3f}, "
                    f"healthy is about 1): lower {WHERE}.learning_rate, or choose method: vicreg"
                )
    except GraftError as error:
        error.remedy = f"lower {WHERE}.learning_rate, or use runtime.precision: float32"
        raise
    tick(total)


def is_collapsed(report: EpochReport) -> bool:
    """Whether the features of an epoch were nearly the same everywhere."""
    return report.measures["feature_deviation"] < COLLAPSED


def refuse_none(images: Path) -> None:
    """Refuses a split without images.

    Raises:
        GraftError: There is none.
    """
    if not num_rows(images):
        raise GraftError(
            f"pretrain_load.images is {images.name}, and the source has no such images",
            where=images,
            rule="self_supervised learns from the images of this split",
            remedy="give it some (ingest.unlabelled, a folder named unlabelled, num_unlabelled of scenes), or set "
            "pretrain_load.images: train, whose labels it does not look at",
        )


def refuse_crop(model: Model, crop_px: int) -> None:
    """Refuses views of a size that the model would pad, for they would show what the images do not.

    Raises:
        GraftError: The size does not fit.
    """
    fixed, multiple, least = model.fixed_size_px, model.padding_multiple, model.min_side_px
    if crop_px == (fixed or crop_px) and not padding(crop_px, multiple, least):
        return
    below = max(crop_px // multiple * multiple, -(-least // multiple) * multiple)
    raise GraftError(
        f"views of {crop_px} px a side for this model",
        where=f"{WHERE}.crop_px",
        rule=f"it takes {f'exactly {fixed} px' if fixed else f'multiples of {multiple} px, at least {least}'}",
        remedy=f"set crop_px: {fixed or below}",
    )

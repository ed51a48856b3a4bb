"""The weights enums of torchvision: whole segmenters (COCO) and ImageNet backbones, downloaded once and verified."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError, suggest
from graft.models.pins import Downloader, Sha256
from graft.models.weights.download import cache_folder, fetch
from graft.models.weights.file import read_checkpoint
from graft.models.weights.source import Source

# torchvision's own model rescales ImageNet-normalised images to this inside (`transform_input`), ours does not.
INCEPTION_WEIGHTS = ("GoogLeNet_Weights", "Inception_V3_Weights")
INCEPTION_MEAN, INCEPTION_STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def torchvision(
    task: str, model: Choice, download: Downloader, *, weights: str, sha256: Sha256 | None = None
) -> Source:
    """Weights that torchvision publishes for this model, or for its backbone.

    Trained on ImageNet (backbones, classifiers) or on COCO with the labels of Pascal VOC (whole segmenters): the usual
    start for photographs. Downloaded once, verified, and kept where torch keeps its own; offline, the error names the
    file and the place where it belongs.

    Args:
        task: Unused: the model implies it.
        model: Choice whose options name the enums, for example `deeplabv3_resnet50` and `resnet50`.
        download: Unused.
        weights: A member of one of them, for example `COCO_WITH_VOC_LABELS_V1` or `IMAGENET1K_V1`.
        sha256: Digest of the file, 64 hex digits; without it the 8 digits in the file's name are checked.

    Raises:
        GraftError: No such weights, a digest differs, or the file is neither cached nor can it be downloaded.
    """
    entry = member(model, weights)
    path = cache_folder() / Path(entry.url).name
    digest = fetch(entry.url, path, sha256)
    state, class_names = read_checkpoint(path), entry.meta["categories"]
    if class_names is None:  # made for its features alone: torchvision says that the classifier's values are missing
        state = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
    mean, std = _normalisation(entry)
    scored_on, scores = next(iter(entry.meta["_metrics"].items()))
    metrics = {name: value / 100 for name, value in scores.items() if math.isfinite(value)}
    return Source(
        state,
        description=f"{type(entry).__name__}.{weights} of torchvision, "
        + (f"scored on {scored_on}" if metrics else "without scores"),
        origin=entry.url,
        licence=entry.meta.get("license", "unknown (torchvision does not say; the terms of its training images apply)"),
        sha256=digest,
        class_names=tuple(class_names) if class_names else None,
        mean=mean,
        std=std,
        metrics=metrics,
    )


def _normalisation(entry: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if type(entry).__name__ in INCEPTION_WEIGHTS:
        return INCEPTION_MEAN, INCEPTION_STD
    transforms = entry.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def member(model: Choice, weights: str) -> Any:
    """Returns the member of torchvision's enum that describes these weights.

    Raises:
        GraftError: torchvision has none of this name for the model.
    """
    published = published_weights(model)
    if weights not in published:
        raise GraftError(
            f"torchvision has no weights {weights!r} for {model.name}",
            where="pretrain_load.source.weights",
            remedy=suggest(weights, published),
        )
    return published[weights]


def published_weights(model: Choice) -> dict[str, Any]:
    """Name to enum member: the model's own weights first, then those of its backbone."""
    from torchvision import models

    values = [value for value in model.options.values() if isinstance(value, str)]
    architectures = [model.name, *(f"{model.name}_{value}" for value in values), *values]
    known = set(models.list_models())
    members: dict[str, Any] = {}
    for architecture in architectures:
        if architecture in known:
            for member in models.get_model_weights(architecture):
                members.setdefault(member.name, member)
    return members

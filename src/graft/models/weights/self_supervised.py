"""Weights whose backbone goes on learning from images without labels before fine-tune."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from graft.foundation.choices import Choice, resolve
from graft.foundation.errors import GraftError
from graft.models.pins import Downloader
from graft.models.weights.source import Source

NAME = "self_supervised"
WHERE, START = "pretrain_load.source", "pretrain_load.source.start"


def _check_start(start: str | dict[str, Any]) -> dict[str, Any]:
    """Resolves the source to start from while params are checked."""
    choice = _resolve_start(start)
    if choice.name == NAME:
        raise ValueError("it cannot start from another self_supervised source: name the weights themselves")
    return choice.as_dict()


def self_supervised(
    task: str,
    model: Choice,
    download: Downloader,
    *,
    start: Annotated[str | dict[str, Any], AfterValidator(_check_start)],
    method: Literal["vicreg", "simsiam"] = "vicreg",
    epochs: Annotated[int, Field(ge=1)] = 30,
    batch_size: Annotated[int, Field(ge=2)] = 32,
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4,
    crop_px: Annotated[int, Field(ge=32)] = 128,
    places: Literal[1, 2, 4, 8] = 4,
) -> Source:
    """Other weights, whose backbone then learns from your own images without labels, as part of the same stage.

    For many images and few labels, or images unlike those of the weights. Two squares are cut out of each image, their
    colours changed apart, and the features of every place that both show are to agree: of places, not of whole
    images, as in DenseCL (Wang et al. 2021) and VICRegL (Bardes et al. 2022), because a segmenter needs to know where
    things are, and the frames of one drive show much the same. The images are those of the split that
    `pretrain_load.images` names. Only the backbone learns; of the weights to start from, a head comes along as it was
    (`part: backbone` leaves it out), and no class counts as known. Where images are few, or like those of the weights,
    the time is better spent on fine-tune.

    Args:
        task: Task of the params file.
        model: The architecture.
        download: Function that brings the files of a registered model here.
        start: Weights to start from, another source of this list with its options: bundled, package, none, …
        method: How sameness is made worth something. vicreg: features of the batch vary and do not repeat each other
            (Bardes et al. 2022, "VICReg", equation 6); simsiam: each view predicts the other, which stands still (Chen
            & He 2021, "SimSiam", equations 1 to 4), which may collapse where rate or batch are unlucky.
        epochs: Number of times each image is seen, as two views.
        batch_size: Number of images in a batch.
        learning_rate: Highest rate of AdamW; it rises for a tenth of the epochs, then falls along half a cosine.
        crop_px: Side of a view in pixels; a square is half to all of the image's shorter side.
        places: Number of places along each side of what both views show; 1 compares the means over all of it.

    Raises:
        GraftError: As the source to start from.
    """
    choice = _resolve_start(start)
    try:
        found: Source = choice(task, model, download)
    except GraftError as error:
        raise at_start(error) from None
    return replace(found, description=f"{found.description}; the backbone then learnt from images without labels")


def start_of(source: Choice) -> Choice:
    """The source that weights are read from: that which `self_supervised` starts from, any other itself."""
    return _resolve_start(source.options["start"]) if source.name == NAME else source


def at_start(error: GraftError) -> GraftError:
    """An error of a source of weights, its place and remedy under the key of the start; no source knows it is one."""
    if isinstance(error.where, str):
        error.where = error.where.replace(WHERE, START)
    if error.remedy is not None:
        error.remedy = error.remedy.replace(WHERE, START)
    return error


def images_problem(name: str, images: str) -> GraftError | None:
    """The error of images that no source learns from, or of a source that has none to learn from.

    Args:
        name: Name of the source of weights.
        images: Value of `pretrain_load.images`.
    """
    if (name == NAME) == (images != "none"):
        return None
    learns = name == NAME
    return GraftError(
        f"pretrain_load.images is {images}, and the source is {name}",
        where="pretrain_load.images",
        rule=f"{NAME} learns from the images of a split, and no other source reads any",
        remedy="set it to unlabelled, or to train, whose labels it does not look at"
        if learns
        else f"set it to none, or source to {{name: {NAME}, start: {name}}}",
    )


def _resolve_start(start: str | dict[str, Any]) -> Choice:
    from graft.models.weights import WEIGHTS

    return resolve(WEIGHTS, start, where=START)

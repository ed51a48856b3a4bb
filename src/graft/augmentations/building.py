"""The groups of transforms that several policies share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graft.augmentations.policy import library
from graft.errors import GraftError
from graft.sample import IGNORE_INDEX

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Scale = Annotated[float, Field(gt=0.05, lt=20)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Strength = Annotated[float, Field(ge=0, le=3)]


def flip(probability: float) -> list[Any]:
    """Left and right exchanged."""
    return [library().HorizontalFlip(p=probability)] if probability else []


def rotation(degrees: float) -> list[Any]:
    """A turn by at most so many degrees, of half of the images; corners beyond the image become 255 in the mask."""
    if not degrees:
        return []
    return [library().Affine(rotate=(-degrees, degrees), p=0.5, **filling())]


def filling() -> dict[str, Any]:
    """What stands beyond the image: the mean colour of photographs, and 255 in the mask."""
    from graft.augmentations.transforms import PADDING_RGB

    return {"fill": PADDING_RGB, "fill_mask": IGNORE_INDEX}


def crop(height: int, width: int, min_scale: float, max_scale: float, max_class_fraction: float) -> list[Any]:
    """A window of random scale and place that one class may not fill.

    Raises:
        GraftError: The smallest scale is larger than the largest.
    """
    from graft.augmentations.transforms import ScaledCrop

    if min_scale > max_scale:
        raise GraftError(
            f"min_scale {min_scale} is larger than max_scale {max_scale}",
            where="augment.policy",
            rule="scales are drawn between min_scale and max_scale",
        )
    return [ScaledCrop(height, width, float(min_scale), float(max_scale), float(max_class_fraction))]


def appearance(strength: float) -> list[Any]:
    """Colour, brightness, tone, haze, grey, blur, noise and compression; none of it moves a pixel.

    Args:
        strength: 0 leaves images as they are, 1 is what a street sees in a day, 2 and more serves pretraining for
            domains nobody has seen. It scales amounts and probabilities alike.
    """
    if not strength:
        return []
    from graft.augmentations.transforms import Haze

    A, s = library(), float(strength)
    often = min(0.5 + 0.3 * s, 1.0)
    darkest, brightest = max(100 - 30 * s, 35), 100 + 45 * s
    jitter = {"brightness": min(0.3 * s, 0.7), "contrast": min(0.3 * s, 0.7), "saturation": min(0.35 * s, 0.9)}
    return [
        A.ColorJitter(**jitter, hue=min(0.03 * s, 0.1), p=often),
        A.RandomGamma(gamma_limit=(darkest, brightest), p=min(0.3 * s, 1.0)),
        A.RandomToneCurve(scale=min(0.08 * s, 0.3), per_channel=True, p=min(0.15 * s, 1.0)),
        Haze(max_strength=min(0.3 * s, 0.8), p=min(0.1 * s, 1.0)),
        A.ToGray(p=min(0.03 * s, 1.0)),
        A.OneOf(
            [A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 0.6 + 0.5 * s)), A.MotionBlur(blur_limit=(3, 5))],
            p=min(0.12 * s, 1.0),
        ),
        A.GaussNoise(std_range=(0.01, min(0.01 + 0.03 * s, 0.1)), p=min(0.15 * s, 1.0)),
        A.ImageCompression(quality_range=(max(round(75 - 15 * s), 25), 95), p=min(0.08 * s, 1.0)),
    ]

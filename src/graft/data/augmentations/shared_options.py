"""The options and the groups of transforms that several policies share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graft.data.augmentations.policy import library
from graft.foundation.class_map import IGNORE_INDEX

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Scale = Annotated[float, Field(gt=0.05, lt=20)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Strength = Annotated[float, Field(ge=0, le=3)]
Pixels = Annotated[int, Field(ge=0)]


def horizontal_flip(probability: float) -> list[Any]:
    """Left and right exchanged."""
    return [library().HorizontalFlip(p=probability)] if probability else []


def vertical_flip(probability: float) -> list[Any]:
    """Top and bottom exchanged."""
    return [library().VerticalFlip(p=probability)] if probability else []


def turn(degrees: float, probability: float) -> list[Any]:
    """A turn by at most so many degrees, of a share of the images; corners beyond the image become 255 in the mask."""
    if not (degrees and probability):
        return []
    from graft.data.augmentations.warps import Affine

    return [Affine(rotate=(-degrees, degrees), p=probability, **fill_options())]


def tilt(amount: float, probability: float) -> list[Any]:
    """Corners moved by about so much of the side, of a share of the images."""
    if not (amount and probability):
        return []
    from graft.data.augmentations.warps import Perspective

    return [Perspective(scale=(amount / 2, amount), p=probability, **fill_options())]


def fill_options() -> dict[str, Any]:
    """Options that fill the area beyond the image: the mean colour of photographs, and 255 in the mask."""
    from graft.data.augmentations.transforms import PADDING_RGB

    return {"fill": PADDING_RGB, "fill_mask": IGNORE_INDEX}


def appearance(strength: float) -> list[Any]:
    """Colour, brightness, tone, haze, grey, blur, noise and compression; none of it moves a pixel.

    Args:
        strength: 0 leaves images as they are, 1 is what a street sees in a day, 2 and more serves pretraining for
            domains nobody has seen. It scales amounts and probabilities alike.
    """
    if not strength:
        return []
    from graft.data.augmentations.transforms import Haze

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
        blur(s, min(0.12 * s, 1.0)),
        A.GaussNoise(std_range=(0.01, min(0.01 + 0.03 * s, 0.1)), p=min(0.15 * s, 1.0)),
        jpeg_compression(s, min(0.08 * s, 1.0)),
    ]


def blur(strength: float, probability: float) -> Any:
    """Out of focus, or moved; one of them."""
    A = library()
    out_of_focus = A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 0.6 + 0.5 * strength))
    return A.OneOf([out_of_focus, A.MotionBlur(blur_limit=(3, 5))], p=probability)


def jpeg_compression(strength: float, probability: float) -> Any:
    """As JPEG, of a quality down to 75 - 15 x strength."""
    return library().ImageCompression(quality_range=(max(round(75 - 15 * strength), 25), 95), p=probability)

"""The policy that moves pixels and leaves their colours alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.data.augmentations.policy import library
from graft.data.augmentations.shared_options import (
    Degrees,
    Pixels,
    Probability,
    Scale,
    Share,
    horizontal_flip,
    tilt,
    turn,
    vertical_flip,
)
from graft.data.augmentations.steps import Crop, Steps


def geometric(
    *,
    flip_probability: Probability = 0.5,
    vertical_flip_probability: Probability = 0.0,
    quarter_turns: bool = False,
    rotation_degrees: Degrees = 15.0,
    perspective: Annotated[float, Field(ge=0, le=0.3)] = 0.05,
    min_scale: Scale = 0.7,
    max_scale: Scale = 1.5,
    max_class_fraction: Share = 0.75,
    rare_class_pixels: Pixels = 0,
    rare_class_share: Share = 0.02,
) -> Steps:
    """Flips, turns, perspective and a crop at a random scale: for images whose colours are measurements.

    Microscopes, thermal and depth cameras, inspection under fixed light: there a changed colour would be another thing.
    The defaults are wider than those of `street`, because no horizon forbids a turn.

    Args:
        flip_probability: Probability of a horizontal flip.
        vertical_flip_probability: Probability of a vertical flip, for images without up and down (microscope, drone).
        quarter_turns: Also turn by 0, 90, 180 or 270 degrees, all as likely.
        rotation_degrees: Half of the images turn by at most this much, to either side.
        perspective: Corners of half of the images move by about this fraction of the side; 0 for none.
        min_scale: Things appear at least this many times as large as in the image (after the resize rule).
        max_scale: And at most this many times.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        rare_class_pixels: A crop with fewer pixels of a rare class of its image is drawn again, as in `crop`.
        rare_class_share: A class is rare that holds less than this share of the labelled training pixels.
    """
    moves = [*horizontal_flip(flip_probability), *vertical_flip(vertical_flip_probability)]
    moves += [library().RandomRotate90(p=1.0)] if quarter_turns else []
    moves += [*turn(rotation_degrees, 0.5), *tilt(perspective, 0.5)]
    return Steps(moves, Crop(min_scale, max_scale, max_class_fraction, rare_class_pixels, rare_class_share))

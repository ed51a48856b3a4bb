"""The policy that moves pixels and leaves their colours alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.augmentations.building import Degrees, Probability, Scale, Share, crop, filling, flip, rotation
from graft.augmentations.policy import Policy, compose, library


def geometric(
    crop_height: int,
    crop_width: int,
    *,
    flip_probability: Probability = 0.5,
    vertical_flip_probability: Probability = 0.0,
    quarter_turns: bool = False,
    rotation_degrees: Degrees = 15.0,
    perspective: Annotated[float, Field(ge=0, le=0.3)] = 0.05,
    min_scale: Scale = 0.7,
    max_scale: Scale = 1.5,
    max_class_fraction: Share = 0.75,
) -> Policy:
    """Flips, turns, perspective and a crop at a random scale: for images whose colours are measurements.

    Args:
        crop_height: Of the view, in pixels.
        crop_width: Of the view, in pixels.
        flip_probability: Of a horizontal flip.
        vertical_flip_probability: Of a vertical flip: where up and down mean nothing (microscope, camera drone).
        quarter_turns: Also turn by 0, 90, 180 or 270 degrees, all as likely.
        rotation_degrees: Half of the images turn by at most this much, to either side.
        perspective: Corners of half of the images move by about this fraction of the side; 0 for none.
        min_scale: Things appear at least this many times as large as in the image (after the resize rule).
        max_scale: And at most this many times.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
    """
    A = library()
    moved = flip(flip_probability)
    moved += [A.VerticalFlip(p=vertical_flip_probability)] if vertical_flip_probability else []
    moved += [A.RandomRotate90(p=1.0)] if quarter_turns else []
    moved += rotation(rotation_degrees)
    moved += [A.Perspective(scale=(perspective / 2, perspective), p=0.5, **filling())] if perspective else []
    return compose([*moved, *crop(crop_height, crop_width, min_scale, max_scale, max_class_fraction)])

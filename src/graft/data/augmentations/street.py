"""The policy for what a camera sees from a street: sky above, ground below, any light."""

from __future__ import annotations

from graft.data.augmentations.shared_options import (
    Degrees,
    Pixels,
    Probability,
    Scale,
    Share,
    Strength,
    appearance,
    horizontal_flip,
    turn,
)
from graft.data.augmentations.steps import Crop, Steps


def street(
    *,
    flip_probability: Probability = 0.5,
    rotation_degrees: Degrees = 3.0,
    min_scale: Scale = 0.8,
    max_scale: Scale = 1.6,
    max_class_fraction: Share = 0.75,
    rare_class_pixels: Pixels = 0,
    rare_class_share: Share = 0.02,
    strength: Strength = 1.0,
) -> Steps:
    """Flip, slight rotation, crop at a random scale that one class may not fill, and light, weather and sensor.

    Sky stays above and ground below, so turns are slight. The limit of three quarters for one class is what
    mmsegmentation's recipes for Cityscapes use (`cat_max_ratio`). The default of the pipeline, whose bundled weights
    were trained with it at strength 2.

    Args:
        flip_probability: Probability of a horizontal flip.
        rotation_degrees: Half of the images turn by at most this much, to either side.
        min_scale: Things appear at least this many times as large as in the image (after the resize rule).
        max_scale: And at most this many times.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        rare_class_pixels: A crop with fewer pixels of a rare class of its image is drawn again, as in `crop`.
        rare_class_share: A class is rare that holds less than this share of the labelled training pixels.
        strength: Strength of changes of colour, tone, haze, blur, noise and compression: 0 for none, 1 for the variety
            of one place, 2 and more for pretraining that must serve places and light it has not seen.
    """
    moves = [*horizontal_flip(flip_probability), *turn(rotation_degrees, 0.5)]
    crop = Crop(min_scale, max_scale, max_class_fraction, rare_class_pixels, rare_class_share)
    return Steps(moves, crop, appearance(strength))

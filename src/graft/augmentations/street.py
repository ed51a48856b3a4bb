"""The policy for what a camera sees from a street: sky above, ground below, any light."""

from __future__ import annotations

from graft.augmentations.building import Degrees, Probability, Scale, Share, Strength, appearance, crop, flip, rotation
from graft.augmentations.policy import Policy, compose


def street(
    crop_height: int,
    crop_width: int,
    *,
    flip_probability: Probability = 0.5,
    rotation_degrees: Degrees = 3.0,
    min_scale: Scale = 0.8,
    max_scale: Scale = 1.6,
    max_class_fraction: Share = 0.75,
    strength: Strength = 1.0,
) -> Policy:
    """Flip, slight rotation, crop at a random scale that one class may not fill, and light, weather and sensor.

    Args:
        crop_height: Of the view, in pixels.
        crop_width: Of the view, in pixels.
        flip_probability: Of a horizontal flip.
        rotation_degrees: Half of the images turn by at most this much, to either side.
        min_scale: Things appear at least this many times as large as in the image (after the resize rule).
        max_scale: And at most this many times.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        strength: Of changes of colour, tone, haze, blur, noise and compression: 0 for none, 1 for the variety of one
            place, 2 and more for pretraining that must serve places and light it has not seen.
    """
    moved = [*flip(flip_probability), *rotation(rotation_degrees)]
    moved += crop(crop_height, crop_width, min_scale, max_scale, max_class_fraction)
    return compose([*moved, *appearance(strength)])

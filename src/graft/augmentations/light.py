"""The policy that changes least: a flip, a crop, a little light."""

from __future__ import annotations

from graft.augmentations.building import Probability, Share, Strength, appearance, crop, flip
from graft.augmentations.policy import Policy, compose


def light(
    crop_height: int,
    crop_width: int,
    *,
    flip_probability: Probability = 0.5,
    max_class_fraction: Share = 1.0,
    strength: Strength = 0.25,
) -> Policy:
    """Flip and crop at the image's own scale, colours hardly changed: for data that varies enough, or fine detail.

    Args:
        crop_height: Of the view, in pixels.
        crop_width: Of the view, in pixels.
        flip_probability: Of a horizontal flip.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        strength: Of changes of colour, tone, blur and noise; 0 for none.
    """
    moved = [*flip(flip_probability), *crop(crop_height, crop_width, 1.0, 1.0, max_class_fraction)]
    return compose([*moved, *appearance(strength)])

"""The policy that changes colours and leaves geometry alone."""

from __future__ import annotations

from graft.augmentations.building import Share, Strength, appearance, crop
from graft.augmentations.policy import Policy, compose


def photometric(
    crop_height: int,
    crop_width: int,
    *,
    max_class_fraction: Share = 1.0,
    strength: Strength = 1.0,
) -> Policy:
    """A crop at the image's own scale and orientation, with colour, tone, haze, blur, noise and compression.

    Args:
        crop_height: Of the view, in pixels.
        crop_width: Of the view, in pixels.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        strength: Of all changes: 0 for none, 1 for the variety of one place, 2 and more for light nobody has seen.
    """
    return compose([*crop(crop_height, crop_width, 1.0, 1.0, max_class_fraction), *appearance(strength)])

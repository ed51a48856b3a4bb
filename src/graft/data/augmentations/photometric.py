"""The policy that changes colours and leaves geometry alone."""

from __future__ import annotations

from graft.data.augmentations.shared_options import Pixels, Share, Strength, appearance
from graft.data.augmentations.steps import Crop, Steps


def photometric(
    *,
    max_class_fraction: Share = 1.0,
    rare_class_pixels: Pixels = 0,
    rare_class_share: Share = 0.02,
    strength: Strength = 1.0,
) -> Steps:
    """A crop at the image's own scale and orientation, with colour, tone, haze, blur, noise and compression.

    For a camera that never moves under light that does, and for domains that differ in light and weather alone. One,
    the default strength, is the variety that one place sees in a year.

    Args:
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        rare_class_pixels: A crop with fewer pixels of a rare class of its image is drawn again, as in `crop`.
        rare_class_share: A class is rare that holds less than this share of the labelled training pixels.
        strength: Strength of all changes: 0 for none, 1 for the variety of one place, 2 and more for unseen light.
    """
    return Steps((), Crop(1.0, 1.0, max_class_fraction, rare_class_pixels, rare_class_share), appearance(strength))

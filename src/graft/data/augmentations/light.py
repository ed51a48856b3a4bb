"""The policy that changes least: a flip, a crop, a little light."""

from __future__ import annotations

from graft.data.augmentations.shared_options import Pixels, Probability, Share, Strength, appearance, horizontal_flip
from graft.data.augmentations.steps import Crop, Steps


def light(
    *,
    flip_probability: Probability = 0.5,
    max_class_fraction: Share = 1.0,
    rare_class_pixels: Pixels = 0,
    rare_class_share: Share = 0.02,
    strength: Strength = 0.25,
) -> Steps:
    """Flip and crop at the image's own scale, colours hardly changed: for data that varies enough, or fine detail.

    Where thousands of labelled images show the variety themselves, or where what is to be found is a few pixels wide,
    strong changes cost more than they give. A quarter of the strength of `street` is the default.

    Args:
        flip_probability: Probability of a horizontal flip.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        rare_class_pixels: A crop with fewer pixels of a rare class of its image is drawn again, as in `crop`.
        rare_class_share: A class is rare that holds less than this share of the labelled training pixels.
        strength: Strength of changes of colour, tone, blur and noise; 0 for none.
    """
    crop = Crop(1.0, 1.0, max_class_fraction, rare_class_pixels, rare_class_share)
    return Steps(horizontal_flip(flip_probability), crop, appearance(strength))

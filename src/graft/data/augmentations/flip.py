"""The policy that mirrors."""

from __future__ import annotations

from graft.data.augmentations.policy import library
from graft.data.augmentations.shared_options import Probability, horizontal_flip, vertical_flip
from graft.data.augmentations.steps import Steps


def flip(
    *, probability: Probability = 0.5, vertical_probability: Probability = 0.0, quarter_turns: bool = False
) -> Steps:
    """Left and right exchanged; top and bottom, or quarter turns, where up and down mean nothing.

    The cheapest augmentation and the one that seldom harms, except where sides mean something (text, traffic signs).

    Args:
        probability: Probability of exchanging left and right.
        vertical_probability: Probability of exchanging top and bottom (microscope, camera drone).
        quarter_turns: Also turn by 0, 90, 180 or 270 degrees, all as likely.
    """
    turned = [library().RandomRotate90(p=1.0)] if quarter_turns else []
    return Steps([*horizontal_flip(probability), *vertical_flip(vertical_probability), *turned])

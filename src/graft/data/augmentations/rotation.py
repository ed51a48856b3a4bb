"""The policy that turns."""

from __future__ import annotations

from graft.data.augmentations.shared_options import Degrees, Probability, turn
from graft.data.augmentations.steps import Steps


def rotation(*, degrees: Degrees = 15.0, probability: Probability = 1.0) -> Steps:
    """A turn by a random angle to either side; corners beyond the image are ignored.

    Helps where the camera is not held level, or where things lie at any angle (then 180 degrees).

    Args:
        degrees: The largest angle.
        probability: Probability of turning an image at all.
    """
    return Steps(turn(degrees, probability))

"""The policy that tilts the camera."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.data.augmentations.shared_options import Probability, tilt
from graft.data.augmentations.steps import Steps


def perspective(*, amount: Annotated[float, Field(gt=0, le=0.3)] = 0.1, probability: Probability = 0.5) -> Steps:
    """The image as a camera would see it that stands elsewhere: its four corners move, straight lines stay straight.

    Helps where the camera's pose varies: flat things (signs, documents, facades, fields from above) most. The image is
    stretched to its size again, so little is lost at its border.

    Args:
        amount: Corners move by a normal distance with this deviation at most, in fractions of the side.
        probability: Probability of moving an image at all.
    """
    return Steps(tilt(amount, probability))

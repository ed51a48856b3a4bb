"""The policy that bends."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.data.augmentations.shared_options import Probability
from graft.data.augmentations.steps import Steps


def elastic(
    *,
    displacement_fraction: Annotated[float, Field(gt=0, le=0.1)] = 0.02,
    grid: Annotated[int, Field(ge=2, le=32)] = 3,
    probability: Probability = 0.5,
) -> Steps:
    """A smooth bend, as of tissue or cloth: random shifts on a coarse grid, bicubic between its points.

    Helps where shapes vary softly (cells, organs, textiles) and labels are few; it bends what is straight, so streets
    and buildings are better off without. What lies beyond the image is ignored. Ronneberger 2015, "U-Net:
    Convolutional Networks for Biomedical Image Segmentation", section 3.1: a grid of 3 by 3 and a deviation of 10 px,
    the default for its tiles of 512.

    Args:
        displacement_fraction: Standard deviation of the shift of a grid point, in fractions of the shorter side.
        grid: Points along each side: more of them bend smaller things.
        probability: Probability of bending an image at all.
    """
    from graft.data.augmentations.transforms import Elastic

    return Steps([Elastic(displacement_fraction, grid, p=probability)])

"""The policy that turns, zooms, shears and shifts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graft.data.augmentations.shared_options import Degrees, Probability, fill_options
from graft.data.augmentations.steps import Steps


def affine(
    *,
    rotation_degrees: Degrees = 10.0,
    max_zoom: Annotated[float, Field(ge=1, le=4)] = 1.25,
    shear_degrees: Annotated[float, Field(ge=0, le=45)] = 5.0,
    shift_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.05,
    probability: Probability = 0.8,
) -> Steps:
    """A turn, a zoom, a shear and a shift, drawn together: any parallel stays parallel.

    Helps against small changes of a camera's place and distance; scans and drawings above all. What lies beyond the
    image is ignored. The whole image is moved before the crop, which also draws a scale where it is told to.

    Args:
        rotation_degrees: The largest angle of the turn, to either side.
        max_zoom: Things appear at most so many times larger, or smaller.
        shear_degrees: The largest angle of the shear, along both axes.
        shift_fraction: The largest shift, in fractions of the side.
        probability: Probability of moving an image at all.
    """
    from graft.data.augmentations.warps import Affine

    moved = Affine(
        rotate=(-rotation_degrees, rotation_degrees),
        scale=(1 / max_zoom, max_zoom),
        shear=(-shear_degrees, shear_degrees),
        translate_percent=(-shift_fraction, shift_fraction),
        p=probability,
        **fill_options(),
    )
    return Steps([moved])

"""The sizes of the training views, which may grow from epoch to epoch."""

from __future__ import annotations

from collections.abc import Sequence

from graft.foundation.errors import GraftError
from graft.models.architectures import Model


def view_sizes(whole: tuple[int, int], factors: Sequence[float], model: Model) -> list[tuple[int, int]]:
    """Heights and widths of views whose sides are these shares of the whole, in pixels; [] if none is smaller.

    A side is rounded up to a multiple of what the model pads to, so that no step is spent on mirrored pixels, and is
    never longer than that of the whole. Small views first, as in Tan & Le 2021, "EfficientNetV2: Smaller Models and
    Faster Training", section 4.2.

    Args:
        whole: Height and width of the views as they were made.
        factors: Values of `fine_tune.sizes`.
        model: Model that trains on them.

    Raises:
        GraftError: The model takes images of one size only, or none as small as these.
    """
    if min(factors) == 1:
        return []
    multiple, least = model.padding_multiple, model.min_side_px
    sizes = [(_side(whole[0], factor, multiple), _side(whole[1], factor, multiple)) for factor in factors]
    smallest = f"the smallest views are {sizes[0][1]}×{sizes[0][0]} px (fine_tune.sizes: {factors[0]} of the crop)"
    if model.fixed_size_px is not None:
        fixed = f"{model.fixed_size_px}×{model.fixed_size_px} px"
        raise GraftError(smallest, rule=f"the model takes images of exactly {fixed}", remedy="set fine_tune.sizes: [1]")
    if min(sizes[0]) < least:
        remedy = "raise the first of fine_tune.sizes, or enlarge augment.crop"
        raise GraftError(smallest, rule=f"the smallest height and width of the model are {least} px", remedy=remedy)
    return sizes


def _side(side: int, factor: float, multiple: int) -> int:
    """A share of a side, at least a pixel of it, up to a multiple."""
    return min(side, -(-max(round(side * factor), 1) // multiple) * multiple)

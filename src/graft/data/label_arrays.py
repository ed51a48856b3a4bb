"""Arrays that hold a class id for each pixel, as NumPy writes them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from graft.data.images.codec import check_size
from graft.data.images.npy_files import read_npy
from graft.foundation.errors import GraftError

SMALLEST, LARGEST = -(1 << 31), (1 << 31) - 1
ONE_ID = "a label array holds one class id for each pixel, [height, width], or RGB uint8 [height, width, 3]"


def read_label_array(data: bytes, where: object, max_pixels: int | None) -> np.ndarray:
    """The class ids of a `.npy`; floating point is taken where all numbers are whole.

    Args:
        data: The file.
        where: Its name in errors.
        max_pixels: Most pixels it may have; None sets no limit.

    Returns:
        Integers [H, W], or uint8 [H, W, 3] (RGB).

    Raises:
        GraftError: It is damaged or too large, or its values are no class ids.
    """
    try:
        values = read_npy(io.BytesIO(data), lambda shape, dtype: check_label_array(shape, dtype, where, max_pixels))
        return _as_ids(_without_sides_of_one(values))
    except GraftError as error:
        raise error.at(error.where or where) from None
    except ValueError as error:
        raise GraftError(f"the array is damaged or cut off ({error})", where=where) from None


def check_label_array(shape: Sequence[int], dtype: np.dtype[Any], where: object, max_pixels: int | None) -> None:
    """Refuses by shape and type what holds no class ids, before it is read.

    Raises:
        GraftError: It is one of these.
    """
    if dtype.hasobject:
        raise GraftError("it holds pickled Python objects, which are never opened", where=where)
    if dtype.kind not in "biuf":
        raise GraftError(f"values are {dtype}, which are no numbers", where=where, rule=ONE_ID)
    sides = [side for side in shape if side != 1] if len(shape) > 2 else [*shape]
    is_grey, is_rgb = len(sides) == 2, len(sides) == 3 and sides[2] == 3 and dtype == np.uint8
    if not (is_grey or is_rgb) or not all(shape):
        raise GraftError(
            f"it has the shape {list(shape)} and {dtype}",
            where=where,
            rule=ONE_ID,
            remedy="where it holds a layer or a score for each class, save the number of the class (argmax)",
        )
    check_size((sides[1], sides[0]), where, max_pixels)


def _without_sides_of_one(values: np.ndarray) -> np.ndarray:
    return values.squeeze() if values.ndim > 2 else values


def _as_ids(values: np.ndarray) -> np.ndarray:
    """Whole numbers as integers, uint8 where they fit.

    Raises:
        GraftError: Some are not whole, or too large for any class id.
    """
    if values.dtype.kind == "f":
        strange = values[~(np.floor(values) == values) | np.isinf(values)]
        if strange.size:
            raise GraftError(
                f"{strange.size} of its numbers are not whole, as {strange[0]}",
                rule=ONE_ID,
                remedy="save class ids, not scores; give pixels without data a number, as -1, and list that in void",
            )
    least, most = values.min().item(), values.max().item()
    if least < SMALLEST or most > LARGEST:
        raise GraftError(f"it holds {least if least < SMALLEST else most}, which is no class id", rule=ONE_ID)
    return values.astype(np.uint8 if least >= 0 and most <= 255 else np.int32, copy=False)

"""Masks as their files hold them: the values as stored and upright, and what a reader of these values must know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from graft.data.images.codec import decode_plain_png, open_image
from graft.data.images.further_bands import alpha_varies
from graft.data.images.headers import (
    bit_depth,
    is_plain_png,
    is_white_zero,
    largest_sample,
    orientation_of,
    webp_is_lossless,
)
from graft.data.images.npy_files import NPY_MAGIC
from graft.data.label_arrays import read_label_array
from graft.foundation.errors import GraftError
from graft.foundation.value_counts import value_counts

LOSSY_FORMATS = frozenset({"JPEG", "MPO", "JPEG2000", "AVIF"})
LOSSY_IN_TIFF = frozenset({"jpeg", "tiff_jpeg"})  # as Pillow calls the compressions of a TIFF
TWO_VALUES = ("1", "L")
TURNED_BY_PILLOW = "TIFF"  # on loading, which also takes its tag away


@dataclass(frozen=True)
class MaskFile:
    """A mask as its file holds it.

    Attributes:
        values: Grey values or palette indices [H, W], or RGB uint8 [H, W, 3]; turned as the file's EXIF says.
        orientation: The EXIF orientation that was followed, 1 to 8.
        lossy: Whether the file's compression changes values.
        palette: The colours of the indices in use, as `0=#000000 1=#ff0000`; None where values are no indices.
        reading: How the values come about, in words, where they are not the samples that the file stores.
        alpha_only: Whether the file has one colour throughout, and its transparency varies.
        format: Kind of file, as Pillow calls it, or `NPY`.
        is_plain: Whether it is a grey PNG of 8 bits that any reader understands alike.
    """

    values: np.ndarray
    orientation: int
    lossy: bool
    palette: str | None
    reading: str | None
    alpha_only: bool
    format: str
    is_plain: bool


def decode_mask_file(data: bytes, *, where: object, max_pixels: int | None = None, as_colours: bool) -> MaskFile:
    """Reads a mask, a picture or an array of NumPy, by the bytes of its file.

    Args:
        data: The file.
        where: Its name in errors.
        max_pixels: Most pixels it may have; None sets no limit.
        as_colours: As in `read_mask`.

    Raises:
        GraftError: It cannot be decoded or is too large, or its values are no class ids.
    """
    if data.startswith(NPY_MAGIC):
        return MaskFile(read_label_array(data, where, max_pixels), 1, False, None, None, False, "NPY", False)
    with open_image(data, where=where, max_pixels=max_pixels) as image:
        return read_mask(image, data, as_colours=as_colours)


def read_mask(image: Image.Image, data: bytes, *, as_colours: bool) -> MaskFile:
    """Reads an opened mask; samples are never scaled down, inverted or blended, only those of few bits are spread.

    Args:
        image: The mask, opened by `open_image`.
        data: Its file.
        as_colours: Whether palettes are looked up, so that values are RGB.

    Raises:
        GraftError: The samples are no class ids: floating point, or colours of more than 8 bits.
    """
    orientation, depth = orientation_of(image, data), bit_depth(image, data)
    most = largest_sample(image)
    indexed = image.mode in ("P", "PA") and not as_colours
    values = _values(image, data, depth, indexed)
    if image.format != TURNED_BY_PILLOW:
        values = _turned(values, orientation)
    return MaskFile(
        values=values,
        orientation=orientation,
        lossy=_is_lossy(image, data),
        palette=_palette_in_use(image, values) if indexed else None,
        reading=_reading(image, depth, most, indexed),
        alpha_only=image.has_transparency_data and _is_constant(values) and alpha_varies(image),
        format=image.format or "",
        is_plain=image.mode == "L" and is_plain_png(image, data),
    )


def _values(image: Image.Image, data: bytes, depth: int, indexed: bool) -> np.ndarray:
    if (decoded := decode_plain_png(image, data)) is not None:
        return decoded
    if image.mode == "F":
        raise GraftError("floating point values are no class ids; save it with 8 or 16 bits")
    if depth > 8 and not image.mode.startswith("I"):
        raise GraftError(
            f"{depth} bits a sample in {len(image.getbands())} bands (mode {image.mode}), of which 8 would be lost",
            rule="a mask of more than 8 bits has one band, grey",
            remedy="save it as grey of 16 bits if it holds class ids, with 8 bits a sample if it holds colours",
        )
    if image.mode == "1":
        values = np.asarray(image.convert("L"))
    elif indexed or image.mode in ("LA", "La"):
        values = np.asarray(image.getchannel(0) if len(image.getbands()) > 1 else image)
    elif image.mode == "L" or image.mode.startswith("I"):
        values = np.asarray(image)
    else:
        values = np.asarray(image.convert("RGB"))
    return 255 - values if image.mode in TWO_VALUES and is_white_zero(image) else values  # Pillow inverted those


def _turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Values as an EXIF orientation says they are to be looked at."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def _is_constant(values: np.ndarray) -> bool:
    return bool((values == values[0, 0]).all())


def _is_lossy(image: Image.Image, data: bytes) -> bool:
    if image.format == "TIFF":
        return image.info.get("compression") in LOSSY_IN_TIFF
    return image.format in LOSSY_FORMATS or (image.format == "WEBP" and not webp_is_lossless(data))


def _palette_in_use(image: Image.Image, indices: np.ndarray) -> str:
    colours = bytes(image.getpalette("RGB") or ())
    met = np.flatnonzero(value_counts(indices))
    return " ".join(f"{index}=#{colours[3 * index : 3 * index + 3].hex()}" for index in met)


def _reading(image: Image.Image, depth: int, most: int, indexed: bool) -> str | None:
    if indexed:
        of = " of a GIF, which its writer orders" if image.format == "GIF" else ", not the colours a viewer shows"
        return f"positions in the palette{of}"
    if image.format == "PPM" and most not in (1, 255, 65535):
        return f"stored as 0 to {most}, read as spread over 0 to {255 if most < 256 else 65535}"
    if depth < 8 and image.mode in TWO_VALUES:
        return f"stored in {depth} bit{'s' * (depth > 1)}, read as spread over 0 to 255"
    return None

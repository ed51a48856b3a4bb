"""Bands beside the colours of a picture: transparency, or a picture of their own, as near infrared."""

from __future__ import annotations

import numpy as np
from PIL import Image

from graft.data.images.headers import SAMPLES_PER_PIXEL_TAG, num_further_bands
from graft.data.images.stack_files import Reading, read_part
from graft.foundation.errors import GraftError

# Transparency is nearly everywhere none or full, a soft edge aside; a picture is so hardly anywhere.
LEAST_BETWEEN_FRACTION = 0.25
FEWEST_VALUES = 8
SAMPLED_SIDE_PX = 128


def alpha_varies(image: Image.Image) -> bool:
    """Whether the transparency of an opened image differs from pixel to pixel."""
    if not image.has_transparency_data:
        return False
    low, high = image.convert("RGBA").getchannel("A").getextrema()
    return low != high


def further_band_is_picture(image: Image.Image, data: bytes) -> bool:
    """Whether a band beside the colours varies as a picture does, and not as transparency.

    That is: a quarter of its pixels or more are neither 0 nor the largest value, and they hold 8 values or more.
    """
    return any(_is_picture(band) for band in _further_bands(image, data))


def _further_bands(image: Image.Image, data: bytes) -> list[np.ndarray]:
    if num_more := num_further_bands(image):
        try:
            num_bands = image.tag_v2[SAMPLES_PER_PIXEL_TAG]  # type: ignore[attr-defined]
            values = read_part(data, Reading("", None, [""] * num_bands)).values
        except GraftError:  # what only Pillow unfolds: its own idea of transparency is what there is
            pass
        else:
            return [values[..., band] for band in range(num_bands - num_more, num_bands)]
    return [np.asarray(image.getchannel("A"))] if "A" in image.getbands() else []


def _is_picture(band: np.ndarray) -> bool:
    height, width = band.shape
    sample = band[:: -(-height // SAMPLED_SIDE_PX), :: -(-width // SAMPLED_SIDE_PX)]
    between = sample[(sample > 0) & (sample < np.iinfo(sample.dtype).max)]
    return between.size >= LEAST_BETWEEN_FRACTION * sample.size and len(np.unique(between)) >= FEWEST_VALUES

"""LZW strips and tiles of a TIFF with any number of bands, as Google Earth Engine and GDAL write them.

tifffile reads these only with another package, Pillow and OpenCV only up to four bands. What is compressed are bytes,
whatever they mean: each strip goes to Pillow as a grey picture of its own, and tifffile makes samples of the bytes.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from graft.data.images.codec import opened

LZW = 5
PLAIN = 1
SHORT, LONG = 3, 4


def lzw_values(series: Any, data: bytes) -> np.ndarray:
    """The samples of a series, in its shape.

    Args:
        series: A `tifffile.TiffPageSeries` of LZW pages; it is good for nothing else afterwards.
        data: The file it is of.

    Raises:
        GraftError: A strip is damaged.
    """
    series.keyframe.compression = PLAIN  # from here on tifffile is given what is no longer compressed
    pages = [_page(page, series.keyframe, data) for page in series.pages]
    return np.stack(pages).reshape(series.shape)


def _page(page: Any, keyframe: Any, data: bytes) -> np.ndarray:
    values = np.zeros(keyframe.shaped, keyframe.dtype)
    limits = (keyframe.imagedepth, keyframe.imagelength, keyframe.imagewidth)
    for number, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        _, (plane, *corner, _), shape = keyframe.decode(None, number)
        if not count:  # a tile that was never written
            continue
        row_bytes = shape[2] * shape[3] * keyframe.dtype.itemsize
        unfolded = _unfolded(data[offset : offset + count], shape[0] * shape[1], row_bytes)
        segment = keyframe.decode(unfolded, number)[0]
        sides = [min(side, limit - start) for side, limit, start in zip(shape, limits, corner, strict=False)]
        place = tuple(slice(start, start + side) for start, side in zip(corner, sides, strict=True))
        values[(plane, *place)] = segment[tuple(slice(side) for side in sides)]
    return values


def _unfolded(compressed: bytes, num_rows: int, row_bytes: int) -> bytes:
    """The bytes of an LZW strip."""
    tags = [
        (256, LONG, row_bytes),
        (257, LONG, num_rows),
        (258, SHORT, 8),
        (259, SHORT, LZW),
        (262, SHORT, 1),  # black is zero
        (273, LONG, 8),  # the strip comes right behind the header
        (277, SHORT, 1),
        (278, LONG, num_rows),
        (279, LONG, len(compressed)),
    ]
    padded = compressed + bytes(len(compressed) % 2)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    with opened(struct.pack("<2sHI", b"II", 42, 8 + len(padded)) + padded + directory) as picture:
        return np.asarray(picture).tobytes()

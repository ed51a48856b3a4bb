"""Windows of image and mask files, cut out and encoded; what is no TIFF is decoded once for all its windows."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np

from graft.data.images.codec import decode_image, encode_png, open_image
from graft.data.images.headers import orientation_of
from graft.data.images.large_images import LargeImage, check_mask, find_gaps, read_values
from graft.data.images.stack_files import Reading, read_part
from graft.data.images.tiff_headers import TILED_DEFLATE, is_tiff
from graft.data.images.tiff_windows import TiffWindows
from graft.data.mask_files import read_mask
from graft.foundation.errors import GraftError

LEAST_KEPT = 4
Made = TypeVar("Made")


@dataclass(frozen=True)
class FileKind:
    """A file and how it is read; its `channels` and `max_value` are those of an `ImageKind`.

    Attributes:
        root: Folder that `path` is relative to.
        path: Name of the file in errors, too.
        channels: Names of the channels of the image that it is a part of.
        max_value: Value that becomes 255 where images are stacks; None where they are pictures.
        num_parts: Number of files that make the image.
        max_pixels: Number of pixels that are decoded at once, at most; None sets no limit.
    """

    root: str
    path: str
    channels: tuple[str, ...]
    max_value: int | None
    num_parts: int
    max_pixels: int | None

    @property
    def place(self) -> Path:
        return Path(self.root, self.path)

    @property
    def stamp(self) -> tuple[int, int]:
        """Time and size of the file: another stamp is another file."""
        found = self.place.stat()
        return found.st_mtime_ns, found.st_size

    @property
    def is_windowed(self) -> bool:
        """Whether windows of it are read without the rest."""
        with self.place.open("rb") as file:
            return is_tiff(file.read(4))


class Recent(Generic[Made]):
    """Keeps what a function makes of the files that were used last: as many as make an image, since tiles take turns.

    Args:
        make: Function of a file.
    """

    def __init__(self, make: Callable[[FileKind], Made]) -> None:
        self._make = make
        self._kept: OrderedDict[tuple[FileKind, tuple[int, int]], Made] = OrderedDict()

    def __call__(self, file: FileKind) -> Made:
        key = file, file.stamp
        if key not in self._kept:
            self._kept[key] = self._make(file)
        self._kept.move_to_end(key)
        while len(self._kept) > max(LEAST_KEPT, file.num_parts):
            self._kept.popitem(last=False)
        return self._kept[key]


@dataclass(frozen=True)
class Cutout:
    """A window of a file.

    Attributes:
        values: Colours uint8 [h, w, 3] of a picture, stored samples [h, w, bands] of a stack, values of a mask.
        lacks_data: Whether pixels have no data, bool [h, w]; None where the file marks none.
        is_picture: Whether it is encoded as a picture.
    """

    values: np.ndarray
    lacks_data: np.ndarray | None
    is_picture: bool = False

    def encode(self) -> bytes:
        """PNG of a picture, TIFF (deflate) of a part of a stack."""
        return encode_png(self.values) if self.is_picture else encode_samples(self.values)


def cut_image(file: FileKind, window: tuple[int, int, int, int]) -> Cutout:
    """A window (first row and column, row and column behind the last) of a file of an image.

    Raises:
        GraftError: The file cannot be decoded, or more than `max_pixels` would have to be at once.
    """
    place, is_picture = _slices(window), file.max_value is None
    if not file.is_windowed:
        whole = _whole_picture(file, file.stamp) if is_picture else _whole_part(file)
        return Cutout(whole[place], None, is_picture)
    image = _open_image(file)
    if is_picture:
        return Cutout(image[place], image.lacks_data(place), is_picture)
    top, left, bottom, right = window
    return Cutout(image.windows.read(top, left, bottom - top, right - left), image.lacks_data(place))


def cut_mask(file: FileKind, window: tuple[int, int, int, int], *, as_colours: bool) -> Cutout:
    """A window of a mask, in the values of its source.

    Raises:
        GraftError: As `cut_image`.
    """
    if not file.is_windowed:
        return Cutout(_whole_mask(file, file.stamp, as_colours)[_slices(window)], None)
    windows = _open_mask(file)
    top, left, bottom, right = window
    stored = windows.read(top, left, bottom - top, right - left)
    inside = windows.read_mask_of_data(top, left, bottom - top, right - left)
    marked = windows.header.nodata is not None or windows.header.alpha is not None
    lacks = either([find_gaps(stored, windows.header) if marked else None, None if inside is None else ~inside])
    return Cutout(read_values(stored, windows.header, as_colours=as_colours), lacks)


def measure_image(file: FileKind, rows: int) -> tuple[tuple[int, int], bool]:
    """Rows and columns of an image, and whether it is read by windows; only the header is read.

    Where windows of so many rows will be slow to read, that is said.

    Raises:
        GraftError: It cannot be read by windows.
    """
    if not file.is_windowed:
        return _measure_picture(file), False
    image = _open_image(file)
    image.windows.warn_of_large_strips(rows)
    return (image.shape[0], image.shape[1]), True


def measure_mask(file: FileKind) -> tuple[tuple[int, int], bool]:
    """As `measure_image`, of a mask."""
    if not file.is_windowed:
        return _measure_picture(file), False
    height, width, _ = _open_mask(file).shape
    return (height, width), True


def either(gaps: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Whether pixels lack data in any of several parts; None where no part marks any."""
    known = [gap for gap in gaps if gap is not None]
    return np.logical_or.reduce(known) if known else None


def encode_mask(
    values: np.ndarray, lacks_data: np.ndarray | None, void_grey: int, void_colour: tuple[int, int, int]
) -> bytes:
    """A mask as a file without loss: PNG, or TIFF for values that a PNG cannot hold.

    Args:
        values: Integers [h, w], or RGB uint8 [h, w, 3].
        lacks_data: Pixels that get the void value, bool [h, w].
        void_grey: Void value of masks of grey values.
        void_colour: Void value of masks of colours.
    """
    if lacks_data is not None and lacks_data.any():
        if values.ndim == 3 and (values[..., :1] == values[..., 1:]).all():
            values = values[..., 0]
        grey = values.ndim == 2
        values = values.astype(np.promote_types(values.dtype, np.min_scalar_type(void_grey))) if grey else values.copy()
        values[lacks_data] = void_grey if grey else void_colour
    if values.dtype == np.uint8:
        return encode_png(values)
    if values.dtype == np.uint16:
        return cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return encode_samples(values.astype(np.int32)[..., None])


def encode_samples(samples: np.ndarray) -> bytes:
    """TIFF with deflate of samples [h, w, bands]; the same samples are the same bytes."""
    import tifffile

    file, planes = io.BytesIO(), samples[..., 0] if samples.shape[2] == 1 else samples
    options: dict[str, Any] = {"planarconfig": "contig"} if planes.ndim == 3 else {}
    tifffile.imwrite(
        file, planes, photometric="minisblack", compression="zlib", metadata=None, software=False, **options
    )
    return file.getvalue()


def _slices(window: tuple[int, int, int, int]) -> tuple[slice, slice]:
    top, left, bottom, right = window
    return slice(top, bottom), slice(left, right)


@Recent
def _open_image(file: FileKind) -> LargeImage:
    return LargeImage(file.place, file, where=file.path, max_pixels=file.max_pixels, num_parts=file.num_parts)


@Recent
def _open_mask(file: FileKind) -> TiffWindows:
    windows = TiffWindows(file.place, where=file.path, max_pixels=file.max_pixels)
    check_mask(windows)
    return windows


@lru_cache(maxsize=1)
def _whole_picture(file: FileKind, stamp: tuple[int, int]) -> np.ndarray:
    return decode_image(_bytes_within(file), where=file.path)


@Recent
def _whole_part(file: FileKind) -> np.ndarray:
    return read_part(_bytes_within(file), Reading(file.path, file.max_pixels, file.channels)).values


@lru_cache(maxsize=1)
def _whole_mask(file: FileKind, stamp: tuple[int, int], as_colours: bool) -> np.ndarray:
    data = _bytes_within(file)
    with open_image(data, where=file.path) as image:
        mask = read_mask(image, data, as_colours=as_colours)
    if mask.lossy:
        raise GraftError("its compression changes values", where=file.path, remedy=f"save it anew: {TILED_DEFLATE}")
    return mask.values


def _bytes_within(file: FileKind) -> bytes:
    """The content of a file that is decoded as a whole, after its size is judged."""
    data = file.place.read_bytes()
    with open_image(data, where=file.path) as image:
        width, height = image.size
    if file.max_pixels is not None and width * height > file.max_pixels:
        raise GraftError(
            f"{width} x {height} pixels of {image.format} are decoded whole, and {file.max_pixels:,} are allowed",
            where=file.path,
            rule="only a TIFF is read by windows",
            remedy=f"save it in tiles ({TILED_DEFLATE}), or raise ingest.max_pixels",
        )
    return data


def _measure_picture(file: FileKind) -> tuple[int, int]:
    data = file.place.read_bytes()
    with open_image(data, where=file.path) as image:
        width, height = image.size
        turned = orientation_of(image, data) >= 5
    return (width, height) if turned else (height, width)

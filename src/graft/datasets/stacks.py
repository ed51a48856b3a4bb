"""Images of any number of channels: GeoTIFF, NumPy arrays, or several files in one zip, as uint8 [H, W, C].

A **stack** is one of

* a TIFF (GeoTIFF, BigTIFF): its first series; bands interleaved, apart, or a page each,
* a `.npy`, or a `.npz` of one array,
* a picture whose bands are taken as they are (the fourth of an RGBA picture is the fourth channel),
* a zip of such files, whose channels follow each other in the order of the archive (a photograph, then its depth).

Arrays are [H, W], [H, W, C] or [C, H, W]: of the first and the last axis the shorter is that of the channels.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from PIL import ImageOps

from graft.datasets.images import as_rgb, check_size, decode_image, opened
from graft.errors import GraftError
from graft.sample import RGB

if TYPE_CHECKING:
    import tifffile

MOST_PART_BYTES = 120_000_000  # as the formats allow for a file
DEFLATE = (8, 32946)
BANDS_AS_THEY_ARE = ("L", "LA", "RGBA", "RGBX", "CMYK")


class ImageKind(Protocol):
    """What images are made of: a `ClassMap`, a `ModelSpec` and a `Recipe` say it.

    `channels` are their names in order; `max_value` is what becomes 255 where the samples of a stack have 16 bits, and
    None where images are pictures.
    """

    channels: Sequence[str]
    max_value: int | None


@dataclass(frozen=True)
class Part:
    """A file of a stack: what kind of file, and its samples, uint8 or uint16 [H, W, c]."""

    format: str
    values: np.ndarray


def decode(data: bytes, kind: ImageKind, *, where: object = "image", max_pixels: int | None = None) -> np.ndarray:
    """An encoded image, picture or stack, as uint8 [H, W, C]; pictures as `decode_image` reads them.

    Samples of 16 bits become `round(255 · min(value, max_value) / max_value)`.

    Args:
        data: The encoded file.
        kind: What the channels are.
        where: Named in the error.
        max_pixels: More than this by the header are refused before decoding; None sets no limit, and trusts the file.

    Raises:
        GraftError: It cannot be decoded, or has not as many channels.
    """
    if kind.max_value is None:
        return decode_image(data, where=where, max_pixels=max_pixels)
    return joined(parts(data, kind, where=where, max_pixels=max_pixels), kind)


def joined(found: Sequence[Part], kind: ImageKind) -> np.ndarray:
    """The parts of a stack as one uint8 [H, W, C]."""
    return np.concatenate([_as_bytes(part.values, kind.max_value or 65535) for part in found], axis=2)


def composite(image: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """What is shown of an image: uint8 [H, W, 3] of [H, W, C].

    Its red, green and blue where it has channels of these names; else its first three; else its first as grey.
    """
    names = list(channels)
    if names == list(RGB):
        return image
    shown = [names.index(name) for name in RGB] if set(RGB) <= set(names) else [0, 1, 2] if len(names) > 2 else [0] * 3
    return np.ascontiguousarray(image[..., shown])


def parts(data: bytes, kind: ImageKind, *, where: object = "image", max_pixels: int | None = None) -> list[Part]:
    """The files a stack consists of, decoded: they have one size and together the channels of `kind`.

    Raises:
        GraftError: As `decode`.
    """
    if not data:
        raise GraftError("the file is empty (zero bytes)", where=where)
    reading = _Reading(where, max_pixels, len(kind.channels))
    found = list(_of_zip(data, reading)) if data[:4] == b"PK\3\4" else [_part(data, reading)]
    sizes = sorted({part.values.shape[:2] for part in found})
    if len(sizes) != 1:
        listed = " and ".join(f"{width} x {height}" for height, width in sizes) or "none at all"
        raise GraftError(f"the files of a stack have one size, these {listed}", where=where)
    reading.check_channels(sum(part.values.shape[2] for part in found), kind.channels)
    return found


@dataclass(frozen=True)
class _Reading:
    """What every part is checked against: named in errors, most pixels, most channels."""

    where: object
    max_pixels: int | None
    num_channels: int

    def check_channels(self, found: int, channels: Sequence[str]) -> None:
        if found != self.num_channels:
            raise GraftError(
                f"it has {found} {'channel' if found == 1 else 'channels'}, not the {self.num_channels} of "
                f"{', '.join(channels)}",
                where=self.where,
            )

    def check_array(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        """Refuses by the header what must not be read."""
        if dtype.hasobject:
            raise GraftError("it holds pickled Python objects, which are never opened", where=self.where)
        if dtype not in (np.uint8, np.uint16):
            raise GraftError(
                f"samples are {dtype}; only uint8 and uint16 have an agreed range",
                where=self.where,
                remedy="save it with 8 or 16 bits",
            )
        if len(shape) not in (2, 3) or not all(shape):
            raise GraftError(f"an array of shape {list(shape)} is no image with channels", where=self.where)
        height, width = (shape[1], shape[2]) if _channels_come_first(shape) else (shape[0], shape[1])
        check_size((width, height), self.where, self.max_pixels)
        num_channels = int(np.prod([int(side) for side in shape], dtype=object)) // (height * width)
        if num_channels > 64 + self.num_channels:  # a header alone could ask for all the memory
            raise GraftError(f"it has {num_channels} channels, not {self.num_channels}", where=self.where)


def _channels_come_first(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[0] < shape[2]


def _channels_last(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        return values[..., None]
    return np.moveaxis(values, 0, 2) if _channels_come_first(values.shape) else values


def _as_bytes(values: np.ndarray, max_value: int) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    levels = np.minimum(np.arange(65536), max_value)
    return ((levels * 255 + max_value // 2) // max_value).astype(np.uint8)[values]


def _part(data: bytes, reading: _Reading) -> Part:
    with _damage_explained(reading.where):
        if data[:6] == b"\x93NUMPY":
            return Part("NPY", _of_npy(io.BytesIO(data), reading))
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return Part("TIFF", _of_tiff(data, reading))
        return _of_picture(data, reading)


def _of_zip(data: bytes, reading: _Reading) -> Iterator[Part]:
    with _damage_explained(reading.where), zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > reading.num_channels:
            names = ", ".join(member.filename for member in members[:4])
            raise GraftError(f"{len(members)} files in one stack of {reading.num_channels} channels: {names}, …")
        for member in members:
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    yield Part("NPZ", _of_npy(file, reading))
                continue
            if member.file_size > MOST_PART_BYTES:
                raise GraftError(f"{member.filename} has more than {MOST_PART_BYTES:,} bytes")
            yield _part(archive.read(member), reading)


def _of_npy(file: Any, reading: _Reading) -> np.ndarray:
    """An array of a .npy file: its header is judged before anything else is read, and nothing is unpickled."""
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran, dtype = read_header(file)
    reading.check_array(shape, dtype)
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    data = file.read(num_bytes)
    if len(data) != num_bytes:
        raise GraftError(f"the stack is damaged or cut off ({len(data)} of {num_bytes} bytes are there)")
    values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return _channels_last(values)


def _of_tiff(data: bytes, reading: _Reading) -> np.ndarray:
    """The first series of a TIFF. tifffile alone reads plain ones and deflate; OpenCV and Pillow read others."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series, page = file.series[0], file.pages.first
        reading.check_array(series.shape, np.dtype(series.dtype))
        if page.compression not in (1, *DEFLATE):
            return _of_other_tiff(data, np.dtype(series.dtype), page, reading)
        unfold = page.compression in DEFLATE and reading.max_pixels is not None
        _check_segments(series, len(data), unfold=unfold)
        return _channels_last(series.asarray())


def _of_other_tiff(data: bytes, dtype: np.dtype[Any], page: Any, reading: _Reading) -> np.ndarray:
    if dtype == np.uint8:  # OpenCV would multiply the colours of 8-bit RGBA by its fourth channel
        return _of_picture(data, reading).values
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != dtype:
        raise GraftError(
            f"its compression ({getattr(page.compression, 'name', page.compression)}) cannot be read",
            remedy="save it with deflate: gdal_translate -co COMPRESS=DEFLATE",
        )
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(values.shape[2] if values.ndim == 3 else 1)
    return _channels_last(values) if order is None else values[..., order]


def _check_segments(series: tifffile.TiffPageSeries, num_bytes: int, *, unfold: bool) -> None:
    """Refuses strips and tiles that lie beyond the file, or would unfold to more than the image has room for.

    tifffile fills what is missing with zeros, and unfolds a strip without a limit. `unfold` unfolds each once more.
    """
    for page in series.pages:
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if any(offset + count > num_bytes or not count for offset, count in segments):
            raise GraftError("the stack is damaged or cut off (strips lie beyond its end)")
        if not unfold:
            continue
        most_bytes = int(np.prod(page.chunks)) * page.dtype.itemsize
        for offset, count in segments:
            page.parent.filehandle.seek(offset)
            unfolding = zlib.decompressobj()
            unfolded = unfolding.decompress(page.parent.filehandle.read(count), most_bytes + 1)
            if len(unfolded) > most_bytes:
                raise GraftError("its strips unfold to more than the image has room for: a decompression bomb?")


def _of_picture(data: bytes, reading: _Reading) -> Part:
    with opened(data, where=reading.where, max_pixels=reading.max_pixels) as image:
        wide = image.mode.startswith("I")
        upright = ImageOps.exif_transpose(image if wide or image.mode in BANDS_AS_THEY_ARE else as_rgb(image))
        values, format = np.asarray(upright), image.format or ""
    if wide and (values.min() < 0 or values.max() > 65535):
        raise GraftError(f"samples from {values.min()} to {values.max()} need more than 16 bits", where=reading.where)
    values = values.astype(np.uint16) if wide else values
    return Part(format, values[..., None] if values.ndim == 2 else values)


@contextmanager
def _damage_explained(where: object) -> Iterator[None]:
    """What the readers raise about a broken file, in one kind of error that says where."""
    try:
        yield
    except GraftError as error:
        raise GraftError(error.what, where=error.where or where, rule=error.rule, remedy=error.remedy) from None
    except MemoryError:
        raise GraftError("too large to decode in memory", where=where) from None
    except Exception as error:  # tifffile, zipfile and numpy raise ValueError, struct.error, zlib.error, KeyError…
        raise GraftError(f"the stack is damaged or cut off ({error})", where=where) from None

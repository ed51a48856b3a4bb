"""The files a stack of channels may consist of: TIFF, NumPy arrays, pictures, a zip of them; each judged, then read."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import cv2
import numpy as np
from PIL import ImageOps

from graft.data.images.codec import check_size, convert_to_rgb, open_image
from graft.data.images.npy_files import NPY_MAGIC, read_npy
from graft.data.images.point_clouds import PointFiles
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

MOST_PART_BYTES = 120_000_000  # as the formats allow for a file
PLAIN, WHITE_IS_ZERO = 1, 0
BYTE_CODECS = frozenset({5, 8, 32946, 32773, 34925, 50000})  # LZW, deflate by both its numbers, PackBits, LZMA, ZSTD
# JPEG, JPEG 2000 (also as whole-slide scanners write it), WebP: each strip or tile is a picture of its own.
PICTURE_CODECS = frozenset({7, 33003, 33005, 34712, 50001})
BANDS_AS_THEY_ARE = ("L", "LA", "RGBA", "RGBX", "CMYK")
TOO_MUCH = "its strips unfold to more than the image has room for: a decompression bomb?"


@dataclass(frozen=True)
class StackFile:
    """A file of a stack: what kind of file, its samples, uint8 or uint16 [H, W, c], and its name in errors.

    `num_points` are the points of a cloud, and those of them that are left out.
    """

    format: str
    values: np.ndarray
    where: object = ""
    num_points: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Reading:
    """The limits that every file is checked against: its name in errors, the most pixels, the names of all channels.

    `members` are the names in errors of the files of a zip, where those in the zip itself say nothing to people.
    """

    where: object
    max_pixels: int | None
    channels: Sequence[str]
    members: Sequence[str] = ()

    def of_member(self, number: int, filename: str) -> Reading:
        """The same limits for a file of a zip, under its own name."""
        name = self.members[number] if number < len(self.members) else f"{self.where} ({filename})"
        return replace(self, where=name)

    def refuse_channels(self, found: int, parts: Sequence[str] = ()) -> NoReturn:
        """Refuses a file with another number of channels, of which `parts` says how many are of which file."""
        listed = f" ({', '.join(parts)})" if len(parts) > 1 else ""
        raise GraftError(
            f"it has {counted(found, 'channel')}{listed}, not the {len(self.channels)} of {', '.join(self.channels)}",
            where=self.where,
        )

    def check_array(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        """Refuses by the header what must not be read."""
        if dtype.hasobject:
            raise GraftError("it holds pickled Python objects, which are never opened", where=self.where)
        if dtype.newbyteorder("=") not in (np.uint8, np.uint16):
            raise GraftError(
                f"samples are {dtype}; only uint8 and uint16 have an agreed range",
                where=self.where,
                remedy="save it with 8 or 16 bits",
            )
        if len(shape) not in (2, 3) or not all(shape):
            raise GraftError(f"an array of shape {list(shape)} is no image with channels", where=self.where)
        height, width = (shape[1], shape[2]) if _channels_come_first(shape) else (shape[0], shape[1])
        check_size((width, height), self.where, self.max_pixels)
        num_channels = min(shape[0], shape[2]) if len(shape) == 3 else 1
        if num_channels > len(self.channels):  # a header alone could ask for all the memory
            self.refuse_channels(num_channels)


def _channels_come_first(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[0] < shape[2]


def _channels_last(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        return values[..., None]
    return np.moveaxis(values, 0, 2) if _channels_come_first(values.shape) else values


def read_part(data: bytes, reading: Reading) -> StackFile:
    """One file, judged and read.

    Raises:
        GraftError: It is none of the kinds a stack may consist of, is damaged, or too large.
    """
    with explain_damage(reading.where):
        if data.startswith(NPY_MAGIC):
            values = read_npy(io.BytesIO(data), reading.check_array)
            return StackFile("NPY", _channels_last(values), reading.where)
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return StackFile("TIFF", _of_tiff(data, reading), reading.where)
        return _of_picture(data, reading)


def read_zip(data: bytes, reading: Reading) -> Iterator[StackFile]:
    """The files of an archive, in its order; errors as those of `read_part`."""
    with explain_damage(reading.where), zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > len(reading.channels):
            names = ", ".join(member.filename for member in members[:4])
            raise GraftError(f"{len(members)} files in one stack of {len(reading.channels)} channels: {names}, …")
        points, size = PointFiles(), (0, 0)
        for number, member in enumerate(members):
            own = reading.of_member(number, member.filename)
            if points.takes(member.filename):
                if found := points.add(member.filename, _bytes_of(archive, member, own.where), own.where, size):
                    yield StackFile("BIN", found.depth, found.where, (found.num_points, found.num_left_out))
                    yield StackFile("BIN", found.others, found.where)
                continue
            if member.filename.endswith(".npy"):
                with explain_damage(own.where), archive.open(member) as file:
                    values = read_npy(file, own.check_array)
                part = StackFile("NPZ", _channels_last(values), own.where)
            else:
                part = read_part(_bytes_of(archive, member, own.where), own)
            size = (part.values.shape[0], part.values.shape[1])
            yield part
        points.check_complete()


def _bytes_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: object) -> bytes:
    if member.file_size > MOST_PART_BYTES:
        raise GraftError(f"more than {MOST_PART_BYTES:,} bytes", where=where)
    return archive.read(member)


def _of_tiff(data: bytes, reading: Reading) -> np.ndarray:
    """The first series of a TIFF: by tifffile (with imagecodecs), or by Pillow what only Pillow unfolds."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series, page = file.series[0], file.pages.first
        reading.check_array(series.shape, np.dtype(series.dtype))
        if page.compression not in {PLAIN} | BYTE_CODECS | PICTURE_CODECS:
            return _of_other_tiff(data, np.dtype(series.dtype), page, reading)
        _check_places(series, len(data))
        if page.compression != PLAIN and reading.max_pixels is not None:
            for frame in series.pages:
                _check_unfolding(frame, data, reading)
        return _channels_last(series.asarray())


def _of_other_tiff(data: bytes, dtype: np.dtype[Any], page: Any, reading: Reading) -> np.ndarray:
    if dtype != np.uint8:
        raise GraftError(
            f"its compression ({getattr(page.compression, 'name', page.compression)}) cannot be read",
            remedy="save it with deflate: gdal_translate -co COMPRESS=DEFLATE",
        )
    values = _of_picture(data, reading).values
    return 255 - values if page.photometric == WHITE_IS_ZERO else values  # which Pillow inverts


def _check_places(series: Any, num_bytes: int) -> None:
    """Refuses strips and tiles that lie beyond the file (tifffile fills them with zeros), or are larger than it says.

    A strip or tile at place zero was never written, which GDAL allows.
    """
    for page in series.pages:
        places = zip(page.dataoffsets, page.databytecounts, strict=True)
        if any(offset + count > num_bytes or (offset and not count) for offset, count in places):
            raise GraftError("the stack is damaged or cut off (strips lie beyond its end)")
        if math.prod(page.chunks) * page.dtype.itemsize > max(
            math.prod(page.shape) * page.dtype.itemsize, MOST_PART_BYTES
        ):
            raise GraftError("its tiles are many times larger than the image: a decompression bomb?")


def _check_unfolding(page: Any, data: bytes, reading: Reading) -> None:
    """Refuses strips and tiles that unfold to more or less than the image has room for, before the image is made."""
    for number, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        segment = data[offset : offset + count]
        if segment and page.compression in PICTURE_CODECS:
            check_picture_segment(page, segment, reading.where)
        elif segment:
            _check_byte_segment(page, segment, number)


def check_picture_segment(page: Any, segment: bytes, where: object) -> None:
    """Compares the header of a strip or tile that is a picture with the size that it is to have; others pass.

    Raises:
        GraftError: It would unfold to more than there is room for.
    """
    if page.compression not in PICTURE_CODECS:
        return
    with open_image(segment, where=where) as picture:
        num_samples = math.prod(picture.size) * len(picture.getbands())
    if num_samples > math.prod(page.chunks):
        raise GraftError(TOO_MUCH)


def _check_byte_segment(page: Any, segment: bytes, number: int) -> None:
    """Unfolds a strip into room for one byte too many."""
    from tifffile import TIFF

    _, _, shape = page.keyframe.decode(None, number)
    room = math.prod(shape) * page.dtype.itemsize
    try:
        num_bytes = len(TIFF.DECOMPRESSORS[page.compression](segment, out=room + 1))
    except RuntimeError as error:  # codecs do not say which of the two it is
        raise GraftError(f"{TOO_MUCH} Or they are damaged ({error})") from None
    if num_bytes > room:
        raise GraftError(TOO_MUCH)
    if num_bytes < room:
        raise GraftError("the stack is damaged or cut off (strips unfold to less than the image needs)")


def _of_picture(data: bytes, reading: Reading) -> StackFile:
    with open_image(data, where=reading.where, max_pixels=reading.max_pixels) as image:
        if image.format == "PNG" and data[24] == 16 and image.mode in ("RGB", "RGBA"):  # Pillow would halve the bits
            image.load()  # says what is damaged, where OpenCV would leave it black
            values: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            return StackFile("PNG", values[..., [2, 1, 0, 3][: values.shape[2]]], reading.where)
        wide = image.mode.startswith("I")
        upright = ImageOps.exif_transpose(image if wide or image.mode in BANDS_AS_THEY_ARE else convert_to_rgb(image))
        values, format = np.asarray(upright), image.format or ""
    values = values.astype(np.uint16) if wide else values
    return StackFile(format, values[..., None] if values.ndim == 2 else values, reading.where)


@contextmanager
def explain_damage(where: object) -> Iterator[None]:
    """Turns whatever the readers raise about a broken file into a `GraftError` that says where."""
    try:
        yield
    except GraftError as error:
        raise error.at(error.where or where) from None
    except MemoryError:
        raise GraftError("too large to decode in memory", where=where) from None
    except Exception as error:  # tifffile, zipfile and numpy raise ValueError, struct.error, zlib.error, KeyError…
        raise GraftError(f"the stack is damaged or cut off ({error})", where=where) from None

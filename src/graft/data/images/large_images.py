"""Large images by windows: each looks as the whole image would, and says which of its pixels have no data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from graft.data.images.codec import convert_to_rgb
from graft.data.images.stack_files import Reading, StackFile
from graft.data.images.stacks import ImageKind, join_parts
from graft.data.images.tiff_headers import CIELAB, CMYK, MINISWHITE, TILED_DEFLATE, YCBCR, TiffHeader
from graft.data.images.tiff_windows import TiffWindows
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

NUM_COLOURS = {2: 3, YCBCR: 3}  # by PhotometricInterpretation; all others that are read have one


class LargeImage:
    """An image on disk that is indexed as an array is: `image[top:bottom, left:right]` is uint8 [h, w, C].

    Attributes:
        windows: File that the windows are read from.
        header: Its tags; every band of a stack is a measured channel, so that none of them is transparency.
        shape: Rows, columns and channels.
    """

    def __init__(
        self, path: Path, kind: ImageKind, *, where: object = None, max_pixels: int | None = None, num_parts: int = 1
    ) -> None:
        """Opens a TIFF; no pixel is read.

        Args:
            path: File of the image.
            kind: Channels that the image is to have.
            where: Name of the file in errors.
            max_pixels: Number of pixels that one tile or strip of the file may have.
            num_parts: Number of files that make the image together; a part may have fewer channels than `kind`.

        Raises:
            GraftError: It cannot be read by windows, or has other channels.
        """
        self.windows = TiffWindows(path, where=where, max_pixels=max_pixels, num_parts=num_parts)
        self._kind = kind
        is_picture = kind.max_value is None
        self.header = self.windows.header if is_picture else replace(self.windows.header, alpha=None)
        height, width, num_bands = self.windows.shape
        try:
            if is_picture:
                _check_picture(self.windows)
            else:
                _check_stack(self.windows, kind, num_parts)
        except GraftError:
            self.windows.close()
            raise
        self.shape = (height, width, 3 if is_picture else num_bands)

    def close(self) -> None:
        self.windows.close()

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        return self.look(self.windows.read(*self._window(place)))

    def look(self, stored: np.ndarray) -> np.ndarray:
        """Stored samples [h, w, bands] as the image that a model gets: uint8 [h, w, C]."""
        if self._kind.max_value is None:
            return _as_rgb(stored, self.header)
        return join_parts([StackFile("TIFF", stored)], self._kind)

    def lacks_data(self, place: tuple[slice, slice]) -> np.ndarray | None:
        """Whether pixels of a window have no data: bool [h, w]; None where the file marks none.

        Those are pixels whose bands all have the nodata value, that are wholly transparent (of pictures), or that the
        mask within the file or beside it leaves out.
        """
        window, header = self._window(place), self.header
        marked = header.nodata is not None or header.alpha is not None
        lacks = find_gaps(self.windows.read(*window), header) if marked else None
        inside = self.windows.read_mask_of_data(*window)
        if inside is None:
            return lacks
        return ~inside if lacks is None else lacks | ~inside

    def _window(self, place: tuple[slice, slice]) -> tuple[int, int, int, int]:
        (top, bottom, _), (left, right, _) = (
            part.indices(side) for part, side in zip(place, self.shape[:2], strict=True)
        )
        return top, left, bottom - top, right - left


def find_gaps(stored: np.ndarray, header: TiffHeader) -> np.ndarray:
    """Whether stored samples [h, w, bands] have no data by nodata value or transparency: bool [h, w]."""
    gaps = np.zeros(stored.shape[:2], bool)
    if header.nodata is not None:
        colours = stored if header.alpha is None else np.delete(stored, header.alpha, axis=2)
        gaps |= (colours == header.nodata).all(axis=2)
    if header.alpha is not None:
        gaps |= stored[..., header.alpha] == 0
    return gaps


def read_values(stored: np.ndarray, header: TiffHeader, *, as_colours: bool) -> np.ndarray:
    """Stored samples of a mask as its values: integers [h, w], or RGB uint8 [h, w, 3].

    One bit is spread over 0 and 255, as in masks that are read whole. Transparency is left out.

    Args:
        stored: Samples [h, w, bands].
        header: Tags of the file.
        as_colours: Whether palettes are looked up.
    """
    if header.alpha is not None:
        stored = np.delete(stored, header.alpha, axis=2)
    if stored.dtype == bool:
        stored = stored * np.uint8(255)
    if stored.shape[2] == 3:
        return np.ascontiguousarray(stored)
    values = stored[..., 0]
    if as_colours and header.palette is not None:
        return header.palette[values]
    return np.ascontiguousarray(values)


def check_mask(windows: TiffWindows) -> None:
    """Refuses a TIFF that cannot hold class ids.

    Raises:
        GraftError: Its compression changes values, it has bands that mean nothing, or colours of more than 8 bits.
    """
    header, bands = windows.header, windows.shape[2] - (windows.header.alpha is not None)
    if header.is_lossy:
        raise GraftError("its compression changes values", where=windows.where, remedy=f"save it anew: {TILED_DEFLATE}")
    if bands not in (1, 3) or header.photometric in (CMYK, CIELAB, YCBCR) or windows.dtype == np.uint32:
        raise GraftError(
            f"{counted(bands, 'band')} of {windows.dtype} {'is' if bands == 1 else 'are'} no mask",
            where=windows.where,
            rule="a mask has one band, or red, green and blue",
        )
    if bands == 3 and windows.dtype != np.uint8:
        rule = "a mask of more than 8 bits has one band, grey"
        raise GraftError(f"{header.bits} bits a sample in 3 bands", where=windows.where, rule=rule)


def _as_rgb(stored: np.ndarray, header: TiffHeader) -> np.ndarray:
    """Stored samples as `decode_image` would show them: uint8 [h, w, 3]."""
    if stored.dtype == bool:
        stored = stored * np.uint8(255)
    if header.palette is not None:
        return header.palette[np.minimum(stored[..., 0], len(header.palette) - 1)]
    if stored.dtype == np.uint16:
        stored = (stored >> 8).astype(np.uint8)
    if header.photometric == MINISWHITE:
        inverted = 255 - stored
        stored = inverted if header.alpha is None else np.dstack([inverted[..., :1], stored[..., 1:]])
    if header.alpha is None:
        return stored if stored.shape[2] == 3 else np.repeat(stored, 3, axis=2)
    layer = np.ascontiguousarray(stored if stored.shape[2] == 4 else stored[..., [0, 0, 0, 1]])
    as_stored = "RGBa" if header.is_premultiplied else "RGBA"
    return np.array(convert_to_rgb(Image.frombytes("RGBA", layer.shape[1::-1], layer.tobytes(), "raw", as_stored)))


def _check_picture(windows: TiffWindows) -> None:
    header, where = windows.header, windows.where
    _check_samples(windows, (np.uint8, np.uint16, bool))
    if header.photometric in (CMYK, CIELAB) or (header.photometric == YCBCR and not header.is_lossy):
        kind = {CMYK: "inks (CMYK)", CIELAB: "CIE Lab", YCBCR: "YCbCr"}[header.photometric]
        raise GraftError(f"its colours are {kind}", where=where, remedy="save it as grey or RGB")
    if len(header.pages) > 1:
        raise GraftError(
            f"it has {len(header.pages)} pages of one size, and a picture has one",
            where=where,
            remedy="if each is a band, take ingest.source stacks; if each is a frame, save the one that counts",
        )
    wanted = NUM_COLOURS.get(header.photometric, 1) + (header.alpha is not None)
    if windows.shape[2] != wanted:
        raise GraftError(
            f"it has {counted(windows.shape[2], 'band')}, of which a picture would show {wanted}",
            where=where,
            remedy="take ingest.source stacks, which reads any bands by name, or gdal_translate -b 1 -b 2 -b 3",
        )


def _check_stack(windows: TiffWindows, kind: ImageKind, num_parts: int) -> None:
    _check_samples(windows, (np.uint8, np.uint16))
    num_bands = windows.shape[2]
    if num_bands != len(kind.channels) and (num_parts == 1 or num_bands > len(kind.channels)):
        Reading(windows.where, None, kind.channels).refuse_channels(num_bands)


def _check_samples(windows: TiffWindows, known: tuple[type, ...]) -> None:
    if windows.dtype not in known:
        raise GraftError(
            f"samples are {windows.dtype}; only uint8 and uint16 have an agreed range",
            where=windows.where,
            remedy="save it with 8 or 16 bits",
        )

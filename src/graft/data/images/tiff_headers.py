"""Headers of TIFF files that are read by windows: the pages of highest resolution, their samples, what has no data."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.data.images.headers import ORIENTATION_TAG, TIFF_BEGINS
from graft.data.images.stack_files import BYTE_CODECS, PICTURE_CODECS, PLAIN
from graft.foundation.errors import GraftError

NODATA_TAG, PALETTE_TAG = 42113, 320
INTERNAL_MASK = 4  # a bit of NewSubfileType
NO_PREDICTOR = 1
MINISWHITE, PALETTE, CMYK, YCBCR, CIELAB = 0, 3, 5, 6, 8
# Not JPEG XL and LERC: how much a tile of these unfolds to cannot be told before.
WINDOWED_CODECS = BYTE_CODECS | PICTURE_CODECS
LOSSY_CODECS = frozenset({7, 33003, 33005})
TILED_DEFLATE = "gdal_translate -co TILED=YES -co COMPRESS=DEFLATE"
ASSOCIATED, UNASSOCIATED = 1, 2  # kinds of ExtraSamples: colours are multiplied by their alpha, or are not


@dataclass(frozen=True)
class TiffHeader:
    """The image of highest resolution in a TIFF.

    Attributes:
        pages: Its page; several where each band, or each frame, has a page of its own.
        mask: Page of the mask, within the file or in GDAL's `.msk` beside it, that says which pixels have data.
        nodata: Value of pixels without data, where it is one that the samples can have.
        alpha: Number of the band that is transparency, if there is one.
        palette: Colours of the indices, uint8 [n, 3], where samples are indices.
    """

    pages: tuple[Any, ...]
    mask: Any
    nodata: int | None
    alpha: int | None
    palette: np.ndarray | None

    @property
    def photometric(self) -> int:
        return int(self.pages[0].photometric)

    @property
    def bits(self) -> int:
        return int(self.pages[0].bitspersample)

    @property
    def is_premultiplied(self) -> bool:
        """Whether colours are stored multiplied by their transparency."""
        page = self.pages[0]
        return self.alpha is not None and page.extrasamples[self.alpha - page.samplesperpixel] == ASSOCIATED

    @property
    def marks_gaps(self) -> bool:
        """Whether the file can say of a pixel that it has no data."""
        return self.nodata is not None or self.alpha is not None or self.mask is not None

    @property
    def is_lossy(self) -> bool:
        """Whether its compression changes values."""
        return self.pages[0].compression in LOSSY_CODECS


def is_tiff(data: bytes) -> bool:
    """Whether a file that begins with `data` is a TIFF or BigTIFF."""
    return data[:4] in TIFF_BEGINS


def read_header(file: Any, where: object) -> TiffHeader:
    """Judges an opened file of tifffile.

    Raises:
        GraftError: Named is what cannot be read by windows.
    """
    pages = tuple(page.aspage() for page in file.series[0].levels[0].pages)
    first = pages[0]
    for page in pages:
        _check_page(page, first, where)
    palette = first.tags.get(PALETTE_TAG)
    return TiffHeader(
        pages=pages,
        mask=_internal_mask(file, first),
        nodata=_nodata(first.tags[NODATA_TAG].value, first) if NODATA_TAG in first.tags else None,
        alpha=next((first.samplesperpixel - len(first.extrasamples) + number
                    for number, kind in enumerate(first.extrasamples) if kind in (ASSOCIATED, UNASSOCIATED)), None),
        palette=None if palette is None or first.photometric != PALETTE
        else (np.asarray(palette.value, np.uint16).reshape(3, -1).T >> 8).astype(np.uint8),
    )  # fmt: skip


def check_codec(page: Any) -> None:
    """Refuses a page, of an image or a mask, whose tiles or strips cannot be unfolded within bounds.

    Raises:
        GraftError: Its compression is another.
    """
    if page.compression not in WINDOWED_CODECS | {PLAIN}:
        raise GraftError(
            f"its compression ({getattr(page.compression, 'name', page.compression)}) cannot be read by windows",
            remedy=f"save it with deflate: {TILED_DEFLATE}",
        )


def _check_page(page: Any, first: Any, where: object) -> None:
    if (page.imagelength, page.imagewidth, page.dtype) != (first.imagelength, first.imagewidth, first.dtype):
        raise GraftError("its pages are of different sizes or types", where=where)
    if page.dtype is None or page.dtype.kind not in "bui" or page.bitspersample not in (1, 8, 16, 32):
        kind = page.dtype if page.bitspersample in (8, 16, 32, 64) else f"{page.bitspersample} bits"
        raise GraftError(
            f"samples are {kind}; only uint8 and uint16 have an agreed range",
            where=where,
            remedy="save it with 8 or 16 bits",
        )
    orientation = page.tags.get(ORIENTATION_TAG)
    if orientation is not None and orientation.value != 1:
        raise GraftError(
            f"it is turned by its orientation ({int(orientation.value)}), and windows are read as they are stored",
            where=where,
            remedy=f"save it upright: {TILED_DEFLATE}",
        )


def add_from_beside(header: TiffHeader, path: Path, opened: ExitStack) -> TiffHeader:
    """The header with the mask and the nodata value that GDAL put into files beside the image: `.msk`, `.aux.xml`.

    Args:
        header: Header of the image.
        path: File of the image.
        opened: Takes the file of the mask, which has to stay open.

    Raises:
        GraftError: The mask has another size.
    """
    first = header.pages[0]
    mask, about = mask_beside(path), path.with_name(f"{path.name}.aux.xml")
    if header.mask is None and mask.is_file():
        header = replace(header, mask=_page_of_mask(mask, first, opened))
    if NODATA_TAG not in first.tags and about.is_file():
        found = re.search(rb"<NoDataValue[^>]*>([^<]*)<", about.read_bytes())
        header = replace(header, nodata=_nodata(found[1].decode("ascii", "replace"), first) if found else None)
    return header


def mask_beside(path: Path) -> Path:
    """Place where GDAL puts the mask of an image that is not within it."""
    return path.with_name(f"{path.name}.msk")


def _page_of_mask(path: Path, first: Any, opened: ExitStack) -> Any:
    import tifffile

    page = opened.enter_context(tifffile.TiffFile(path)).pages.first
    if (page.imagelength, page.imagewidth) != (first.imagelength, first.imagewidth):
        raise GraftError(
            f"it has {page.imagewidth} x {page.imagelength} pixels, and its image {first.imagewidth} x "
            f"{first.imagelength}",
            where=path,
            rule="a mask beside an image says of each pixel whether it has data",
            remedy="remove it, or save it in the size of the image",
        )
    return page


def _nodata(text: object, page: Any) -> int | None:
    """A value of GDAL, where samples of this type can have it."""
    try:
        value = float(str(text).strip().rstrip("\0"))
    except ValueError:
        return None
    if page.dtype.kind not in "ui" or not value.is_integer():
        return None
    limits = np.iinfo(page.dtype)
    return int(value) if limits.min <= value <= limits.max else None


def _internal_mask(file: Any, first: Any) -> Any:
    size = (first.imagelength, first.imagewidth)
    found = (page.aspage() for page in file.pages)
    return next((page for page in found if page.subfiletype & INTERNAL_MASK
                 and (page.imagelength, page.imagewidth) == size), None)  # fmt: skip

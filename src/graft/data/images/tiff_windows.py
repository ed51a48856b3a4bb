"""Windows of a TIFF: tiles or strips, BigTIFF, pyramids, Cloud-optimised GeoTIFF; only what a window touches is read.

tifffile reads headers and unfolds chunks; which chunks, and what must not be unfolded, is decided here.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.data.images.stack_files import PLAIN, check_picture_segment, explain_damage
from graft.data.images.tiff_headers import NO_PREDICTOR, TiffHeader, add_from_beside, check_codec, read_header
from graft.foundation.errors import GraftError
from graft.foundation.progress import warn

# Unfolded chunks that neighbouring windows share are kept up to this size, whatever the size of the image; of an image
# that consists of several files, up to this size together.
CACHE_BYTES = 48_000_000


@dataclass(frozen=True)
class ChunkGrid:
    """The chunks, tiles or strips, of one page: where each lies in the image and in the file.

    Attributes:
        page: Page of tifffile.
        size: Rows and columns of a chunk.
        num_across: Number of chunks side by side.
        num_planes: Number of bands that are stored apart; 1 where the bands of a pixel lie together.
        num_down: Number of chunks one below another.
    """

    page: Any
    size: tuple[int, int]
    num_down: int
    num_across: int
    num_planes: int

    @classmethod
    def of(cls, page: Any) -> ChunkGrid:
        """Reads the layout from the tags of a page."""
        height, width = page.imagelength, page.imagewidth
        size = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip or height, height), width)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        return cls(page, size, math.ceil(height / size[0]), math.ceil(width / size[1]), planes)

    @property
    def bands_a_chunk(self) -> int:
        return 1 if self.num_planes > 1 else int(self.page.samplesperpixel)

    @property
    def chunk_bytes(self) -> int:
        return self.size[0] * self.size[1] * self.bands_a_chunk * self.page.dtype.itemsize

    def touched(self, top: int, left: int, height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
        """Yields plane, number, first row and first column of every chunk that a window touches."""
        rows, columns = self.size
        for plane in range(self.num_planes):
            for down in range(top // rows, (top + height - 1) // rows + 1):
                for across in range(left // columns, (left + width - 1) // columns + 1):
                    number = (plane * self.num_down + down) * self.num_across + across
                    yield plane, number, down * rows, across * columns


class TiffWindows:
    """The highest resolution of a TIFF, opened; samples are given as they are stored.

    Attributes:
        header: Tags of the file.
        shape: Rows, columns and bands.
        dtype: Type of the samples in the byte order of this machine.
        close: Function that closes the file.
    """

    def __init__(self, path: Path, *, where: object = None, max_pixels: int | None = None, num_parts: int = 1) -> None:
        """Opens a file and judges it by its header; no pixel is read.

        Args:
            path: File to open.
            where: Name of the file in errors.
            max_pixels: Number of pixels that a tile or strip may have, since it is unfolded as a whole; None sets no
                limit.
            num_parts: Number of files that make the image together.

        Raises:
            GraftError: Named are samples, compressions and layouts that cannot be read by windows, and files cut off.
        """
        import tifffile

        self.where = path if where is None else where
        with explain_damage(self.where), ExitStack() as opened:
            file = opened.enter_context(tifffile.TiffFile(path))
            self.header: TiffHeader = add_from_beside(read_header(file, self.where), path, opened)
            self._grids = [ChunkGrid.of(page) for page in self.header.pages]
            self._mask = ChunkGrid.of(self.header.mask) if self.header.mask is not None else None
            for grid in [*self._grids, *([self._mask] if self._mask else [])]:
                check_codec(grid.page)
                _check_places(grid)
                _check_chunks(grid, max_pixels)
            self.close = weakref.finalize(self, opened.pop_all().close)  # at the latest when nobody holds it any more
        page = self.header.pages[0]
        num_bands = sum(int(each.samplesperpixel) for each in self.header.pages)
        self.shape = (int(page.imagelength), int(page.imagewidth), num_bands)
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        self._kept: OrderedDict[tuple[int, int], np.ndarray | None] = OrderedDict()
        self._kept_bytes, self._most_bytes = 0, CACHE_BYTES // num_parts

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """The samples of a window that lies within the image: [height, width, bands].

        Tiles that were never written, which GDAL allows, hold the nodata value, or 0 where there is none.

        Raises:
            GraftError: A tile or strip is damaged.
        """
        with explain_damage(self.where):
            parts = [self._window(grid, top, left, height, width, self.header.nodata or 0) for grid in self._grids]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def read_mask_of_data(self, top: int, left: int, height: int, width: int) -> np.ndarray | None:
        """Whether the mask within the file, or beside it, says of each pixel that it has data: bool [height, width]."""
        if self._mask is None:
            return None
        with explain_damage(self.where):
            return np.asarray(self._window(self._mask, top, left, height, width, 0)[..., 0] != 0)

    def warn_of_large_strips(self, rows: int) -> None:
        """Says that windows of so many rows will be slow, where the strips that they share do not fit into the cache.

        Strips are as wide as the image: each window beside another unfolds them anew.
        """
        grid = self._grids[0]
        if grid.page.is_tiled or _is_plain(grid.page):
            return
        touched = (math.ceil(rows / grid.size[0]) + 1) * grid.chunk_bytes * grid.num_planes
        if touched > self._most_bytes:
            warn(
                f"{self.where}: its strips are {grid.size[0]} x {grid.size[1]} pixels, and every window of {rows} rows "
                f"unfolds {touched / 1e6:,.0f} MB of them; a tiled file is read many times faster: gdal_translate -co "
                "TILED=YES -co COMPRESS=DEFLATE"
            )

    def _window(self, grid: ChunkGrid, top: int, left: int, height: int, width: int, fill: int) -> np.ndarray:
        bands = grid.bands_a_chunk
        window = np.full((height, width, bands * grid.num_planes), fill, grid.page.dtype.newbyteorder("="))
        for plane, number, first_row, first_column in grid.touched(top, left, height, width):
            rows = slice(max(top, first_row), min(top + height, first_row + grid.size[0]))
            columns = slice(max(left, first_column), min(left + width, first_column + grid.size[1]))
            here = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            target = window[here][..., plane * bands : (plane + 1) * bands]
            if not grid.page.is_tiled and _is_plain(grid.page):
                self._copy_rows(grid, number, slice(rows.start - first_row, rows.stop - first_row), columns, target)
            elif (chunk := self._chunk(grid, number)) is not None:
                target[:] = chunk[rows.start - first_row : rows.stop - first_row,
                                  columns.start - first_column : columns.stop - first_column]  # fmt: skip
        return window

    def _copy_rows(self, grid: ChunkGrid, number: int, rows: slice, columns: slice, target: np.ndarray) -> None:
        """Copies a part of an uncompressed strip, of which nothing else is read."""
        page, bands = grid.page, grid.bands_a_chunk
        if not page.databytecounts[number]:
            return
        pixel = bands * page.dtype.itemsize
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        for place, row in enumerate(range(rows.start, rows.stop)):
            offset = page.dataoffsets[number] + (row * grid.size[1] + columns.start) * pixel
            data = os.pread(page.parent.filehandle.fileno(), (columns.stop - columns.start) * pixel, offset)
            target[place] = np.frombuffer(data, dtype).reshape(-1, bands)

    def _chunk(self, grid: ChunkGrid, number: int) -> np.ndarray | None:
        """A tile or strip, unfolded: [rows, columns, bands]; None where it was never written."""
        key = (id(grid), number)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        chunk = self._unfold(grid, number)
        self._kept[key] = chunk
        self._kept_bytes += 0 if chunk is None else chunk.nbytes
        while self._kept_bytes > self._most_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= 0 if oldest is None else oldest.nbytes
        return chunk

    def _unfold(self, grid: ChunkGrid, number: int) -> np.ndarray | None:
        page = grid.page
        offset, count = page.dataoffsets[number], page.databytecounts[number]
        if not count:
            return None
        data = os.pread(page.parent.filehandle.fileno(), count, offset)
        check_picture_segment(page, data, self.where)
        chunk, _, _ = page.decode(data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
        return None if chunk is None else np.asarray(chunk[0])


def _check_places(grid: ChunkGrid) -> None:
    """Refuses tiles and strips that lie beyond the end of the file, and tables of them that are too short."""
    offsets, counts = (np.asarray(each) for each in (grid.page.dataoffsets, grid.page.databytecounts))
    wanted = grid.num_down * grid.num_across * grid.num_planes
    end = grid.page.parent.filehandle.size
    beyond = int(((offsets + counts) > end).sum()) if len(offsets) == len(counts) else wanted
    if min(len(offsets), len(counts)) < wanted or beyond:
        raise GraftError(
            f"the image is damaged or cut off ({beyond or wanted - len(offsets)} of its {wanted} tiles or strips "
            "lie beyond its end)"
        )


def _check_chunks(grid: ChunkGrid, max_pixels: int | None) -> None:
    """Refuses chunks that are too large to be unfolded; of an uncompressed strip only what is asked for is read."""
    rows, columns = grid.size
    if max_pixels is None or rows * columns <= max_pixels or (not grid.page.is_tiled and _is_plain(grid.page)):
        return
    kind = "tiles" if grid.page.is_tiled else "strips"
    raise GraftError(
        f"its compressed {kind} of {columns} x {rows} pixels are unfolded whole "
        f"({grid.chunk_bytes / 1e6:,.0f} MB), and {max_pixels:,} pixels are allowed at once",
        rule="a tile or strip is decoded whole, within ingest.max_pixels, and within 100,000,000 pixels in predict",
        remedy="save it in tiles: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE",
    )


def _is_plain(page: Any) -> bool:
    """Whether samples lie in the file as they are in memory, but for the order of bytes."""
    return page.compression == PLAIN and page.predictor == NO_PREDICTOR and page.bitspersample in (8, 16, 32)

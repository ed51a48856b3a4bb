"""A TIFF written block by block, beside the work that makes them: tiled, deflated, BigTIFF where it is large."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue
from typing import Any, Self

import numpy as np

TILE_PX = 512
LEVEL = 1  # of deflate: of class ids half a per cent larger than at 6
# What classic TIFF can address, less what its own tables may take.
MOST_CLASSIC_BYTES = 2**32 - 2**26
Tag = tuple[int, int, int, Any, bool]  # code, type, number and values, as tifffile takes them


class TileWriter:
    """Takes the blocks of an image, row by row of them; a thread of its own compresses and writes tiles.

    A tile is compressed as soon as all its pixels are there, so that of the image only tiles that are begun are in
    memory. Leaving the `with` block by an error ends the thread; the file is then of no use, and the caller's to
    remove. What goes wrong in the thread is raised by `add`, or at the end.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], tags: Sequence[Tag] = ()) -> None:
        """Prepares to write an image.

        Args:
            path: File to write.
            shape: [H, W], or [H, W, 3] for RGB.
            dtype: Type of the samples.
            tags: Further tags of the file.
        """
        self._path, self._shape, self._dtype, self._tags = path, shape, dtype, tags
        self._blocks: Queue[tuple[int, int, np.ndarray] | None] = Queue(maxsize=2)
        self._begun: dict[tuple[int, int], tuple[np.ndarray, int]] = {}
        self._finished: dict[tuple[int, int], bytes] = {}
        self._error: BaseException | None = None
        self._has_ended = False
        self._thread = threading.Thread(target=self._work, name=f"write {path.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def add(self, top: int, left: int, block: np.ndarray) -> None:
        """Takes the block [h, w] or [h, w, 3] at a place; it must not change afterwards.

        Raises:
            OSError: The file cannot be written.
        """
        if self._error is not None:
            raise self._error
        self._blocks.put((top, left, block))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._blocks.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            self._write()
        except BaseException as error:
            self._error = error
            while not self._has_ended and self._blocks.get() is not None:  # or whoever adds would wait for ever
                pass

    def _write(self) -> None:
        import tifffile

        num_bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        with tifffile.TiffWriter(self._path, byteorder="<", bigtiff=num_bytes > MOST_CLASSIC_BYTES) as file:
            file.write(
                self._tiles(),
                shape=self._shape,
                dtype=self._dtype,
                photometric="rgb" if len(self._shape) == 3 else "minisblack",
                tile=(TILE_PX, TILE_PX),
                compression="zlib",  # the number of deflate that all readers know
                extratags=self._tags,
                metadata=None,
                software=False,
            )

    def _tiles(self) -> Iterator[bytes]:
        """Yields every tile, compressed, in the order of the file."""
        height, width = self._shape[:2]
        for row in range(-(-height // TILE_PX)):
            for column in range(-(-width // TILE_PX)):
                while (row, column) not in self._finished:
                    self._take_block()
                yield self._finished.pop((row, column))

    def _take_block(self) -> None:
        """Copies a block into the tiles that it touches, and compresses those that are complete."""
        import imagecodecs

        if (taken := self._blocks.get()) is None:
            self._has_ended = True
            raise InterruptedError("the image was not finished")
        top, left, block = taken
        bottom, right = top + block.shape[0], left + block.shape[1]
        for row in range(top // TILE_PX, -(-bottom // TILE_PX)):
            for column in range(left // TILE_PX, -(-right // TILE_PX)):
                tile, num_filled = self._begun.pop((row, column), (self._empty_tile(), 0))
                first_row, first_column = row * TILE_PX, column * TILE_PX
                rows = slice(max(top, first_row), min(bottom, first_row + TILE_PX))
                columns = slice(max(left, first_column), min(right, first_column + TILE_PX))
                tile[_shifted(rows, columns, first_row, first_column)] = block[_shifted(rows, columns, top, left)]
                num_filled += (rows.stop - rows.start) * (columns.stop - columns.start)
                if num_filled == self._num_pixels(row, column):
                    self._finished[row, column] = bytes(imagecodecs.zlib_encode(tile.tobytes(), level=LEVEL))
                else:
                    self._begun[row, column] = tile, num_filled

    def _empty_tile(self) -> np.ndarray:
        return np.zeros((TILE_PX, TILE_PX, *self._shape[2:]), self._dtype.newbyteorder("<"))

    def _num_pixels(self, row: int, column: int) -> int:
        """Number of pixels of a tile that lie within the image."""
        height, width = self._shape[:2]
        return min(TILE_PX, height - row * TILE_PX) * min(TILE_PX, width - column * TILE_PX)


def _shifted(rows: slice, columns: slice, top: int, left: int) -> tuple[slice, slice]:
    """Rows and columns counted from another place."""
    return slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)

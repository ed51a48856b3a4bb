"""An image too large for one forward pass: overlapping tiles whose logits are cross-faded, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Protocol, Self

import numpy as np

MOST_STRIP_BYTES = 16_000_000


class TilingRule(Protocol):
    """When and how an image is cut into tiles; the section `predict` of `params.yaml` is one."""

    @property
    def max_pixels(self) -> int: ...

    @property
    def overlap_px(self) -> int: ...


class Indexed(Protocol):
    """An image that need not be in memory: indexed by two slices as an array is, it gives uint8 [h, w, C]."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, place: tuple[slice, slice], /) -> np.ndarray: ...


@dataclass(frozen=True)
class Tiling:
    """A rule by itself, as an exported folder stores it.

    Attributes:
        max_pixels: Number of pixels that one forward pass takes at most.
        overlap_px: Number of rows or columns that neighbouring tiles share at least.
    """

    max_pixels: int
    overlap_px: int


@dataclass(frozen=True)
class Block:
    """Finished logits [K, h, w] of a part of an image, with the place of its upper left corner."""

    top: int
    left: int
    logits: np.ndarray


def assemble(blocks: Iterable[Block], size: tuple[int, int]) -> np.ndarray:
    """The whole [K, H, W] of blocks that cover `size` = (H, W)."""
    whole = np.empty(0)
    for block in blocks:
        num_classes, rows, columns = block.logits.shape
        if not whole.size:
            whole = np.empty((num_classes, *size), np.float32)
        whole[:, block.top : block.top + rows, block.left : block.left + columns] = block.logits
    return whole


def cross_fade(
    run: Callable[[np.ndarray], np.ndarray],
    image: Indexed,
    tiling: TilingRule,
    *,
    multiple: int,
    min_side_px: int,
) -> Iterator[Block]:
    """Yields the logits of an image in blocks that do not overlap and together cover it.

    Tiles run row by row, from left to right. In the strip that two neighbours share, the result is the weighted mean of
    both; the weighted logits of such a strip are kept until the tile to the right, or the row of tiles below, has added
    its own. Memory therefore holds one tile, however large the image is: the strips below a row of tiles go into a file
    where they are large.

    Args:
        run: Function from a tile [h, w, C] to its logits [K, h, w], which are then changed in place; it pads sides
            shorter than `min_side_px`.
        image: uint8 [H, W, C], of which one tile is asked for at a time.
        tiling: Largest number of pixels of a padded tile, and smallest overlap of neighbours, which is at most half a
            tile.
        multiple: Number that divides the sides of a tile, unless the image itself is smaller than the tile.
        min_side_px: Side to which `run` pads shorter ones.
    """
    max_pixels, overlap_px = tiling.max_pixels, tiling.overlap_px
    height, width = image.shape[:2]
    rows, columns = (max(side, min_side_px) for side in (height, width))
    sides = zip(tile_size(rows, columns, multiple, max_pixels, overlap_px), (height, width), strict=True)
    tile_height, tile_width = (min(pair) for pair in sides)
    down = tile_weights(height, tile_height, overlap_px)
    across = tile_weights(width, tile_width, overlap_px)
    with Strips() as strips:
        for (top, fade_down), next_top in zip(down, [*(start for start, _ in down[1:]), height], strict=True):
            carried_right = np.zeros((1, 1, 0), np.float32)
            for (left, fade_across), next_left in zip(
                across, [*(start for start, _ in across[1:]), width], strict=True
            ):
                tile = run(image[top : top + tile_height, left : left + tile_width])
                _weigh(tile, fade_down, fade_across)
                tile[:, :, : carried_right.shape[2]] += carried_right
                finished, carried_right = tile[:, :, : next_left - left], tile[:, :, next_left - left :].copy()
                if (from_above := strips.take()) is not None:
                    finished[:, : from_above.shape[1]] += from_above
                strips.put(finished[:, next_top - top :])
                yield Block(top, left, finished[:, : next_top - top])
            strips.begin_row()


class Strips:
    """The logits that a row of tiles leaves for the row below: taken in the order in which they were put.

    They are kept in memory up to `MOST_STRIP_BYTES`, beyond that in a temporary file.
    """

    def __init__(self) -> None:
        self._above, self._below = (SpooledTemporaryFile(max_size=MOST_STRIP_BYTES) for _ in range(2))  # noqa: SIM115
        self._shapes_above: list[tuple[int, ...]] = []
        self._shapes_below: list[tuple[int, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._above.close()
        self._below.close()

    def put(self, strip: np.ndarray) -> None:
        """Keeps the float32 strip [K, h, w] of one tile for the row below."""
        self._shapes_below.append(strip.shape)
        self._below.write(strip.astype(np.float32, copy=False).tobytes())

    def take(self) -> np.ndarray | None:
        """The next strip of the row above; None in the first row."""
        if not self._shapes_above:
            return None
        shape = self._shapes_above.pop(0)
        return np.frombuffer(self._above.read(4 * math.prod(shape)), np.float32).reshape(shape)

    def begin_row(self) -> None:
        """Ends a row of tiles: what was put is what the next row takes."""
        self._above, self._below = self._below, self._above
        self._shapes_above, self._shapes_below = self._shapes_below, []
        self._above.seek(0)
        self._below.seek(0)
        self._below.truncate()


def tile_size(height: int, width: int, multiple: int, max_pixels: int, overlap_px: int) -> tuple[int, int]:
    """About square tiles of at most `max_pixels`, of sides a model takes without padding, as few as will do."""
    if height > width:
        tile_width, tile_height = tile_size(width, height, multiple, max_pixels, overlap_px)
        return tile_height, tile_width
    tile_height = _tile_side(math.isqrt(max_pixels), height, multiple, overlap_px)
    return tile_height, _tile_side(max_pixels // tile_height, width, multiple, overlap_px)


def tile_weights(whole: int, tile: int, overlap_px: int) -> list[tuple[int, np.ndarray]]:
    """First pixel of each tile along one side, evenly spaced, and its weights, which sum to one at every pixel.

    A weight rises linearly over `overlap_px` from the edge of its tile, because a tile knows least about its
    surroundings there. Where a single tile lies, its weight is exactly one.
    """
    overlap_px, num_tiles = _overlap_and_num_tiles(whole, tile, overlap_px)
    starts = [round(index * (whole - tile) / max(1, num_tiles - 1)) for index in range(num_tiles)]
    from_edge = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1))
    weights = np.minimum(from_edge, overlap_px + 1).astype(np.float32)
    total = np.zeros(whole, np.float32)
    for start in starts:
        total[start : start + tile] += weights
    return [(start, weights / total[start : start + tile]) for start in starts]


def _weigh(tile: np.ndarray, down: np.ndarray, across: np.ndarray) -> None:
    """Multiplies logits [K, h, w] by the weights of their rows and columns in place, where these are not one."""
    top, bottom = _unshared(down)
    left, right = _unshared(across)
    for rows in (slice(0, top), slice(bottom, None)):
        tile[:, rows] *= down[rows, None] * across
    for columns in (slice(0, left), slice(right, None)):
        tile[:, top:bottom, columns] *= across[columns]


def _unshared(weights: np.ndarray) -> tuple[int, int]:
    """First place that only one tile covers, and the place behind the last."""
    ones = np.flatnonzero(weights == 1)
    return (int(ones[0]), int(ones[-1]) + 1) if ones.size else (len(weights), len(weights))


def _tile_side(largest: int, whole: int, multiple: int, overlap_px: int) -> int:
    """The smallest side that needs no more tiles than `largest` does."""
    if largest >= whole:
        return whole
    largest = max(multiple, largest // multiple * multiple)
    overlap_px, num_tiles = _overlap_and_num_tiles(whole, largest, overlap_px)
    return min(largest, math.ceil((whole + (num_tiles - 1) * overlap_px) / num_tiles / multiple) * multiple)


def _overlap_and_num_tiles(whole: int, tile: int, overlap_px: int) -> tuple[int, int]:
    overlap_px = min(overlap_px, tile // 2)
    return overlap_px, max(1, math.ceil((whole - overlap_px) / (tile - overlap_px)))

"""An image too large for one forward pass: overlapping tiles whose logits are cross-faded, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class TilingRule(Protocol):
    """When and how an image is cut into tiles; the section `predict` of `params.yaml` is one."""

    @property
    def max_pixels(self) -> int: ...

    @property
    def overlap_px(self) -> int: ...


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
    run: Callable[[np.ndarray], np.ndarray], image: np.ndarray, tiling: TilingRule, *, multiple: int, min_side_px: int
) -> Iterator[Block]:
    """Yields the logits of an image in blocks that do not overlap and together cover it.

    Tiles run row by row, from left to right. In the strip that two neighbours share, the result is the weighted mean of
    both; the weighted logits of such a strip are kept until the tile to the right, or the row of tiles below, has added
    its own. Memory therefore holds one tile and one strip across the image, however large the image is.

    Args:
        run: Function from a tile [h, w, C] to its logits [K, h, w]; it pads sides shorter than `min_side_px`.
        image: uint8 [H, W, C].
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
    carried_down: np.ndarray = np.zeros((1, 0, width), np.float32)
    for (top, fade_down), next_top in zip(down, [*(start for start, _ in down[1:]), height], strict=True):
        carried_right, below = np.zeros((1, 1, 0), np.float32), np.empty(0)
        for (left, fade_across), next_left in zip(across, [*(start for start, _ in across[1:]), width], strict=True):
            tile = run(image[top : top + tile_height, left : left + tile_width])
            tile = tile * (fade_down[:, None] * fade_across)
            tile[:, :, : carried_right.shape[2]] += carried_right
            finished, carried_right = tile[:, :, : next_left - left], tile[:, :, next_left - left :].copy()
            finished[:, : carried_down.shape[1]] += carried_down[:, :, left:next_left]
            if not below.size:
                below = np.empty((len(tile), tile_height - (next_top - top), width), np.float32)
            below[:, :, left:next_left] = finished[:, next_top - top :]
            yield Block(top, left, finished[:, : next_top - top])
        carried_down = below


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

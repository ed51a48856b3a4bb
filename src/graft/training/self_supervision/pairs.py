"""Pairs of views: two squares cut out of one image, and the places that both of them show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graft.data.resize import resize_image
from graft.data.views.view import BatchSource
from graft.foundation.content import content_seed
from graft.training.self_supervision.image_file import ImageFile

LEAST_SIDE = 0.5  # of a square, as a share of the shorter side of its image
NUM_PLACES = 8  # along each side of what both squares show


@dataclass(frozen=True)
class Square:
    """A square of an image, in pixels, perhaps mirrored left to right."""

    top: int
    left: int
    side: int
    is_mirrored: bool

    def cut(self, image: np.ndarray, side_px: int) -> np.ndarray:
        """The square of an image [H, W, C] at another size, uint8 [side_px, side_px, C]."""
        square = image[self.top : self.top + self.side, self.left : self.left + self.side]
        resized = resize_image(np.ascontiguousarray(square), (side_px, side_px))
        return resized[:, ::-1] if self.is_mirrored else resized


@dataclass(frozen=True)
class ViewPairs:
    """A batch of pairs.

    Attributes:
        images: uint8 [2B, C, H, W] in channels-last memory: B first views, then their second views.
        places: float32 [2B, 2, G], the rows and the columns of G by G places, as shares of the side of each view; place
            (i, j) shows the same in both views of a pair.
    """

    images: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.images) // 2


def draw_pair(random: np.random.Generator, height: int, width: int) -> tuple[Square, Square]:
    """Two squares that share at least half of the smaller one's side in each direction.

    Args:
        random: Generator.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
    """
    shorter = min(height, width)
    first, second = (max(round(shorter * random.uniform(LEAST_SIDE, 1)), 1) for _ in range(2))
    half = min(first, second) // 2
    starts = []
    for length in (height, width):
        start = int(random.integers(0, length - first + 1))
        low, high = max(0, start + half - second), min(length - second, start + first - half)
        starts.append((start, int(random.integers(low, high + 1))))
    (top, other_top), (left, other_left) = starts
    mirrored = random.random(2) < 0.5
    return Square(top, left, first, bool(mirrored[0])), Square(other_top, other_left, second, bool(mirrored[1]))


def shared_places(first: Square, second: Square, num_places: int = NUM_PLACES) -> np.ndarray:
    """Rows and columns of places in what two squares share, as shares of the side of each: float32 [2, 2, G].

    The first axis is that of the squares; the places are the centres of a grid.
    """
    squares, steps = (first, second), (np.arange(num_places) + 0.5) / num_places
    found = np.empty((2, 2, num_places), np.float32)
    for axis, corner in enumerate(("top", "left")):
        starts = [getattr(square, corner) for square in squares]
        begin, end = max(starts), min(starts[0] + first.side, starts[1] + second.side)
        for number, square in enumerate(squares):
            found[number, axis] = (begin + steps * (end - begin) - starts[number]) / square.side
    for number, square in enumerate(squares):
        if square.is_mirrored:
            found[number, 1] = 1 - found[number, 1]
    return found


class PairSource(BatchSource):
    """Pairs of every image, others in each epoch: a pair is a pure function of (seed, id of the image, epoch).

    Args:
        images: Decoded images.
        ids: Their ids.
        seed: Seed.
        epochs: Number of epochs.
        side_px: Side of a view, in pixels.
    """

    def __init__(self, images: ImageFile, ids: Sequence[str], seed: int, epochs: int, side_px: int) -> None:
        self.images, self.ids, self.seed, self.side_px = images, ids, seed, side_px
        self.num_samples, self.num_views = len(ids), epochs

    def batches(
        self, order: np.ndarray, view: int, batch_size: int, device: torch.device
    ) -> Iterator[tuple[ViewPairs, Tensor]]:
        """Pairs of the images `order`, in that order, and targets that say nothing; a batch is read ahead."""
        parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        if not parts:  # a checkpoint on the last step of an epoch leaves none
            return
        with ThreadPoolExecutor(1, thread_name_prefix="graft-pairs") as reader:
            ahead = reader.submit(self.read, parts[0], view)
            for number, part in enumerate(parts):
                images, places = ahead.result()
                if number + 1 < len(parts):
                    ahead = reader.submit(self.read, parts[number + 1], view)
                yield ViewPairs(images.to(device).permute(0, 3, 1, 2), places.to(device)), torch.zeros(len(part)).long()

    def read(self, numbers: np.ndarray, view: int) -> tuple[Tensor, Tensor]:
        """The pairs of some images in an epoch: uint8 [2B, H, W, C] and places [2B, 2, G]."""
        images, places = [], []
        for number in numbers:
            image = self.images[int(number)]
            random = np.random.default_rng(content_seed(self.seed, "pair", self.ids[number], view))
            squares = draw_pair(random, *image.shape[:2])
            images.append([square.cut(image, self.side_px) for square in squares])
            places.append(shared_places(*squares))
        stacked = (np.stack([pair[half] for half in (0, 1) for pair in pairs]) for pairs in (images, places))
        first, second = (torch.from_numpy(array) for array in stacked)
        return first, second

"""The pixels of training images at which features are taken, the same for all candidates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from graft.data.augmented.statistics import counts_of, no_counts, statistics
from graft.data.images.codec import decode_target
from graft.data.images.stacks import decode
from graft.data.resize import RESIZES, resize_image, resize_mask
from graft.data.shards import Row, num_rows, read_rows
from graft.foundation.choices import Choice, resolve
from graft.foundation.class_map import IGNORE_INDEX, ClassMap
from graft.foundation.content import content_digest, content_seed, digest_of
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress

if TYPE_CHECKING:
    from graft.params.sections import Params

# Masks are reduced by this stride, the finest that the heads of small segmenters read. All candidates share it: with a
# stride of their own, candidates with coarse features would get an easier task.
STRIDE_PX = 8
# Number of pixels in all: several for each of the one or two thousand features in the maps of a small network.
NUM_PIXELS = 8000


@dataclass(frozen=True)
class Points:
    """Points at which features are taken, with their classes.

    Attributes:
        train: Folder of the training shards.
        rows: Numbers of the images, in order.
        places: Coordinates (y, x) of the points of each image, in pixels of the resized image, float32 `[P, 2]`; empty
            for classification, where a whole image is one point.
        labels: Class ids of all points in order, int64 `[N]`; for multilabel zeros and ones, uint8 `[N, K]`.
        classes: The class map.
        resize: The resize rule.
        max_pixels: Largest number of pixels of an image; of a larger one a window is used.
        seed: Seed of the pipeline.
    """

    train: Path
    rows: list[int]
    places: list[np.ndarray]
    labels: np.ndarray
    classes: ClassMap
    resize: Choice
    max_pixels: int
    seed: int

    def images(self) -> Iterator[np.ndarray]:
        """Yields the resized images that hold the points, uint8 `[H, W, C]`."""
        for row in _chosen_rows(self.train, self.rows):
            yield _piece(row, self.classes, self.resize, self.max_pixels, self.seed)[0]

    @cached_property
    def channel_statistics(self) -> dict[str, Any]:
        """`mean` and `std` of each channel over the pixels of these images, in 0..1, computed as in augment."""
        start = no_counts(self.classes)
        counts = sum((counts_of(image, 0, [], self.classes) for image in self.images()), start)
        return statistics(counts, self.classes, 0, [], [])

    @cached_property
    def digest(self) -> str:
        """Digest of everything about the points that the features of a model depend on.

        Features are cached under this digest together with that of the model.
        """
        facts: dict[str, Any] = {"train": digest_of(self.train), "rows": self.rows, "max_pixels": self.max_pixels}
        facts |= {"labels": self.labels.tolist(), "places": [place.tolist() for place in self.places]}
        return content_digest(facts | {"resize": self.resize.as_dict(), "seed": self.seed})


def sample_points(
    train: Path, classes: ClassMap, params: Params, *, num_images: int, pixels_per_class: int | None
) -> Points:
    """Draws points in the training images, as evenly over the classes as the images allow.

    Images are evenly spaced over the shards. From a mask, reduced by `STRIDE_PX`, a fixed number of cells is drawn for
    each class in it, as a function of (seed, id); cells of which less than half is labelled are left out.

    Args:
        train: Folder of the training shards, `data/interim/train`.
        classes: The class map.
        params: Params of the project.
        num_images: Largest number of images.
        pixels_per_class: Number drawn of each class in each image; None for as many as make `NUM_PIXELS` in all.

    Raises:
        GraftError: There are no shards, or fewer than two classes in them.
    """
    total = num_rows(train)
    rows = sorted({int(number) for number in np.linspace(0, total - 1, min(num_images, total))})
    resize = resolve(RESIZES, params.preprocess.resize, where="preprocess.resize")
    per_class = pixels_per_class or math.ceil(NUM_PIXELS / (len(rows) * classes.num_classes))
    places: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for row in progress(_chosen_rows(train, rows), "Choosing pixels", total=len(rows), unit="image"):
        if classes.task != "segmentation":
            labels.append(decode_target(row, classes.task)[None])
            continue
        _, mask = _piece(row, classes, resize, params.predict.max_pixels, params.seed)
        generator = np.random.default_rng(content_seed(params.seed, "select", row.id))
        place, label = draw_cells(reduce_mask(cast(np.ndarray, mask), classes.num_classes), per_class, generator)
        places.append(place)
        labels.append(label)
    found = np.concatenate(labels)
    _check_classes(found, train)
    return Points(train, rows, places, found, classes, resize, params.predict.max_pixels, params.seed)


def _check_classes(labels: np.ndarray, train: Path) -> None:
    if len(np.unique(labels)) < 2:  # of several labels an image: all have each class, or none
        raise GraftError(
            "the training images show fewer than two classes",
            where=train,
            rule="candidates are scored by how well they tell classes apart",
            remedy="add images, or raise --images",
        )


def reduce_mask(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Reduces a mask by `STRIDE_PX`: each cell gets the class that most of its labelled pixels have.

    Args:
        mask: uint8 `[H, W]`.
        num_classes: Number of classes, K.

    Returns:
        uint8 `[H // 8, W // 8]`; 255 where less than half of a cell is labelled.
    """
    height, width = (side // STRIDE_PX for side in mask.shape)
    cells = mask[: height * STRIDE_PX, : width * STRIDE_PX].reshape(height, STRIDE_PX, width, STRIDE_PX)
    values = cells.transpose(0, 2, 1, 3).reshape(height * width, STRIDE_PX**2).astype(np.int64)
    numbered = values + 256 * np.arange(height * width)[:, None]
    counts = np.bincount(numbered.ravel(), minlength=256 * height * width).reshape(-1, 256)[:, :num_classes]
    is_clear = counts.sum(axis=1) * 2 >= STRIDE_PX**2
    return np.where(is_clear, counts.argmax(axis=1), IGNORE_INDEX).astype(np.uint8).reshape(height, width)


def draw_cells(cells: np.ndarray, per_class: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws up to `per_class` cells of each class: centres (y, x) in pixels, float32 `[P, 2]`, and classes `[P]`."""
    chosen = [
        generator.permutation(np.flatnonzero(cells == label))[:per_class]
        for label in np.unique(cells)
        if label != IGNORE_INDEX
    ]
    numbers = np.concatenate([np.empty(0, np.int64), *chosen]).astype(np.int64)
    centres = np.stack(np.divmod(numbers, cells.shape[1]), axis=1) * STRIDE_PX + STRIDE_PX / 2
    return centres.astype(np.float32), cells.ravel()[numbers].astype(np.int64)


def _chosen_rows(train: Path, rows: list[int]) -> Iterator[Row]:
    wanted = set(rows)
    return (row for number, row in enumerate(read_rows(train)) if number in wanted)


def _piece(
    row: Row, classes: ClassMap, resize: Choice, max_pixels: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The resized image and mask; for an image with too many pixels, a window of both that depends on (seed, id)."""
    image = decode(row.image, classes, where=row.id)
    size = resize(*image.shape[:2])
    image = resize_image(image, size)
    if classes.task != "segmentation":
        return image, None
    mask = resize_mask(decode_target(row, classes.task), size)
    if size[0] * size[1] <= max_pixels:
        return image, mask
    generator, share = np.random.default_rng(content_seed(seed, "window", row.id)), (max_pixels / size[0] / size[1])
    sides = [max(int(side * share**0.5), 1) for side in size]
    top, left = (int(generator.integers(side - part + 1)) for side, part in zip(size, sides, strict=True))
    window = np.s_[top : top + sides[0], left : left + sides[1]]
    return np.ascontiguousarray(image[window]), np.ascontiguousarray(mask[window])

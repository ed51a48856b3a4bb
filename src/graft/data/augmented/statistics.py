"""Statistics of the training images and their views: class shares before and after, mean and deviation of colours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.data.images.codec import decode_mask
from graft.foundation.class_map import IGNORE_INDEX, ClassMap
from graft.foundation.value_counts import value_counts

# Views of a sample that are counted, so that both storages say the same and `online` with many views stays cheap.
MOST_VIEWS_COUNTED = 8


@dataclass(frozen=True)
class Counts:
    """Whole numbers counted on one sample: sums over samples do not depend on their order.

    Attributes:
        before: int64 [max(256, K)], pixels per mask value at the size the resize rule gives (or images per label).
        after: The same over the views that were counted.
        colours: int64 [C, 256], histogram of the image's channels.
    """

    before: np.ndarray
    after: np.ndarray
    colours: np.ndarray

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.before + other.before, self.after + other.after, self.colours + other.colours)


def no_counts(classes: ClassMap) -> Counts:
    """The counts of no sample."""
    before, after = np.zeros((2, max(256, classes.num_classes)), np.int64)
    return Counts(before, after, np.zeros((len(classes.channels), 256), np.int64))


def counts_of(
    image: np.ndarray, targets: np.ndarray | int, view_targets: Sequence[np.ndarray | int], classes: ClassMap
) -> Counts:
    """Counts of one sample.

    Args:
        image: uint8 [H, W, C].
        targets: Mask uint8 [H, W], a label, or for multilabel uint8 [K], one for each class that the image has.
        view_targets: Those of its views, in order; `MOST_VIEWS_COUNTED` are counted.
        classes: Class map of the data set.
    """
    colours = np.stack([value_counts(image[..., channel]) for channel in range(image.shape[2])])
    counts = no_counts(classes)
    for total, counted in ((counts.before, [targets]), (counts.after, view_targets[:MOST_VIEWS_COUNTED])):
        for item in counted:
            if isinstance(item, int):
                total[item] += 1
            elif item.ndim == 1:
                total[: len(item)] += item
            else:
                total[:256] += value_counts(item)
    return replace(counts, colours=colours)


def class_shares(masks: Iterable[bytes | None], classes: ClassMap) -> tuple[float, ...]:
    """Each class's share of the labelled pixels of encoded masks (index PNG, before the resize rule), K values."""
    pixels = np.zeros(256, np.int64)
    for mask in masks:
        if mask is not None:  # who has none is named when its views are made
            pixels += value_counts(decode_mask(mask))
    labelled = pixels[: classes.num_classes]
    return tuple((labelled / max(labelled.sum(), 1)).tolist())


@contextlib.contextmanager
def class_counts_file(path: Path, num_samples: int, num_classes: int) -> Iterator[Callable[[np.ndarray], object]]:
    """A .npy of int64 [N, K], written a sample at a time so that thousands of classes need no memory.

    Yields:
        A function that takes the next sample's counts, int64 [K].
    """
    header = {"descr": "<i8", "fortran_order": False, "shape": (num_samples, num_classes)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda counts: file.write(counts.astype("<i8").tobytes()) and None


def statistics(
    counts: Counts, class_map: ClassMap, num_views: int, ids: Sequence[str], image_sha256: Sequence[str]
) -> dict[str, Any]:
    """The content of `statistics.json`.

    `mean` and `std` are those of the channels over all pixels of the training images, in fractions of 255.
    `class_pixels_…` are pixels per class id (images for classification), `void_…` the ignored ones.
    """
    levels = np.arange(256) / 255
    pixels = np.maximum(counts.colours.sum(axis=1), 1)
    mean = (counts.colours * levels).sum(axis=1) / pixels
    variance = (counts.colours * (levels - mean[:, None]) ** 2).sum(axis=1) / pixels
    masks = class_map.task == "segmentation"
    return {
        "task": class_map.task,
        "num_images": len(ids),
        "num_views_counted": min(num_views, MOST_VIEWS_COUNTED),
        "names": list(class_map.names),
        "class_pixels_before": counts.before[: class_map.num_classes].tolist(),
        "class_pixels_after": counts.after[: class_map.num_classes].tolist(),
        "void_before": int(counts.before[IGNORE_INDEX]) if masks else 0,
        "void_after": int(counts.after[IGNORE_INDEX]) if masks else 0,
        "mean": mean.tolist(),
        "std": np.sqrt(variance).tolist(),
        "image_sha256": list(image_sha256),
    }


def void_fraction(stats: dict[str, Any]) -> float:
    """Share of the views' pixels that is ignored."""
    return stats["void_after"] / max(stats["void_after"] + sum(stats["class_pixels_after"]), 1)

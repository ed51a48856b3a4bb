"""Index masks painted from the polygons and run lengths of COCO annotations."""

from __future__ import annotations

import json
import math
import warnings
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.formats.coco_annotations import kind_of
from graft.data.formats.files import FileReader
from graft.data.formats.listing import Entry
from graft.data.formats.translation import VOID
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedEntry(Entry):
    """An image whose mask is painted from annotations.

    Attributes:
        annotations: Path of the annotation file below the root.
        height: Height of the mask, in pixels.
        width: In pixels.
        places: Offset, number of bytes and class of each annotation in the file, int64, one after the other.
    """

    annotations: str
    height: int
    width: int
    places: bytes


@dataclass(frozen=True)
class CocoReader:
    """Reads an image and paints its mask; `unnamed` is the value of pixels that no annotation covers."""

    root: str
    unnamed: int = VOID

    def __call__(self, entry: Entry) -> tuple[bytes, bytes]:
        import cv2

        assert isinstance(entry, AnnotatedEntry)
        image, _ = FileReader(self.root)(entry)
        return image, cv2.imencode(".png", self._mask(entry))[1].tobytes()

    def _mask(self, entry: AnnotatedEntry) -> np.ndarray:
        import numpy as np

        places = array("q")
        places.frombytes(entry.places)
        painted, problems = [], []
        with (Path(self.root) / entry.annotations).open("rb") as file:
            for offset, num_bytes, number in zip(places[::3], places[1::3], places[2::3], strict=True):
                file.seek(offset)
                annotation = json.loads(file.read(num_bytes))
                try:
                    painted.append(_layer(annotation, number, entry.height, entry.width))
                except Exception as error:  # pycocotools raises what it likes, Exception itself included
                    problems.append(f"annotation {annotation.get('id')}: {type(error).__name__}: {error}")
        if problems:
            raise GraftError(f"segmentations that cannot be painted: {'; '.join(problems)}", where=entry.id)
        mask = np.full((entry.height, entry.width), self.unnamed, np.uint8)
        for _, _, number, region in sorted(painted, key=lambda one: one[:2]):
            mask[region] = number
        return mask


def _layer(annotation: dict[str, Any], number: int, height: int, width: int) -> tuple[int, int, int, np.ndarray]:
    """The rank of an annotation among those painted before it, minus its area, its value, and its pixels.

    A box without outline comes first and is ignored, then come crowds, then all else.
    """
    kind = kind_of(annotation)
    if kind == "box":
        region = box_of(annotation["bbox"], height, width)
        return 0, -int(region.sum()), VOID, region
    if kind == "degenerate":
        return 0, 0, VOID, box_of((0, 0, 0, 0), height, width)
    if kind == "nothing":
        raise ValueError("it has neither segmentation nor bbox")
    region = region_of(annotation["segmentation"], height, width)
    return 1 if annotation.get("iscrowd") else 2, -int(region.sum()), number, region


def box_of(bbox: Any, height: int, width: int) -> np.ndarray:
    """The pixels that a box [left, top, width, height] touches, bool [height, width]."""
    import numpy as np

    left, top, across, down = (float(value) for value in bbox)
    region = np.zeros((height, width), bool)
    region[max(math.floor(top), 0) : math.ceil(top + down), max(math.floor(left), 0) : math.ceil(left + across)] = True
    return region


def region_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The pixels of a segmentation, bool [height, width]; takes and raises what `encode_segmentation` does."""
    return decode_region(encode_segmentation(segmentation, height, width))


def encode_segmentation(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """The pixels of a segmentation as compressed run lengths, {counts, size}: of an outline a few hundred bytes.

    Args:
        segmentation: Polygons [[x, y, x, y, …], …] in pixels, or {counts, size} with counts run lengths down the
            columns: a list of numbers, or compressed into a string. Polygons of fewer than three points beside
            others cover nothing.
        height: Height of the image.
        width: Width of the image.

    Raises:
        ValueError: It is none of these, or of another size; pycocotools raises other errors, too.
    """
    import numpy as np
    from pycocotools import mask as coco

    if isinstance(segmentation, list):
        polygons = [one for one in segmentation if not isinstance(one, list) or len(one) >= 6] or segmentation
        _check_polygons(polygons, height, width)
        return coco.merge(coco.frPyObjects(polygons, height, width))
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"its size {segmentation['size']} is not [{height}, {width}]")
    counts = segmentation["counts"]
    lengths = np.array(counts) if isinstance(counts, list) else run_lengths(counts)
    if (lengths < 0).any() or lengths.sum() != height * width:  # what is not covered would be as memory was left
        raise ValueError(f"its run lengths are not of {height} x {width} pixels")
    return coco.frPyObjects(segmentation, height, width) if isinstance(counts, list) else segmentation


def decode_region(encoded: dict[str, Any]) -> np.ndarray:
    """The pixels that run lengths encode, bool [height, width]."""
    from pycocotools import mask as coco

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 gives NumPy 2 an array the old way
        return coco.decode(encoded).astype(bool)


def run_lengths(text: str) -> np.ndarray:
    """The run lengths in a compressed string, int64 [N].

    A number is written in groups of five bits, lowest first, each plus 48 as a character and plus 32 where another
    follows; the last group's highest bit is the sign. From the fourth on, what is written is the difference to the
    number before the last (rleToString of pycocotools' maskApi.c).
    """
    import numpy as np

    values = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    is_last = values & 32 == 0
    number = np.cumsum(is_last) - is_last
    place = np.arange(len(values)) - np.searchsorted(number, number)
    differences = np.zeros(int(is_last.sum()), np.int64)
    signs = np.where(is_last & (values & 16 > 0), 32, 0)
    np.add.at(differences, number, ((values & 31) - signs) << 5 * place)
    for first in (1, 2):
        differences[first::2] = np.cumsum(differences[first::2])
    return differences


def _check_polygons(polygons: list[Any], height: int, width: int) -> None:
    if not polygons:
        raise ValueError("no polygon")
    side = max(height, width)
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon needs x and y of three points or more")
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in polygon):
            raise ValueError("a polygon holds what is no number")
        if min(polygon) < -side or max(polygon) > 2 * side:  # pycocotools takes memory for the length of an outline
            raise ValueError(f"a polygon lies far outside of {width} x {height} pixels")

"""Outlines of the regions of a mask as polygons, as labelling tools draw them; a hole is reached by a slit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools import mask as coco
from scipy.spatial.distance import cdist

from graft.data.formats.coco_masks import decode_region, encode_segmentation

TOLERANCE_PX = 0.7  # between a pixel's edge and a line that is drawn for it
# A speck of fewer pixels is no region of its own: of a region it encloses it becomes part, elsewhere it is left out.
SMALLEST_PX = 12
FINER = 2  # see `_trace`


@dataclass(frozen=True)
class Outline:
    """A region of one class.

    Attributes:
        class_id: Class of its pixels.
        points: Corners (x, y) in pixels, float64 [N, 2]; (0, 0) is the upper left corner of the image. A hole is cut in
            by going to it and back along the same line, so that a tool that fills by the even-odd rule leaves it empty.
    """

    class_id: int
    points: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """The points as files state them, to a hundredth of a pixel."""
        return self.points.round(2)


def paint(outlines: Sequence[Outline], height: int, width: int, unpainted: int) -> np.ndarray:
    """The mask that outlines give when the source `coco` reads them back, the largest painted first, uint8 [H, W].

    Args:
        outlines: The outlines.
        height: Height of the image.
        width: Width of the image.
        unpainted: Value of pixels that no outline covers.
    """
    mask = np.full((height, width), unpainted, np.uint8)
    # As run lengths: the pixels of 300 outlines in an image of 24 megapixels would take 7 GB.
    layers = [(encode_segmentation([one.corners.ravel().tolist()], height, width), one.class_id) for one in outlines]
    for encoded, class_id in sorted(layers, key=lambda layer: -int(coco.area(layer[0]))):
        mask[decode_region(encoded)] = class_id
    return mask


def outlines_of(mask: np.ndarray, class_ids: Sequence[int], tolerance_px: float = TOLERANCE_PX) -> list[Outline]:
    """The regions of these classes, largest first within each class.

    Lines are simplified by Douglas & Peucker 1973, "Algorithms for the reduction of the number of points required to
    represent a digitized line", so that neighbours may part or overlap by the tolerance.

    Args:
        mask: Class ids, uint8 [H, W].
        class_ids: Classes that are drawn.
        tolerance_px: Largest distance of a line from the edge of the pixels.
    """
    return [Outline(id, points) for id in class_ids for points in _regions((mask == id).view(np.uint8), tolerance_px)]


def _regions(region: np.ndarray, tolerance_px: float) -> Iterator[np.ndarray]:
    rings, hierarchy = _trace(region)
    kept = [_num_pixels(ring, parent >= 0) >= SMALLEST_PX for ring, (*_, parent) in zip(rings, hierarchy, strict=True)]
    outer = [number for number, (_, _, _, parent) in enumerate(hierarchy) if parent < 0 and kept[number]]
    for number in sorted(outer, key=lambda number: -cv2.contourArea(rings[number])):
        holes = [hole for hole, (_, _, _, parent) in enumerate(hierarchy) if parent == number and kept[hole]]
        simple = [cv2.approxPolyDP(rings[one], tolerance_px, closed=True)[:, 0] for one in (number, *holes)]
        points = _join([ring.astype(np.float64) for ring in simple if len(ring) > 2])
        if len(points) > 2:
            yield points


def _trace(region: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The rings of a region, float32 [N, 1, 2] in pixels, and their hierarchy, int32 [N, 4], parents last.

    OpenCV runs along the centres of the outermost pixels, which takes half a pixel from every side of a region: a wall
    three pixels wide loses a third. At twice the size it loses a quarter of a pixel, and no pixel's centre.
    """
    finer = cv2.resize(region, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_NEAREST)
    rings, hierarchy = cv2.findContours(finer, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parents = np.empty((0, 4), np.int32) if hierarchy is None else hierarchy[0]
    return [(ring.astype(np.float32) + 0.5) / FINER for ring in rings], parents


def _num_pixels(ring: np.ndarray, is_hole: bool) -> float:
    """The number of pixels within a ring, or of a hole, whose ring runs around it (Pick 1899)."""
    area, border = cv2.contourArea(ring) * FINER**2, len(ring)
    return (area + (-border if is_hole else border) / 2 + 1) / FINER**2


def _join(rings: Sequence[np.ndarray]) -> np.ndarray:
    """One ring out of an outer one and its holes: each hole is spliced in where it comes closest to what is there."""
    if not rings:
        return np.empty((0, 2))
    joined, *holes = rings
    for hole in holes:
        here, there = np.unravel_index(cdist(joined, hole).argmin(), (len(joined), len(hole)))
        detour = np.concatenate([np.roll(hole, -there, axis=0), hole[[there]], joined[[here]]])
        joined = np.insert(joined, here + 1, detour, axis=0)
    return joined

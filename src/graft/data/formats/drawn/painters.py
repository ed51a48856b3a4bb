"""Painters of masks: which pixels a shape covers, which every annotation tool answers in its own way.

The square with the corners (1, 1) and (5, 5) has 25 pixels in labelme (Pillow), Ultralytics and Supervisely (OpenCV),
where a corner is a pixel, and 16 in CVAT, Label Studio and COCO (pycocotools), where it is a point between pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.data.formats.coco_masks import region_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

LINE_WIDTH_PX, POINT_RADIUS_PX = 10, 5  # of labelme
Point = tuple[float, float]
Size = tuple[int, int]  # height and width, in pixels


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape that somebody drew.

    Attributes:
        label: Its label.
        kind: `polygon`, `box` (two opposite corners), `circle` (its centre and a point of its rim), `ellipse` (its
            centre, and its radii as a second point), `line`, `point`, or `pixels` (the left upper corner of their box).
        points: Its points (x, y), in pixels.
        angle: Degrees by which a box or an ellipse is turned clockwise around its centre.
        pixels: Which pixels of their box belong to `pixels`, bool [h, w]; None for all other kinds.
        holes: Corners of each hole of a polygon.
    """

    label: str
    kind: str
    points: tuple[Point, ...]
    angle: float = 0.0
    pixels: np.ndarray | None = None
    holes: tuple[tuple[Point, ...], ...] = ()


Painter = Callable[[Sequence[tuple[Shape, int]], Size, int], "np.ndarray"]


def check_inside(shapes: Sequence[Shape], size: Size) -> None:
    """Refuses shapes that lie farther outside of their image than it is large: a mistake, which would take memory.

    Raises:
        ValueError: There is one.
    """
    side = max(size)
    for number, shape in enumerate(shapes, start=1):
        rings = (shape.points, *shape.holes)
        if not all(-side <= value <= 2 * side for points in rings for point in points for value in point):
            raise ValueError(f"shape {number}: a point lies far outside of {size[1]} x {size[0]} pixels, or is none")


def paint_as_labelme(shapes: Sequence[tuple[Shape, int]], size: Size, unnamed: int) -> np.ndarray:
    """Paints with Pillow, outlines included, later shapes on top, as labelme's shape_to_mask and shapes_to_label do.

    Lines are 10 pixels wide and points are discs of radius 5.

    Args:
        shapes: Shapes and the value of each, in drawing order.
        size: Height and width of the mask.
        unnamed: Value of pixels that no shape covers.

    Returns:
        uint8 [H, W].
    """
    import numpy as np
    from PIL import Image

    image = Image.new("L", size[::-1], unnamed)
    for shape, value in shapes:
        _draw(image, shape, value)
    return np.asarray(image)


def paint_as_cvat(shapes: Sequence[tuple[Shape, int]], size: Size, unnamed: int) -> np.ndarray:
    """Paints with pycocotools, later shapes on top, as CVAT's export of masks does; lines and points cover nothing.

    Ellipses are OpenCV's, their centre and radii rounded. Arguments and result are those of `paint_as_labelme`.
    """
    import numpy as np

    mask = np.full(size, unnamed, np.uint8)
    for shape, value in shapes:
        if shape.kind == "pixels":
            lay_pixels(mask, shape, value)
        elif shape.kind not in ("line", "point"):
            mask[_covered(shape, size)] = value
    return mask


def paint_as_ultralytics(shapes: Sequence[tuple[Shape, int]], size: Size, unnamed: int) -> np.ndarray:
    """Paints polygons with OpenCV, their corners cut to whole pixels, the smallest on top (polygons2masks_overlap).

    Arguments and result are those of `paint_as_labelme`.
    """
    import cv2
    import numpy as np

    corners = [np.array(shape.points).astype(np.int32) for shape, _ in shapes]
    areas = [int(cv2.fillPoly(np.zeros(size, np.uint8), [polygon], 1).sum()) for polygon in corners]
    mask = np.full(size, unnamed, np.uint8)
    for number in sorted(range(len(shapes)), key=lambda number: -areas[number]):
        cv2.fillPoly(mask, [corners[number]], shapes[number][1])
    return mask


def paint_as_supervisely(shapes: Sequence[tuple[Shape, int]], size: Size, unnamed: int) -> np.ndarray:
    """Paints with OpenCV, later shapes on top, as Supervisely's SDK draws them.

    Corners of polygons and of their holes are cut to whole pixels, those of boxes are rounded. A hole takes its rim
    along. Arguments and result are those of `paint_as_labelme`.
    """
    import cv2
    import numpy as np

    mask = np.full(size, unnamed, np.uint8)
    for shape, value in shapes:
        if shape.kind == "box":
            first, second = (tuple(round(coordinate) for coordinate in corner) for corner in shape.points)
            cv2.rectangle(mask, first, second, value, cv2.FILLED)
        elif shape.kind == "pixels":
            lay_pixels(mask, shape, value)
        else:
            region = np.zeros(size, np.uint8)
            cv2.fillPoly(region, [np.array(shape.points).astype(np.int32)], 1)
            for hole in shape.holes:
                cv2.fillPoly(region, [np.array(hole).astype(np.int32)], 0)
            mask[region > 0] = value
    return mask


def lay_pixels(mask: np.ndarray, shape: Shape, value: int) -> None:
    """Lays the pixels of a shape of the kind `pixels` on a mask [H, W], which is changed."""
    assert shape.pixels is not None
    (left, top), (height, width) = shape.points[0], shape.pixels.shape
    mask[int(top) : int(top) + height, int(left) : int(left) + width][shape.pixels] = value


def pixels_of(label: str, region: np.ndarray) -> Shape:
    """The shape of the pixels of a region, bool [H, W], cut to their box: an image may have hundreds."""
    import numpy as np

    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return Shape(label, "pixels", ((0.0, 0.0),), pixels=np.zeros((0, 0), bool))
    top, left = int(rows[0]), int(columns[0])
    box = region[top : rows[-1] + 1, left : columns[-1] + 1]
    return Shape(label, "pixels", ((left, top),), pixels=box.copy())


def corners_of(box: Shape) -> list[Point]:
    """The four corners of a box, turned by its angle."""
    (left, top), (right, bottom) = box.points
    x, y, angle = (left + right) / 2, (top + bottom) / 2, math.radians(box.angle)
    cos, sin = math.cos(angle), math.sin(angle)
    offsets = [(px - x, py - y) for px, py in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return [(x + cos * across - sin * down, y + sin * across + cos * down) for across, down in offsets]


def ellipse_corners(centre: Point, radii: Point, angle: float) -> list[Point]:
    """Points of the rim of an ellipse, one a degree.

    Args:
        centre: Its centre, in pixels.
        radii: Its radii before it is turned.
        angle: Radians by which it is turned clockwise.
    """
    (x, y), (across, down), cos, sin = centre, radii, math.cos(angle), math.sin(angle)
    rim = [(across * math.cos(turn), down * math.sin(turn)) for turn in map(math.radians, range(360))]
    return [(x + cos * dx - sin * dy, y + sin * dx + cos * dy) for dx, dy in rim]


def _draw(image: Image.Image, shape: Shape, value: int) -> None:
    from PIL import Image, ImageDraw

    canvas, points = ImageDraw.Draw(image), list(shape.points)
    if shape.kind == "polygon":
        canvas.polygon(points, fill=value, outline=value)
    elif shape.kind == "box":
        (left, right), (top, bottom) = (sorted(sides) for sides in zip(*points, strict=True))
        canvas.rectangle((left, top, right, bottom), fill=value, outline=value)
    elif shape.kind == "line":
        canvas.line(points, fill=value, width=LINE_WIDTH_PX, joint="curve")
    elif shape.kind in ("circle", "point"):
        x, y = points[0]
        radius = math.dist(*points) if shape.kind == "circle" else POINT_RADIUS_PX
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=value, outline=value)
    else:
        assert shape.pixels is not None
        left, top = (int(coordinate) for coordinate in points[0])
        image.paste(value, (left, top), Image.fromarray(shape.pixels))


def _covered(shape: Shape, size: Size) -> np.ndarray:
    """The pixels of a shape as CVAT has them, bool [H, W]."""
    import cv2
    import numpy as np

    if shape.kind == "ellipse":
        centre, radii = (tuple(round(value) for value in point) for point in shape.points)
        return cv2.ellipse(np.zeros(size, np.uint8), centre, radii, shape.angle, 0, 360, 1, -1).astype(bool)
    corners = corners_of(shape) if shape.kind == "box" else shape.points
    return region_of([[coordinate for corner in corners for coordinate in corner]], *size)

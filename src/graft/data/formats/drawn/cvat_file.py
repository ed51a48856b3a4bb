"""The XML file of CVAT for images 1.1: an element an image, with its shapes and tags."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError, tostring

from graft.data.formats.drawn.drawn_listing import Drawing
from graft.data.formats.drawn.painters import Point, Shape, Size, check_inside
from graft.data.formats.split_names import split_named
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    import numpy as np

SHAPES = frozenset({"polygon", "box", "ellipse", "mask"})
WITHOUT_AREA = frozenset({"polyline", "points"})
OF_VIDEO = "it is CVAT for video, whose shapes belong to tracks"


def images_of(path: Path, where: str) -> Iterator[Element]:
    """The elements of the images of a file, one at a time.

    Raises:
        GraftError: It is cut off, no XML, declares entities, or is CVAT for video.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    try:
        for _, element in iterparse(path, events=("end",)):
            if element.tag == "track":
                raise GraftError(OF_VIDEO, where=where, remedy="export the task as CVAT for images 1.1")
            if element.tag == "image":
                yield element
                element.clear()
    except (ParseError, DefusedXmlException, OSError) as error:
        raise GraftError(
            f"not the XML file it should be, or cut off ({error})", where=where, remedy="export it again from CVAT"
        ) from None


def drawing_of(image: Element, file: str) -> Drawing:
    """The drawing of an image's element.

    Raises:
        ValueError: A shape is not as CVAT describes it, or is of a kind that covers no known pixels; names it.
    """
    try:
        size = int(image.attrib["height"]), int(image.attrib["width"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"its height or width is missing or no number ({error})") from None
    check_inside(shapes := shapes_in(image), size)
    tags = tuple(tag.attrib["label"] for tag in image.iter("tag"))
    split = split_named(image.attrib.get("subset", ""))
    labels = tuple(shape.label for shape in shapes)
    return Drawing(file, size, labels, tags, zlib.compress(tostring(image)), split)


def shapes_of(root: Path, drawing: Drawing, size: Size) -> Sequence[Shape]:
    """The shapes of a drawing, from the part of the file that it holds."""
    from defusedxml.ElementTree import fromstring

    return shapes_in(fromstring(zlib.decompress(drawing.content)))


def shapes_in(image: Element) -> list[Shape]:
    """The shapes of an image that cover pixels, from the lowest z_order to the highest.

    Raises:
        ValueError: One is not as CVAT describes it.
    """
    layers = []
    for number, element in enumerate((one for one in image if one.tag != "tag"), start=1):
        if element.tag in WITHOUT_AREA:
            continue
        try:
            layers.append((int(element.attrib.get("z_order", 0)), _shape(element.tag, element.attrib)))
        except (KeyError, ValueError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"shape {number} ({element.tag}): {what}") from None
    return [shape for _, shape in sorted(layers, key=lambda layer: layer[0])]


def count_without_area(image: Element) -> Counter[str]:
    """Number of polylines and of points, which cover no pixels."""
    return Counter(one.tag for one in image if one.tag in WITHOUT_AREA)


def _shape(tag: str, given: Mapping[str, str]) -> Shape:
    label, angle = given["label"], float(given.get("rotation", 0))
    if tag == "polygon":
        points = tuple(_pair(point) for point in given["points"].split(";"))
        if len(points) < 3:
            raise ValueError(f"{len(points)} points")
        return Shape(label, "polygon", points)
    if tag == "box":
        left, top, right, bottom = (float(given[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
        return Shape(label, "box", ((left, top), (right, bottom)), angle)
    if tag == "ellipse":
        x, y, across, down = (float(given[name]) for name in ("cx", "cy", "rx", "ry"))
        return Shape(label, "ellipse", ((x, y), (across, down)), angle)
    if tag == "mask":
        return Shape(label, "pixels", ((float(given["left"]), float(given["top"])),), pixels=_pixels(given))
    raise ValueError("which pixels it covers is not known; polygons, boxes, ellipses and masks are read")


def _pair(text: str) -> Point:
    x, y = text.split(",")
    return float(x), float(y)


def _pixels(given: Mapping[str, str]) -> np.ndarray:
    """The pixels of a mask's box, bool [h, w], from runs of False and True in turn, row after row."""
    import numpy as np

    height, width = int(given["height"]), int(given["width"])
    runs = np.array([int(length) for length in given["rle"].split(",")])
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"its run lengths are not of {width} x {height} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)

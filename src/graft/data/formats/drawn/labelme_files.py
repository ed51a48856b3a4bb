"""Files of labelme: a JSON file an image, with its shapes and its flags."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.formats.drawn.drawn_listing import Drawing
from graft.data.formats.drawn.painters import Point, Shape, Size, check_inside

if TYPE_CHECKING:
    import numpy as np

# shape_type of labelme -> kind of shape, and how many points it has at least and at most
KINDS: dict[str | None, tuple[str, int, float]] = {
    None: ("polygon", 3, math.inf),  # files older than shape_type
    "polygon": ("polygon", 3, math.inf),
    "oriented_rectangle": ("polygon", 4, 4),
    "rectangle": ("box", 2, 2),
    "circle": ("circle", 2, 2),
    "line": ("line", 2, 2),
    "linestrip": ("line", 2, math.inf),
    "point": ("point", 1, 1),
    "mask": ("pixels", 2, 2),
}


def read_labelme(path: Path) -> dict[str, Any] | None:
    """The content of a file; None where it is JSON of something else.

    Raises:
        ValueError: It is cut off, no JSON, or not in UTF-8.
    """
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    is_labelme = isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content
    return content if is_labelme else None


def drawing_of(content: Mapping[str, Any], file: str) -> Drawing:
    """The drawing of a file.

    Raises:
        ValueError: A shape or the size is not as labelme describes it; names the shape.
    """
    height, width, size = content.get("imageHeight"), content.get("imageWidth"), None
    shapes = shapes_in(content)
    if (height, width) != (None, None):  # which the files of the first releases lack
        if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
            raise ValueError(f"imageHeight {height!r} and imageWidth {width!r} are no size")
        check_inside(shapes, size := (height, width))
    tags = tuple(name for name, is_set in (content.get("flags") or {}).items() if is_set)
    return Drawing(file, size, tuple(shape.label for shape in shapes), tags)


def shapes_of(root: Path, drawing: Drawing, size: Size) -> Sequence[Shape]:
    """The shapes of a drawing, read again from its file."""
    content = read_labelme(root / drawing.file)
    return [] if content is None else shapes_in(content)


def shapes_in(content: Mapping[str, Any]) -> list[Shape]:
    """The shapes of a file, in drawing order.

    Raises:
        ValueError: One is not as labelme describes it.
    """
    shapes = []
    for number, written in enumerate(content["shapes"], start=1):
        try:
            shapes.append(_shape(written))
        except (KeyError, TypeError, ValueError, OSError, binascii.Error) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"shape {number}: {what}") from None
    return shapes


def _shape(written: Mapping[str, Any]) -> Shape:
    named, label = written.get("shape_type"), written["label"]
    if named not in KINDS:
        raise ValueError(f"shape_type {named!r} is none of {', '.join(kind for kind in KINDS if kind)}")
    kind, fewest, most = KINDS[named]
    points = tuple((float(x), float(y)) for x, y in written["points"])
    if not fewest <= len(points) <= most:
        raise ValueError(f"a {named or 'polygon'} of {len(points)} points")
    if not isinstance(label, str):
        raise ValueError(f"its label is {label!r}")
    if kind != "pixels":
        return Shape(label, kind, points)
    place, pixels = _pixels(points, written["mask"])
    return Shape(label, kind, (place,), pixels=pixels)


def _pixels(points: Sequence[Point], mask: str) -> tuple[Point, np.ndarray]:
    """The left upper corner of a mask and its pixels, bool [h, w].

    Corners in whole pixels cut the mask to their box; others leave it as it is (labelme's shapes_to_label).
    """
    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask)))).astype(bool)
    if pixels.ndim != 2:
        raise ValueError(f"its mask has the shape {list(pixels.shape)}")
    corners = np.array(points)
    (left, top), (right, bottom) = corners.round().astype(int).tolist()
    if (corners == np.trunc(corners)).all():
        pixels = pixels[: bottom - top + 1, : right - left + 1]
    return (left, top), pixels

"""The JSON export of Label Studio: a task an image, with the annotations that people made of it."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.data.formats.coco_annotations import MOST_PIXELS
from graft.data.formats.drawn.brush_run_lengths import decode_brush
from graft.data.formats.drawn.drawn_listing import Drawing
from graft.data.formats.drawn.painters import Point, Shape, Size, check_inside, ellipse_corners, pixels_of
from graft.data.formats.json_items import json_items
from graft.foundation.errors import GraftError

Annotators = str | int | list[str | int]
CHOICES = "choices"
WITHOUT_AREA = frozenset({"keypoint", "keypointlabels"})
NO_REGIONS = frozenset({CHOICES, "textarea", "number", "rating", "relation", "taxonomy", "pairwise", "datetime"})
BARE = frozenset({"polygon", "rectangle", "ellipse", "brush"})  # regions whose label a result of the same id bears
HEAD_BYTES = 64


def is_export(path: Path) -> bool:
    """Whether a JSON file holds an array, as an export does.

    Raises:
        GraftError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise GraftError(f"it cannot be read ({error.strerror})", where=path) from None
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def tasks_of(path: Path, where: str) -> Iterator[dict[str, Any]]:
    """The tasks of an export, one at a time; nothing where the file holds an array of something else.

    Raises:
        GraftError: It is cut off, or is the reduced JSON-MIN, or something else stands after a task.
    """
    for number, item in enumerate(json_items(path, where, whole="array"), start=1):
        task = item.value
        if isinstance(task, dict) and "annotation_id" in task and "data" not in task:
            raise GraftError(
                "it is JSON-MIN, which does not say what is an image and what a label",
                where=where,
                remedy="export the project as JSON",
            )
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict) or _annotations(task) is None:
            if number == 1:
                return
            raise GraftError(
                f"item {number} is no task with data and annotations: {item.data[:80]!r}",
                where=where,
                remedy="export the project again as JSON",
            )
        yield json.loads(item.data.decode("utf-8", "replace"))


def chosen_annotation(task: Mapping[str, Any], annotators: Annotators | None) -> Mapping[str, Any] | None:
    """The annotation of a task that counts: what is cancelled never does; None where there is none.

    Args:
        task: The task.
        annotators: Id or e-mail address of whose annotations count; of several the first who made one. None takes the
            only annotation, or the only one that is marked as ground truth.

    Raises:
        ValueError: Several could be meant; says whose they are.
    """
    made = [one for one in _annotations(task) or [] if not one.get("was_cancelled")]
    if annotators is None:
        marked = [one for one in made if one.get("ground_truth")]
        chosen = marked if len(marked) == 1 else made
        remedy = "annotator says whose counts, or mark one of them as ground truth"
    else:
        wanted = annotators if isinstance(annotators, list) else [annotators]
        by_each = ([one for one in made if str(who) in _names(one)] for who in wanted)
        chosen = next(filter(None, by_each), [])
        remedy = "delete or cancel all but one"
    if len(chosen) > 1:
        whose = ", ".join("/".join(_names(one)) for one in chosen)
        raise ValueError(f"{len(chosen)} annotations, by {whose}; {remedy}")
    return chosen[0] if chosen else None


def drawing_of(annotation: Mapping[str, Any], file: str, control: str | None) -> Drawing:
    """The drawing of an annotation.

    Args:
        annotation: The annotation.
        file: Path of the export below the root.
        control: Name of the control whose results count; None takes all.

    Raises:
        ValueError: A result is not as Label Studio describes it; names it.
    """
    results = [one for one in annotation["result"] if control is None or one.get("from_name") == control]
    regions, size = _regions(results), None
    if regions:
        check_inside(shapes := shapes_in(regions), size := _size(regions))
        labels = tuple(shape.label for shape in shapes)
    else:
        labels = ()
    of_image = (one["value"] for one in results if one.get("type") == CHOICES)
    tags = tuple(choice for value in of_image if not _has_area(value) for choice in value[CHOICES])
    return Drawing(file, size, labels, tags, zlib.compress(json.dumps(regions).encode()))


def shapes_of(root: Path, drawing: Drawing, size: Size) -> Sequence[Shape]:
    """The shapes of a drawing, from the part of the file that it holds."""
    return shapes_in(json.loads(zlib.decompress(drawing.content)))


def shapes_in(regions: Sequence[Mapping[str, Any]]) -> list[Shape]:
    """The shapes of regions, in the order in which they were drawn.

    Raises:
        ValueError: One is not as Label Studio describes it.
    """
    shapes = []
    for number, region in enumerate(regions, start=1):
        try:
            shapes.append(_shape(region))
        except (KeyError, TypeError, ValueError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"region {number} ({region.get('type')}): {what}") from None
    return shapes


def kinds_of(task: Mapping[str, Any]) -> set[str]:
    """The types of all results of all annotations of a task."""
    return {str(result.get("type")) for one in _annotations(task) or [] for result in one.get("result", [])}


def count_without_area(annotation: Mapping[str, Any]) -> Counter[str]:
    """Number of regions of each kind that covers no pixels."""
    return Counter(one["type"] for one in annotation["result"] if one.get("type") in WITHOUT_AREA)


def _annotations(task: Mapping[str, Any]) -> list[Any] | None:
    """The annotations of a task, which releases before 1.0 call completions."""
    found = task.get("annotations", task.get("completions"))
    return found if isinstance(found, list) else None


def _names(annotation: Mapping[str, Any]) -> list[str]:
    """Id and e-mail address of who made it, as far as the export says."""
    who = annotation.get("completed_by")
    return [str(who[key]) for key in ("id", "email") if key in who] if isinstance(who, dict) else [str(who)]


def _regions(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The results that are regions with an area, each once."""
    regions = [one for one in results if one.get("type") not in NO_REGIONS | WITHOUT_AREA]
    labelled = {one.get("id") for one in regions if one.get("type") not in BARE}
    return [one for one in regions if one.get("type") not in BARE or one.get("id") not in labelled]


def _size(regions: Sequence[Mapping[str, Any]]) -> Size:
    sizes = sorted({(region["original_height"], region["original_width"]) for region in regions})
    if len(sizes) > 1:
        in_words = " and ".join(f"{width} x {height}" for height, width in sizes)
        raise ValueError(f"its regions are of images of {in_words} pixels")
    return sizes[0]


def _has_area(value: Mapping[str, Any]) -> bool:
    return not value.keys().isdisjoint({"x", "points", "rle"})


def _shape(region: Mapping[str, Any]) -> Shape:
    value, (height, width) = region["value"], (region["original_height"], region["original_width"])
    if not (isinstance(height, int) and isinstance(width, int) and 0 < height * width <= MOST_PIXELS and height > 0):
        raise ValueError(f"original_width {width!r} and original_height {height!r} are no size")
    if region.get("image_rotation"):
        raise ValueError(
            f"the image was turned by {region['image_rotation']} degrees; turn the file, and draw it again"
        )
    label = _label(region["type"], value)
    if "rle" in value:
        return pixels_of(label, decode_brush(value["rle"], (height, width)))
    corners = _corners(region["type"], value, width / 100, height / 100)
    if len(corners) < 3:
        raise ValueError(f"a polygon of {len(corners)} points")
    return Shape(label, "polygon", tuple(corners))


def _label(kind: str, value: Mapping[str, Any]) -> str:
    labels = value.get(kind, [])
    if len(labels) != 1:
        raise ValueError(f"it bears {' and '.join(labels) or 'no label'}; a region has one label")
    return str(labels[0])


def _corners(kind: str, value: Mapping[str, Any], across: float, down: float) -> list[Point]:
    """The corners of a region in pixels; `across` and `down` are one percent of width and height.

    A rectangle is turned around its left upper corner, an ellipse around its centre, clockwise.
    """
    if "points" in value:
        return [(x * across, y * down) for x, y in value["points"]]
    angle = math.radians(value.get("rotation") or 0)
    if "radiusX" in value:  # its documentation calls the centre the left upper corner; its code draws around it
        centre, radii = (value["x"] * across, value["y"] * down), (value["radiusX"] * across, value["radiusY"] * down)
        return ellipse_corners(centre, radii, angle)
    if "width" in value and "height" in value:
        x, y, right, lower = value["x"] * across, value["y"] * down, value["width"] * across, value["height"] * down
        cos, sin = math.cos(angle), math.sin(angle)
        offsets = ((0.0, 0.0), (right, 0.0), (right, lower), (0.0, lower))
        return [(x + cos * dx - sin * dy, y + sin * dx + cos * dy) for dx, dy in offsets]
    raise ValueError(f"which pixels a {kind} covers is not known")

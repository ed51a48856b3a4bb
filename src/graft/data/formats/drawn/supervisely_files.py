"""The files of a Supervisely project: `meta.json`, and a JSON file of objects for each image."""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.formats.coco_annotations import MOST_PIXELS
from graft.data.formats.drawn.drawn_listing import Drawing
from graft.data.formats.drawn.painters import Point, Shape, Size, check_inside
from graft.data.formats.files import Found
from graft.data.formats.split_names import split_named
from graft.foundation.class_map import UNLABELLED
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    import numpy as np

META = "meta.json"
PNG_MAGIC = b"\x89PNG"
PNG_HEADER_BYTES, MOST_PIXEL_BYTES = 1 << 16, 8  # of all that stands beside its pixels; four samples of 16 bits
ANY = "any"  # shape of a class whose objects may have any
WITH_AREA = frozenset({"bitmap", "polygon", "rectangle", ANY})
WITHOUT_AREA = frozenset({"line", "point", "graph", "cuboid", "cuboid_2d"})


@dataclass(frozen=True)
class ProjectMeta:
    """The classes of a project.

    Attributes:
        file: Id of its file.
        shapes: Name of each class to the shape of its objects, in order of the file.
    """

    file: str
    shapes: Mapping[str, str]

    @property
    def folder(self) -> str:
        """The folder of the project."""
        return posixpath.dirname(self.file)


def read_meta(found: Found) -> ProjectMeta | None:
    """The one project below the root; None where there is none.

    Raises:
        GraftError: There are several.
    """
    named = [id for id in sorted(found.paths) if posixpath.basename(id) == META and id not in found.refused]
    metas = [meta for id in named if (meta := _meta(found.root / found.paths[id], id)) is not None]
    if len(metas) > 1:
        raise GraftError(
            f"{' and '.join(meta.file for meta in metas)} are projects of their own",
            where=found.root,
            rule="supervisely reads one project",
            remedy="set ingest.root to the folder of one, or read them one after the other as deliveries",
        )
    return metas[0] if metas else None


def annotation_files(found: Found, meta: ProjectMeta) -> list[str]:
    """The JSON files in the folders `ann` of a project."""
    start = f"{meta.folder}/" if meta.folder else ""
    return [
        id
        for id in sorted(found.paths)
        if id.startswith(start) and id.endswith(".json") and posixpath.basename(posixpath.dirname(id)) == "ann"
    ]


def read_objects(path: Path) -> Mapping[str, Any]:
    """The content of an annotation file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not as Supervisely describes it.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise ValueError("it lists no objects, as the annotation of an image does")
    return content


def drawing_of(content: Mapping[str, Any], file: str, meta: ProjectMeta) -> Drawing:
    """The drawing of an annotation file, with the split that its tags name, if they name one.

    Raises:
        ValueError: An object or the size is not as Supervisely describes it; names the object.
    """
    shapes = shapes_in(content, meta.shapes)
    check_inside(shapes, size := _size(content))
    splits = sorted({split for tag in _tags(content) if (split := _split_of(tag)) is not None})
    if len(splits) > 1:
        raise ValueError(f"its tags name {' and '.join(splits)}; an image is in one split")
    return Drawing(file, size, tuple(shape.label for shape in shapes), split=next(iter(splits), None))


def shapes_of(kinds: Mapping[str, str], root: Path, drawing: Drawing, size: Size) -> Sequence[Shape]:
    """The shapes of a drawing, read again from its file; `kinds` are those of the classes."""
    return shapes_in(read_objects(root / drawing.file), kinds)


def shapes_in(content: Mapping[str, Any], kinds: Mapping[str, str]) -> list[Shape]:
    """The shapes of a file that cover pixels, in drawing order.

    Args:
        content: The content of the file.
        kinds: The shape of each class, for files of releases that write it nowhere else.

    Raises:
        ValueError: One is not as Supervisely describes it.
    """
    shapes, size = [], _size(content)
    for number, one in enumerate(content["objects"], start=1):
        try:
            kind = _kind(one, kinds)
            if kind not in WITHOUT_AREA:
                shapes.append(_shape(kind, one, size))
        except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, zlib.error) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"object {number}: {what}") from None
    return shapes


def count_without_area(content: Mapping[str, Any], kinds: Mapping[str, str]) -> Counter[str]:
    """Number of objects of each kind that covers no pixels."""
    return Counter(kind for one in content["objects"] if (kind := _kind(one, kinds)) in WITHOUT_AREA)


def count_tags(content: Mapping[str, Any]) -> int:
    """Number of tags of an image and of its objects that name no split."""
    tags = [*_tags(content), *(tag for one in content["objects"] for tag in _tags(one))]
    return sum(_split_of(tag) is None for tag in tags)


def _meta(path: Path, id: str) -> ProjectMeta | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return ProjectMeta(id, {str(one["title"]): str(one["shape"]) for one in content["classes"]})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _size(content: Mapping[str, Any]) -> Size:
    written = content.get("size")
    height, width = (written.get("height"), written.get("width")) if isinstance(written, dict) else (None, None)
    if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
        raise ValueError(f"its size {written!r} is none")
    if height * width > MOST_PIXELS:
        raise ValueError(f"its size, {width} x {height} pixels, is more than {MOST_PIXELS:,}")
    return height, width


def _split_of(tag: str) -> str | None:
    """The split of labelled images that a tag names."""
    split = split_named(tag)
    return None if split == UNLABELLED else split


def _tags(content: Mapping[str, Any]) -> list[str]:
    """The names of tags, which releases before 2019 wrote as they are.

    Raises:
        ValueError: They are no list, or one has no name.
    """
    written = content.get("tags") or []
    if not isinstance(written, list) or any(isinstance(tag, dict) and "name" not in tag for tag in written):
        raise ValueError(f"its tags are no list of names: {str(written)[:80]}")
    return [str(tag["name"] if isinstance(tag, dict) else tag) for tag in written]


def _kind(one: Mapping[str, Any], kinds: Mapping[str, str]) -> str:
    """The kind of an object, which releases before 2019 say of its class only."""
    return str(one.get("geometryType") or kinds.get(one["classTitle"]))


def _shape(kind: str, one: Mapping[str, Any], size: Size) -> Shape:
    label = str(one["classTitle"])
    if kind == "bitmap":
        return _bitmap(label, one["bitmap"], size)
    if kind not in ("polygon", "rectangle"):
        raise ValueError(f"which pixels an object of the kind {kind} covers is not known")
    points = _points(one["points"]["exterior"])
    if kind == "rectangle":
        if len(points) != 2:
            raise ValueError(f"a rectangle of {len(points)} points")
        return Shape(label, "box", points)
    holes = tuple(map(_points, one["points"].get("interior") or []))
    if few := [len(ring) for ring in (points, *holes) if len(ring) < 3]:
        raise ValueError(f"a polygon of {few[0]} points")
    return Shape(label, "polygon", points, holes=holes)


def _points(written: Sequence[Sequence[float]]) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in written)


def _bitmap(label: str, written: Mapping[str, Any], size: Size) -> Shape:
    left, top = (int(value) for value in written["origin"])
    pixels = _decode(written["data"], size)
    height, width = pixels.shape
    if min(left, top) < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(f"a bitmap of {width} x {height} pixels at ({left}, {top}) of {size[1]} x {size[0]}")
    return Shape(label, "pixels", ((left, top),), pixels=pixels)


def _decode(text: str, size: Size) -> np.ndarray:
    """The pixels of a bitmap: those of a PNG that are not transparent, or where none can be, not 0; bool [h, w].

    Raises:
        ValueError: It is no PNG, or larger than its image; judged before it is unfolded.
    """
    import cv2
    import numpy as np

    data = _unfolded(base64.b64decode(text), PNG_HEADER_BYTES + MOST_PIXEL_BYTES * (size[0] + 1) * (size[1] + 1))
    if not data.startswith(PNG_MAGIC):
        raise ValueError("its bitmap is no PNG")
    width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
    if height > size[0] or width > size[1]:
        raise ValueError(f"a bitmap of {width} x {height} pixels, of an image of {size[1]} x {size[0]}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("its bitmap is no PNG")
    channels = np.atleast_3d(image)
    seen = channels[:, :, 3:] if channels.shape[2] == 4 else channels
    return np.asarray(seen.any(axis=2))


def _unfolded(data: bytes, most_bytes: int) -> bytes:
    """The bytes that zlib packed; whatever it did not pack as it is.

    Raises:
        ValueError: They are cut off, or more than `most_bytes`.
    """
    unfolding = zlib.decompressobj()
    try:
        unfolded = unfolding.decompress(data, most_bytes)
    except zlib.error:
        return data
    if not unfolding.eof:
        what = f"unfolds to more than {most_bytes:,} bytes" if unfolding.unconsumed_tail else "is cut off"
        raise ValueError(f"its bitmap {what}")
    return unfolded

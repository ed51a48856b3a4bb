"""Label files of Ultralytics: a line a polygon, its class and its corners as shares of width and height."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from graft.data.formats.drawn.drawn_listing import Drawing
from graft.data.formats.drawn.painters import Point, Shape, Size
from graft.data.formats.files import Found, ends_of
from graft.foundation.errors import GraftError

TOLERANCE = 0.01  # how far outside of an image a corner may lie, as a share of its side
SPLITS = ("train", "val", "test")
OF_POLYGONS = "segmentation learns from polygons"
OF_BOXES = f"is a box, whose outline is unknown; {OF_POLYGONS}"


def read_names(found: Found) -> tuple[dict[int, str], dict[str, list[str]]]:
    """The names of the classes by number, and the folders of each split, from the one YAML file that has names.

    Raises:
        GraftError: There is none, there are several, its names are not as Ultralytics describes them, or it
            is of poses.
    """
    read = {id: content for id in sorted(found.paths) if (content := _content(found, id)) is not None}
    if len(read) != 1:
        what = f"{' and '.join(read)} name classes" if read else f"there is none; {found.in_words()}"
        raise GraftError(
            f"yolo expects one data.yaml below the root, with the names of the classes; {what}",
            where=found.root,
            remedy="set ingest.root to the folder of the export, which holds data.yaml",
        )
    ((file, content),) = read.items()
    if "kpt_shape" in content:
        raise GraftError("it describes poses (kpt_shape), not outlines", where=file, rule=OF_POLYGONS)
    names = content["names"]
    numbered = dict(enumerate(names)) if isinstance(names, list) else dict(names)
    if not all(isinstance(number, int) for number in numbered):
        raise GraftError(f"its names are {names!r}", where=file, rule="names are a list, or numbers and their names")
    folders = {split: [*_folders(found, content.get(split))] for split in SPLITS}
    return {number: str(name) for number, name in numbered.items()}, folders


def read_polygons(path: Path) -> list[tuple[int, tuple[Point, ...]]]:
    """The class number and the corners, as shares of width and height, of each line of a label file.

    Raises:
        ValueError: A line is not as Ultralytics describes it.
    """
    polygons = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.strip():
            try:
                polygons.append(_polygon(line.split()))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return polygons


def shapes_of(root: Path, drawing: Drawing, size: Size) -> Sequence[Shape]:
    """The shapes of a drawing, in pixels; its labels are in the order of the lines."""
    if not drawing.labels:
        return []
    height, width = size
    corners = [polygon for _, polygon in read_polygons(root / drawing.file)]
    in_pixels = [tuple((x * width, y * height) for x, y in polygon) for polygon in corners]
    return [Shape(label, "polygon", points) for label, points in zip(drawing.labels, in_pixels, strict=True)]


def label_file_of(image: str) -> str:
    """The path of an image's labels: of its last folder `images` the sibling `labels`, or else beside it."""
    before, found, after = f"/{image}".rpartition("/images/")
    place = f"{before}/labels/{after}" if found else f"/{image}"
    return f"{posixpath.splitext(place)[0]}.txt".lstrip("/")


def _polygon(words: Sequence[str]) -> tuple[int, tuple[Point, ...]]:
    values = [float(word) for word in words[1:]]
    if len(values) == 4:
        raise ValueError(OF_BOXES)
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers are no x and y of three corners or more")
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        raise ValueError("a corner lies outside of the image; x and y are shares of its width and height, 0 to 1")
    return int(words[0]), tuple(zip(values[::2], values[1::2], strict=True))


def _content(found: Found, id: str) -> dict[str, Any] | None:
    """The content of a YAML file that names classes; None of any other file."""
    if not id.lower().endswith((".yaml", ".yml")) or id in found.refused:
        return None
    content = _yaml(found.root / found.paths[id])
    is_named = isinstance(content, dict) and isinstance(content.get("names"), (list, dict))
    return content if is_named else None


def _yaml(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path)
    except (OSError, YAMLError, ValueError) as error:
        raise GraftError(f"it cannot be read as YAML ({error})", where=path) from None


def _folders(found: Found, written: Any) -> Iterator[str]:
    """The folders below the root that a split names; what stands in front on somebody else's machine is dropped."""
    for place in written if isinstance(written, list) else [written]:
        if isinstance(place, str):
            ends = ends_of(place.replace("\\", "/"))
            yield from [end for end in ends if end in found.folders][:1]

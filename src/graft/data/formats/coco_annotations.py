"""The annotation files of COCO: what they list, read without holding a polygon in memory."""

from __future__ import annotations

import json
import posixpath
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graft.data.formats.files import id_of
from graft.data.formats.json_items import Item, json_items
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress

KEYS = ("images", "annotations", "categories")
MOST_PIXELS = 1 << 28  # of a mask that a file asks for; larger sides are a mistake in it


@dataclass
class Pictured:
    """An image an annotation file lists.

    Attributes:
        name: Its file name.
        height: In pixels, as the file says.
        width: In pixels.
        places: Offset and number of bytes in the file, and category, of each of its annotations, in turn.
    """

    name: str
    height: int
    width: int
    places: array[int] = field(default_factory=lambda: array("q"))

    def of_classes(self, class_of: Mapping[int, int]) -> bytes:
        """Offset, number of bytes and class of each annotation of a category that has a class, int64."""
        chosen = array("q")
        for offset, num_bytes, category in zip(self.places[::3], self.places[1::3], self.places[2::3], strict=True):
            if category in class_of:
                chosen.extend((offset, num_bytes, class_of[category]))
        return chosen.tobytes()


@dataclass
class Annotations:
    """The content of one annotation file.

    Attributes:
        images: In the order of the file.
        categories: Category id to name, in order of id.
        num_of_category: Number of annotations of each category that has any.
        problems: Problems of the file, a line each.
        notes: Annotations that do not outline what they name, a line for each kind.
    """

    images: Sequence[Pictured]
    categories: Mapping[int, str]
    num_of_category: Mapping[int, int]
    problems: Sequence[str]
    notes: Sequence[str]

    @property
    def used(self) -> dict[int, str]:
        """The categories that annotations have; a placeholder, as Roboflow writes one, is none of them."""
        return {id: name for id, name in self.categories.items() if self.num_of_category.get(id)}


def read_annotations(path: Path, where: str) -> Annotations:
    """Reads an annotation file once; of an annotation only its place and category are kept, 24 bytes.

    Raises:
        GraftError: It is no such file.
    """
    images: dict[int, Pictured] = {}
    categories: dict[int, str] = {}
    places: dict[int, array[int]] = {}
    kinds: Counter[str] = Counter()
    num_of_category: Counter[int] = Counter()
    keys: set[str] = set()
    problems: list[str] = []
    item: Any = None
    try:
        for item in progress(json_items(path, where), f"Reading {path.name}", unit="item"):
            keys.add(item.key)
            if item.key == "annotations":
                image, category = item.value["image_id"], whole(item.value["category_id"])
                places.setdefault(image, array("q")).extend((item.offset, len(item.data), category))
                kinds[kind_of(item.value)] += 1
                num_of_category[category] += 1
            elif item.key == "images":
                _take_image(images, item, where, problems)
            elif item.key == "categories":
                category = json.loads(item.data)
                categories[whole(category["id"])] = str(category["name"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"an item of {item.key} is not as COCO describes it ({error!r}): {item.data[:80]!r}"
        raise GraftError(what, where=where, rule="cocodataset.org/#format-data, object detection") from None
    if lacking := [key for key in KEYS if key not in keys]:
        raise GraftError(f"it lists no {' and no '.join(lacking)}", where=where, rule=f"it lists {', '.join(KEYS)}")
    problems += _given(images, places, categories, where)
    listed = dict(sorted(categories.items()))
    return Annotations([*images.values()], listed, num_of_category, problems, _notes(kinds, where))


def whole(value: Any) -> int:
    """A whole number that may be written as 96.0.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def kind_of(annotation: Mapping[str, Any]) -> str:
    """The kind of an annotation: `outline`, `box` where only that is there, `degenerate`, or `nothing` at all."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and segmentation:
        flat = all(isinstance(polygon, list) and len(polygon) < 6 for polygon in segmentation)
        return "degenerate" if flat else "outline"
    if segmentation:
        return "outline"
    return "box" if annotation.get("bbox") else "nothing"


def _notes(kinds: Mapping[str, int], where: str) -> list[str]:
    words = {
        "box": "annotations with a box and no segmentation, in whose boxes all is ignored: their outline is unknown",
        "degenerate": "annotations whose polygons have fewer than three points and so cover nothing",
    }
    if kinds.get("box") and not kinds.get("outline"):
        raise GraftError(
            f"none of its {kinds['box']} boxes has a segmentation",
            where=where,
            rule="segmentation learns from outlines: polygons or run lengths",
            remedy="export it as instance segmentation, with polygons",
        )
    return [f"{where}: {kinds[kind]} {text}" for kind, text in words.items() if kinds.get(kind)]


def _take_image(images: dict[int, Pictured], item: Item, where: str, problems: list[str]) -> None:
    image = json.loads(item.data)
    name = posixpath.normpath(id_of(image["file_name"].replace("\\", "/")))
    number, height, width = image["id"], image["height"], image["width"]
    try:
        height, width = whole(height), whole(width)
    except ValueError:
        height = 0
    if min(height, width) <= 0:
        problems.append(f"{where}: {name}: {image['width']} x {image['height']} pixels are no size")
    elif height * width > MOST_PIXELS:
        problems.append(f"{where}: {name}: {width} x {height} pixels are more than {MOST_PIXELS:,}")
    elif number in images:
        problems.append(f"{where}: {name}: its id {number} is that of {images[number].name} too")
    else:
        images[number] = Pictured(name, height, width)


def _given(
    images: Mapping[int, Pictured], places: Mapping[int, array[int]], categories: Mapping[int, str], where: str
) -> list[str]:
    """Gives each image its annotations, and returns what belongs to no image or category."""
    problems = []
    for number, of_image in places.items():
        if number in images:
            images[number].places = of_image
        else:
            problems.append(f"{where}: {len(of_image) // 3} annotations of image {number}, which is not listed")
        strange = sorted(set(of_image[2::3]) - set(categories))
        problems += [f"{where}: image {number}: category {category} is not listed" for category in strange]
    return problems

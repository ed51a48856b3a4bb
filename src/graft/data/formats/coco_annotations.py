"""The annotation files of COCO: what they list, read without holding a polygon in memory."""

from __future__ import annotations

import json
import posixpath
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from graft.data.formats.files import id_of
from graft.data.formats.json_items import Item, json_items
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress

KEYS = ("images", "annotations", "categories")
NoOutline = Literal["void", "leave_aside", "refuse"]
NO_OUTLINE = {
    "box": "a box without a segmentation",
    "degenerate": "polygons of fewer than three points",
    "nothing": "neither segmentation nor box",
}
MOST_PIXELS = 1 << 28  # of a mask that a file asks for; larger sides are a mistake in it


@dataclass
class Pictured:
    """An image an annotation file lists.

    Attributes:
        name: Its file name.
        height: In pixels, as the file says.
        width: In pixels.
        places: Offset and number of bytes in the file, and category, of each of its annotations, in turn.
        mask: Path of its mask below the root, where there is one.
    """

    name: str
    height: int
    width: int
    places: array[int] = field(default_factory=lambda: array("q"))
    mask: str | None = None

    def hand_over(self, class_of: Mapping[int, int]) -> bytes:
        """Hands over offset, number of bytes and class of each annotation of a category that has a class, int64.

        The places are forgotten, so that memory holds them once.
        """
        chosen = array("q")
        for offset, num_bytes, category in zip(self.places[::3], self.places[1::3], self.places[2::3], strict=True):
            if category in class_of:
                chosen.extend((offset, num_bytes, class_of[category]))
        self.places = array("q")
        return chosen.tobytes()


@dataclass(frozen=True)
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


def read_annotations(path: Path, where: str, no_outline: NoOutline = "void") -> Annotations:
    """Reads an annotation file once; of an annotation only its place and category are kept, 24 bytes.

    Args:
        path: The file.
        where: Its id.
        no_outline: Fate of annotations that do not outline what they name.

    Raises:
        GraftError: It is no such file.
    """
    taken = TakenItems(where, no_outline)
    read = read_items(path, taken, "cocodataset.org/#format-data, object detection")
    return replace(read, notes=_notes(taken.kinds, where, no_outline))


def read_items(path: Path, taken: TakenItems, rule: str) -> Annotations:
    """Reads an annotation file of any kind once.

    Args:
        path: The file.
        taken: Takes its items.
        rule: The description of such files, for errors.

    Raises:
        GraftError: It is no such file.
    """
    where, keys = taken.where, set[str]()
    item: Any = None
    try:
        for item in progress(json_items(path, where), f"Reading {path.name}", unit="item"):
            keys.add(item.key)
            taken.take(item)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"an item of {item.key} is not as COCO describes it ({error!r}): {item.data[:80]!r}"
        raise GraftError(what, where=where, rule=rule) from None
    if lacking := [key for key in KEYS if key not in keys]:
        raise GraftError(f"it lists no {' and no '.join(lacking)}", where=where, rule=f"it lists {', '.join(KEYS)}")
    problems = [*taken.problems, *_given(taken.images, taken.places, taken.categories, where)]
    listed = dict(sorted(taken.categories.items()))
    return Annotations([*taken.images.values()], listed, taken.num_of_category, problems, [])


@dataclass
class TakenItems:
    """The items of an annotation file as they are read, one after the other.

    Attributes:
        where: Id of the file.
        no_outline: Fate of annotations that do not outline what they name.
        images: The images by their id.
        categories: Category id to name.
        places: Place and category of each annotation, by the id of its image.
        kinds: Number of annotations of each kind.
        num_of_category: Number of annotations of each category.
        problems: Problems of the items, a line each.
    """

    where: str
    no_outline: NoOutline = "void"
    images: dict[int, Pictured] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    places: dict[int, array[int]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    num_of_category: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def take(self, item: Item) -> None:
        """Takes an item of any of the arrays."""
        if item.key == "annotations":
            self.take_annotation(item)
        elif item.key == "images":
            _take_image(self.images, item, self.where, self.problems)
        elif item.key == "categories":
            category = json.loads(item.data)
            self.categories[whole(category["id"])] = str(category["name"])

    def take_annotation(self, item: Item) -> None:
        """Takes an annotation."""
        image, category = item.value["image_id"], whole(item.value["category_id"])
        self.kinds[kind := kind_of(item.value)] += 1
        self.kinds["key points"] += bool(item.value.get("keypoints"))
        if kind == "outline" or self.no_outline == "void":
            self.places.setdefault(image, array("q")).extend((item.offset, len(item.data), category))
            self.num_of_category[category] += 1
        elif self.no_outline == "refuse":
            self.problems.append(f"{self.where}: annotation {item.value.get('id')}: {NO_OUTLINE[kind]}")


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


def _notes(kinds: Counter[str], where: str, no_outline: NoOutline) -> list[str]:
    if (number := sum(kinds.values()) - kinds["key points"]) and not kinds["outline"]:
        what = (
            "annotations, which are key points," if kinds["key points"] else "boxes" if kinds["box"] else "annotations"
        )
        raise GraftError(
            f"none of its {number} {what} has a segmentation",
            where=where,
            rule="segmentation learns from outlines: polygons or run lengths",
            remedy="export it as instance segmentation, with polygons",
        )
    if no_outline == "leave_aside":
        return [f"{where}: {kinds[kind]} left aside: {text}" for kind, text in NO_OUTLINE.items() if kinds[kind]]
    words = {
        "box": "annotations with a box and no segmentation, in whose boxes all is ignored: their outline is unknown",
        "degenerate": "annotations whose polygons have fewer than three points and so cover nothing",
    }
    return [f"{where}: {kinds[kind]} {text}" for kind, text in words.items() if kinds[kind]]


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

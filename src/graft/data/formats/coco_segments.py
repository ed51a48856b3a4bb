"""The segments of COCO's panoptic annotations, and masks made of their PNG files."""

from __future__ import annotations

import json
import posixpath
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from graft.data.formats.coco_annotations import Annotations, Pictured, TakenItems, read_items, whole
from graft.data.formats.coco_masks import AnnotatedEntry
from graft.data.formats.files import FileReader, Found, by_end, ends_of, id_of
from graft.data.formats.json_items import Item
from graft.data.formats.listing import Entry
from graft.data.formats.translation import VOID
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    import numpy as np

RULE = "cocodataset.org/#format-data, panoptic segmentation"
NO_CLASS = -1  # of a segment whose category is not chosen
UNLABELLED_SEGMENT = 0
NUM_SHOWN = 5


class Segmented(Pictured):
    """An image with a mask of segments; its places are id, 0 and category of each segment."""

    def hand_over(self, class_of: Mapping[int, int]) -> bytes:
        """Hands over id, 0 and class of each segment, int64, -1 where it has none; nothing where none has one."""
        segments, self.places = self.places, array("q")
        if not any(category in class_of for category in segments[2::3]):
            return b""
        segments[2::3] = array("q", (class_of.get(category, NO_CLASS) for category in segments[2::3]))
        return segments.tobytes()


@dataclass
class TakenSegments(TakenItems):
    """The items of a panoptic file as they are read; `masks` are the file names of the masks, by image."""

    masks: dict[int, str] = field(default_factory=dict)

    def take_annotation(self, item: Item) -> None:
        image = item.value["image_id"]
        name = item.value["file_name"]
        name = name if name.isascii() else json.loads(item.data)["file_name"]
        self.masks[image] = id_of(name.replace("\\", "/"))
        segments = self.places.setdefault(image, array("q"))
        for segment in item.value["segments_info"]:
            category = whole(segment["category_id"])
            segments.extend((whole(segment["id"]), 0, category))
            self.num_of_category[category] += 1


def read_segments(found: Found, file: str) -> Annotations:
    """Reads a panoptic annotation file, and finds the masks it names.

    Raises:
        GraftError: It is no such file.
    """
    taken = TakenSegments(file)
    read = read_items(found.root / found.paths[file], taken, RULE)
    masks = by_end((id for id in found.paths if id.lower().endswith(".png")), bare=False)
    images, problems = [], list(read.problems)
    for number, image in taken.images.items():
        mask = _mask_of(taken.masks.get(number), file, masks)
        if mask is None or mask in found.refused:
            why = f": {found.refused[mask]}" if mask else " is not there, or several end so"
            named = taken.masks.get(number)
            problems.append(f"{file}: {image.name}: " + (f"its mask {named}{why}" if named else "it lists no segments"))
            continue
        images.append(Segmented(image.name, image.height, image.width, image.places, found.paths[mask]))
    return replace(read, images=images, problems=problems)


@dataclass(frozen=True)
class PanopticReader:
    """Reads an image and makes its mask; `unnamed` is the value of segments that have no class."""

    root: str
    unnamed: int = VOID

    def __call__(self, entry: Entry) -> tuple[bytes, bytes]:
        import cv2

        assert isinstance(entry, AnnotatedEntry)
        image, data = FileReader(self.root)(entry)
        assert data is not None
        return image, cv2.imencode(".png", self._classes(entry, _segments(entry, data)))[1].tobytes()

    def _classes(self, entry: AnnotatedEntry, segments: np.ndarray) -> np.ndarray:
        """The class of each pixel, uint8 [H, W]."""
        import numpy as np

        listed = np.frombuffer(entry.places, np.int64).reshape(-1, 3)[:, ::2].tolist()
        value_of = {id: self.unnamed if number == NO_CLASS else number for id, number in listed}
        value_of[UNLABELLED_SEGMENT] = VOID
        met, place = np.unique(segments, return_inverse=True)
        strange = [id for id in met.tolist() if id not in value_of] if listed else []
        if strange:
            raise GraftError(
                f"{entry.mask} has segments that {entry.annotations} does not list: "
                f"{', '.join(map(str, strange[:NUM_SHOWN]))}{', …' * (len(strange) > NUM_SHOWN)}",
                where=entry.id,
            )
        values = [value_of.get(id, self.unnamed) for id in met.tolist()]
        return np.array(values, np.uint8)[place].reshape(segments.shape)


def _segments(entry: AnnotatedEntry, data: bytes) -> np.ndarray:
    """The segment of each pixel of a mask, R + 256 G + 65536 B, int32 [H, W]."""
    import numpy as np

    from graft.data.images.codec import open_image

    with open_image(data, where=entry.mask) as opened:
        if opened.size != (entry.width, entry.height):
            across, down = opened.size
            what = f"{entry.mask} has {across} x {down} pixels, not {entry.width} x {entry.height}"
            raise GraftError(what, where=entry.id)
        colours = np.asarray(opened.convert("RGB"))
    return colours.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)


def _mask_of(name: str | None, file: str, masks: Mapping[str, list[str]]) -> str | None:
    """The mask of this name: in the folder named as the file, beside it, or the only one whose path ends so."""
    if name is None:
        return None
    named = masks.get(posixpath.basename(name), [])
    for folder in (posixpath.splitext(file)[0], posixpath.dirname(file)):
        if (place := posixpath.normpath(posixpath.join(folder, name))) in named:
            return place
    return next((ids[0] for end in ends_of(name) if len(ids := masks.get(end, [])) == 1), None)

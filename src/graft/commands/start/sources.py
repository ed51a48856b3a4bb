"""Which source reads a folder: rules over names and headers, from published layouts to plain folders of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from graft.commands.start.mask_layers_found import find_mask_layers
from graft.commands.start.mask_pairs_found import find_pairs, look_alike
from graft.commands.start.mask_values import BINARY, classes_of, evenly
from graft.commands.start.tables import find_table
from graft.data.formats.drawn.cvat_file import SHAPES, images_of
from graft.data.formats.drawn.label_studio_file import (
    CHOICES,
    NO_REGIONS,
    WITHOUT_AREA,
    is_export,
    kinds_of,
    tasks_of,
)
from graft.data.formats.drawn.labelme_files import read_labelme
from graft.data.formats.drawn.supervisely_files import annotation_files, read_meta
from graft.data.formats.drawn.yolo_files import label_file_of
from graft.data.formats.files import Found
from graft.data.formats.split_names import split_named
from graft.data.formats.unlabelled_images import is_picture, outside_unlabelled_folders
from graft.foundation.errors import GraftError

HEAD_BYTES = 1 << 16
NUM_FILES_SEEN, NUM_IMAGES_SEEN = 20, 500
KEYS_OF_TASKS = (b'"annotations"', b'"completions"', b'"annotation_id"')
PAIRED_SHARE = 0.95  # of the pictures; with fewer in pairs a person is told
SEGMENTATION, CLASSIFICATION = "segmentation", "classification"


@dataclass(frozen=True)
class Proposal:
    """A source that reads a folder.

    Attributes:
        source: Value of `ingest.source`.
        task: Value of `task`.
        reason: The evidence for it, as a sentence without its full stop.
        doubts: Doubts, a sentence each.
    """

    source: dict[str, Any]
    task: str
    reason: str
    doubts: tuple[str, ...] = field(default=())

    @property
    def recipe(self) -> str:
        """The recipe to begin with."""
        if self.task == CLASSIFICATION:
            return "photographs-classification"
        return "camvid" if self.source["name"] == "camvid" else "photographs"


def propose(everything: Found) -> list[Proposal]:
    """The sources that read a folder, the most specific first.

    Raises:
        GraftError: Masks were found whose values are no classes.
    """
    found = outside_unlabelled_folders(everything)
    return [proposal for rule in RULES for proposal in rule(found)]


def _published(found: Found) -> Iterator[Proposal]:
    """Data sets in the layout in which they are published, by their folders."""
    layouts = {
        "cityscapes": ("leftImg8bit/train", "gtFine/train"),
        "voc": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
        "ade20k": ("images/training", "annotations/training"),
        "camvid": ("train", "trainannot", "val", "valannot"),
    }
    for name, folders in layouts.items():
        if found.folders.issuperset(folders):
            yield Proposal({"name": name}, SEGMENTATION, f"there are {', '.join(folders)}, as {name} has them")


def _yolo(found: Found) -> Iterator[Proposal]:
    """A YAML file that names classes, and text files of polygons in folders named `labels`."""
    names = [id for id in _sample(found, ".yaml", ".yml") if b"names" in _head(found, id)]
    pictures = list(filter(is_picture, found.paths))
    files = [file for id in pictures if (file := found.place_of(label_file_of(id))) in found.paths]
    lines = [line.split() for id in evenly(files) for line in _head(found, id).decode("utf-8", "replace").splitlines()]
    if not names or not files or not any(len(line) > 6 for line in lines):
        return
    source: dict[str, Any] = {"name": "yolo"}
    doubts: tuple[str, ...] = ()
    if missing := len(pictures) - len(files):
        source["missing"] = "background"
        doubts = (f"{missing} of {len(pictures)} images have no text file; they count as showing nothing",)
    yield Proposal(source, SEGMENTATION, f"{names[0]} names classes, and text files hold polygons", doubts)


def _cvat(found: Found) -> Iterator[Proposal]:
    for id in _sample(found, ".xml"):
        if b"<annotations>" not in _head(found, id):
            continue
        kinds = {
            one.tag for image in islice(images_of(found.root / found.paths[id], id), NUM_IMAGES_SEEN) for one in image
        }
        yield from _of_tool("cvat", f"{id} is CVAT for images", bool(kinds & SHAPES), "tag" in kinds)
        return


def _label_studio(found: Found) -> Iterator[Proposal]:
    for id in _sample(found, ".json"):
        path = found.root / found.paths[id]
        if not is_export(path) or not any(key in _head(found, id) for key in KEYS_OF_TASKS):
            continue
        kinds = {kind for task in islice(tasks_of(path, id), NUM_IMAGES_SEEN) for kind in kinds_of(task)}
        if kinds:
            has_shapes = bool(kinds - NO_REGIONS - WITHOUT_AREA)
            yield from _of_tool("label_studio", f"{id} is an export of Label Studio", has_shapes, CHOICES in kinds)
            return


def _supervisely(found: Found) -> Iterator[Proposal]:
    meta = read_meta(found)
    if meta is not None and (files := annotation_files(found, meta)):
        reason = f"{meta.file} names {len(meta.shapes)} classes, and {files[0]} annotates an image, as in Supervisely"
        yield Proposal({"name": "supervisely"}, SEGMENTATION, reason)


def _labelme(found: Found) -> Iterator[Proposal]:
    read = {id: content for id in _sample(found, ".json") if (content := _labelme_file(found, id)) is not None}
    if read:
        has_shapes = any(content["shapes"] for content in read.values())
        has_flags = any(is_set for content in read.values() for is_set in (content.get("flags") or {}).values())
        yield from _of_tool("labelme", f"{next(iter(read))} is a file of labelme", has_shapes, has_flags)


def _of_tool(name: str, reason: str, has_shapes: bool, has_labels: bool) -> Iterator[Proposal]:
    if has_shapes:
        yield Proposal({"name": name}, SEGMENTATION, f"{reason}, with shapes")
    if has_labels:
        yield Proposal({"name": name}, CLASSIFICATION, f"{reason}, with labels of whole images")


def _coco(found: Found) -> Iterator[Proposal]:
    for id in _sample(found, ".json"):
        text = _head(found, id) + _tail(found, id)
        keys = [key for key in ("images", "annotations", "categories") if f'"{key}"'.encode() in text]
        for name, word in (("coco", b'"segmentation"'), ("coco_panoptic", b'"segments_info"')):
            if len(keys) >= 2 and word in text:
                yield Proposal({"name": name}, SEGMENTATION, f"{id} has {' and '.join(keys)}, as COCO has them")
                return


def _table(found: Found) -> Iterator[Proposal]:
    """A table whose lines hold paths of pictures, with labels or with masks beside them."""
    table = find_table(found, _sample(found, ".csv", ".tsv", ".txt"))
    if table is None:
        return
    if table.labels:
        source, doubts = {**table.source, "label_column": table.labels[0]}, list(table.doubts)
        if len(table.labels) > 1:
            doubts.append(f"the columns {', '.join(map(str, table.labels))} could all be labels")
        yield Proposal(source, CLASSIFICATION, f"{table.name} lists pictures and labels", tuple(doubts))
    if table.masks:
        read = classes_of(found, evenly(table.masks))
        source = {**table.source, "mask_column": table.mask_column, "classes": read.classes}
        source |= {"void": read.void} if read.void else {}
        yield Proposal(source, SEGMENTATION, f"{table.name} lists pictures and masks", (*table.doubts, *read.doubts))


def _masks(found: Found) -> Iterator[Proposal]:
    pairs = find_pairs(found)
    if pairs is None:
        return
    read = classes_of(found, evenly(pairs.mask_of.values()))
    source: dict[str, Any] = {"name": "mask_folder", "images": pairs.images, "masks": pairs.masks}
    source |= {"classes": read.classes} | ({"void": read.void} if read.void else {})
    num_pictures, doubts = sum(map(is_picture, found.paths)), list(read.doubts)
    num_paired = len(pairs.mask_of) + sum(map(is_picture, pairs.mask_of.values()))
    if num_paired < PAIRED_SHARE * num_pictures:
        left = num_pictures - num_paired
        doubts.append(f"{left} of {num_pictures} pictures are in no pair; images and masks say which patterns are used")
    yield Proposal(source, SEGMENTATION, f"{len(pairs.mask_of)} pictures have a mask", tuple(doubts))


def _mask_layers(found: Found) -> Iterator[Proposal]:
    """Several masks an image, of two values each."""
    layers = find_mask_layers(found)
    if layers is None:
        return
    try:
        read = classes_of(found, evenly(layers.layers.files))
    except GraftError:
        return
    if len(read.classes) != 2 or read.void:
        return
    source: dict[str, Any] = {"name": "mask_layers", "images": layers.images, "masks": layers.masks}
    source |= {} if layers.classes else {"classes": [BINARY[1]]}
    values = [*read.classes.values()][1]
    source |= {"foreground": values} if isinstance(values, list) and isinstance(values[0], str) else {}
    reason = f"{len(layers.layers.files)} masks belong to {len(layers.layers.of_image)} images, several to one"
    yield Proposal(source, SEGMENTATION, reason, read.doubts)


def _class_folders(found: Found) -> Iterator[Proposal]:
    """A folder for each class, with or without folders of splits above; not where pictures look like pairs."""
    pictures = list(filter(is_picture, found.paths))
    folders: dict[str, set[str]] = {}
    for id in pictures:
        *above, name = id.split("/")
        for folder in above:
            folders.setdefault(folder, set()).add(name)
    classes = {name: files for name, files in folders.items() if split_named(name) is None}
    if len(classes) < 2 or 2 * len(look_alike(pictures)) > len(pictures) / 4:
        return
    contents = set(map(frozenset, classes.values()))
    if len(contents) == 1 and len(next(iter(contents))) < len(classes):
        return  # every folder holds files of the same few names, as case1/image.png: a folder is a case
    shown = ", ".join(sorted(classes)[:5]) + (", …" if len(classes) > 5 else "")
    yield Proposal({"name": "image_folder"}, CLASSIFICATION, f"pictures lie in folders, {shown}, and none has a mask")


RULES: tuple[Callable[[Found], Iterator[Proposal]], ...] = (
    *(
        _published,
        _yolo,
        _cvat,
        _label_studio,
        _supervisely,
        _labelme,
        _coco,
        _masks,
        _mask_layers,
        _table,
        _class_folders,
    ),
)


def _labelme_file(found: Found, id: str) -> dict[str, Any] | None:
    try:
        return read_labelme(found.root / found.paths[id])
    except (OSError, ValueError):
        return None


def _sample(found: Found, *endings: str) -> list[str]:
    """A few files with one of these endings, those highest in the folder first."""
    named = [id for id in found.paths if id.lower().endswith(endings) and id not in found.refused]
    return sorted(named, key=lambda id: (id.count("/"), id))[:NUM_FILES_SEEN]


def _head(found: Found, id: str) -> bytes:
    with (found.root / found.paths[id]).open("rb") as file:
        return file.read(HEAD_BYTES)


def _tail(found: Found, id: str) -> bytes:
    with (found.root / found.paths[id]).open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - HEAD_BYTES))
        return file.read()

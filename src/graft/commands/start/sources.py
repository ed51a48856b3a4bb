"""Which source reads a folder: rules over names and headers, from published layouts to plain folders of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from graft.commands.start.glimpses import head, sample, tail
from graft.commands.start.known_layouts import known_layout
from graft.commands.start.mask_layers_found import find_mask_layers
from graft.commands.start.mask_pairs_found import is_part_of_layout, look_alike
from graft.commands.start.mask_sources import masks_by_pattern, published, roboflow, several_masks, voc_layout
from graft.commands.start.mask_values import classes_of, evenly
from graft.commands.start.proposal import CLASSIFICATION, MULTILABEL, SEGMENTATION, Proposal
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

NUM_IMAGES_SEEN = 500
KEYS_OF_TASKS = (b'"annotations"', b'"completions"', b'"annotation_id"')


def propose(everything: Found) -> list[Proposal]:
    """The sources that read a folder, the most specific first.

    Raises:
        GraftError: Masks were found whose values are no classes.
    """
    found = outside_unlabelled_folders(everything)
    return [proposal for rule in RULES for proposal in rule(found)]


def _yolo(found: Found) -> Iterator[Proposal]:
    """A YAML file that names classes, and text files of polygons in folders named `labels`."""
    names = [id for id in sample(found, ".yaml", ".yml") if b"names" in head(found, id)]
    pictures = list(filter(is_picture, found.paths))
    files = [file for id in pictures if (file := found.place_of(label_file_of(id))) in found.paths]
    lines = [line.split() for id in evenly(files) for line in head(found, id).decode("utf-8", "replace").splitlines()]
    if not names or not files or not any(len(line) > 6 for line in lines):
        return
    source: dict[str, Any] = {"name": "yolo"}
    doubts: tuple[str, ...] = ()
    if missing := len(pictures) - len(files):
        source["missing"] = "background"
        doubts = (f"{missing} of {len(pictures)} images have no text file; they count as showing nothing",)
    yield Proposal(source, SEGMENTATION, f"{names[0]} names classes, and text files hold polygons", doubts)


def _cvat(found: Found) -> Iterator[Proposal]:
    for id in sample(found, ".xml"):
        if b"<annotations>" not in head(found, id):
            continue
        kinds = {
            one.tag for image in islice(images_of(found.root / found.paths[id], id), NUM_IMAGES_SEEN) for one in image
        }
        yield from _of_tool("cvat", f"{id} is CVAT for images", bool(kinds & SHAPES), "tag" in kinds)
        return


def _label_studio(found: Found) -> Iterator[Proposal]:
    for id in sample(found, ".json"):
        path = found.root / found.paths[id]
        if not is_export(path) or not any(key in head(found, id) for key in KEYS_OF_TASKS):
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
    read = {id: content for id in sample(found, ".json") if (content := _labelme_file(found, id)) is not None}
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
    for id in sample(found, ".json"):
        text = head(found, id) + tail(found, id)
        keys = [key for key in ("images", "annotations", "categories") if f'"{key}"'.encode() in text]
        for name, word in (("coco", b'"segmentation"'), ("coco_panoptic", b'"segments_info"')):
            if len(keys) >= 2 and word in text:
                yield Proposal({"name": name}, SEGMENTATION, f"{id} has {' and '.join(keys)}, as COCO has them")
                return


def _table(found: Found) -> Iterator[Proposal]:
    """A table whose lines hold paths of pictures, with labels or with masks beside them."""
    table = find_table(found, sample(found, ".csv", ".tsv", ".txt"))
    if table is None:
        return
    if table.label_columns:
        task, number = (CLASSIFICATION, "one") if table.is_single else (MULTILABEL, "any number")
        source = {**table.source, "label_columns": table.label_columns}
        reason = f"{table.name} lists pictures, with {number} of {len(table.label_columns)} labels each"
        yield Proposal(source, task, reason, table.doubts)
    elif table.label_cells:
        reason = f"{table.name} lists pictures, with any number of labels in a cell"
        yield Proposal({**table.source, **table.label_cells}, MULTILABEL, reason, table.doubts)
    elif table.labels:
        source, doubts = {**table.source, "label_column": table.labels[0]}, list(table.doubts)
        if len(table.labels) > 1:
            doubts.append(f"the columns {', '.join(map(str, table.labels))} could all be labels")
        yield Proposal(source, CLASSIFICATION, f"{table.name} lists pictures and labels", tuple(doubts))
    if table.masks:
        read = classes_of(found, evenly(table.masks))
        source = {**table.source, "mask_column": table.mask_column, "classes": read.classes}
        source |= {"void": read.void} if read.void else {}
        yield Proposal(source, SEGMENTATION, f"{table.name} lists pictures and masks", (*table.doubts, *read.doubts))


def _class_folders(found: Found) -> Iterator[Proposal]:
    """A folder for each class, with or without folders of splits above; not where pictures look like pairs."""
    pictures = list(filter(is_picture, found.paths))
    folders: dict[str, set[str]] = {}
    for id in pictures:
        *above, name = id.split("/")
        for folder in above:
            folders.setdefault(folder, set()).add(name)
    classes = {name: files for name, files in folders.items() if split_named(name) is None}
    if (
        len(classes) < 2
        or all(map(is_part_of_layout, classes))
        or 2 * len(look_alike(pictures)) > len(pictures) / 4
        or find_mask_layers(found) is not None
    ):
        return
    contents = set(map(frozenset, classes.values()))
    if len(contents) == 1 and len(next(iter(contents))) < len(classes):
        return  # every folder holds files of the same few names, as case1/image.png: a folder is a case
    shown = ", ".join(sorted(classes)[:5]) + (", …" if len(classes) > 5 else "")
    yield Proposal({"name": "image_folder"}, CLASSIFICATION, f"pictures lie in folders, {shown}, and none has a mask")


RULES: tuple[Callable[[Found], Iterator[Proposal]], ...] = (
    *(published, known_layout, voc_layout, roboflow, _yolo, _cvat, _label_studio, _supervisely, _labelme, _coco),
    *(masks_by_pattern, several_masks, _table, _class_folders),
)


def _labelme_file(found: Found, id: str) -> dict[str, Any] | None:
    try:
        return read_labelme(found.root / found.paths[id])
    except (OSError, ValueError):
        return None

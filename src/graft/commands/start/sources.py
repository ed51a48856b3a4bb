"""Which source reads a folder: rules over names and headers, from published layouts to plain folders of classes."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.commands.start.mask_pairs_found import find_pairs, is_word
from graft.commands.start.mask_values import classes_of, evenly
from graft.data.formats.files import Found, by_end, ends_of, id_of
from graft.data.formats.split_names import split_named
from graft.data.formats.unlabelled_images import is_picture

HEAD_BYTES = 1 << 16
NUM_FILES_SEEN, NUM_LINES_SEEN = 20, 200
LEAST_SHARE_OF_PATHS = 0.8


@dataclass(frozen=True)
class Proposal:
    """A source that reads a folder.

    Attributes:
        source: Value of `ingest.source`.
        task: Value of `task`.
        reason: The evidence for it, as a sentence without its full stop.
        recipe: Recipe to begin with.
        doubts: Doubts, a sentence each.
    """

    source: dict[str, Any]
    task: str
    reason: str
    recipe: str = "photographs"
    doubts: tuple[str, ...] = field(default=())


def propose(found: Found) -> list[Proposal]:
    """The sources that read a folder, the most specific first."""
    return [proposal for rule in RULES if (proposal := rule(found)) is not None]


def _published(found: Found) -> Proposal | None:
    """Data sets in the layout in which they are published, by their folders."""
    layouts = {
        "cityscapes": ("leftImg8bit/train", "gtFine/train"),
        "voc": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
        "ade20k": ("images/training", "annotations/training"),
        "camvid": ("train", "trainannot", "val", "valannot"),
    }
    for name, folders in layouts.items():
        if found.folders.issuperset(folders):
            recipe = "camvid" if name == "camvid" else "photographs"
            return Proposal(
                {"name": name}, "segmentation", f"there are {', '.join(folders)}, as {name} has them", recipe
            )
    return None


def _yolo(found: Found) -> Proposal | None:
    names = [id for id in _sample(found, ".yaml", ".yml") if b"names" in _head(found, id)]
    texts = [id for id in _sample(found, ".txt") if "labels" in posixpath.dirname(id).split("/")]
    if not names or not texts:
        return None
    lines = [line.split() for id in texts for line in _head(found, id).decode("utf-8", "replace").splitlines()]
    if lines and all(len(line) == 5 for line in lines):
        return None
    source = {"name": "yolo", "missing": "background"}
    return Proposal(source, "segmentation", f"{names[0]} names classes, and text files in labels hold polygons")


def _cvat(found: Found) -> Proposal | None:
    for id in _sample(found, ".xml"):
        head = _head(found, id)
        if b"<annotations>" in head and b"<image " in head:
            task = "classification" if b"<tag " in head and b"<polygon" not in head and b"<mask" not in head else None
            return _drawn("cvat", task, f"{id} is CVAT for images")
    return None


def _labelme(found: Found) -> Proposal | None:
    for id in _sample(found, ".json"):
        content = _head(found, id)
        tail = _tail(found, id)
        if b'"shapes"' in content + tail and b'"imagePath"' in content + tail:
            is_empty = b'"shapes": []' in content
            return _drawn("labelme", "classification" if is_empty else None, f"{id} is a file of labelme")
    return None


def _coco(found: Found) -> Proposal | None:
    for id in _sample(found, ".json"):
        text = _head(found, id) + _tail(found, id)
        keys = [key for key in ("images", "annotations", "categories") if f'"{key}"'.encode() in text]
        if len(keys) >= 2 and b'"segmentation"' in text:
            return Proposal({"name": "coco"}, "segmentation", f"{id} has {' and '.join(keys)}, as COCO has them")
    return None


def _table(found: Found) -> Proposal | None:
    """A table whose lines begin with, or hold, paths of pictures."""
    ends = by_end(filter(is_picture, found.paths))
    for id in _sample(found, ".csv", ".tsv", ".txt"):
        text = _head(found, id).decode("utf-8-sig", "replace")
        rows = [row for row in csv.reader(text.splitlines()[: NUM_LINES_SEEN + 1], delimiter=_delimiter(text)) if row]
        if len(rows) < 3 or len({len(row) for row in rows[:-1]}) != 1 or len(rows[0]) < 2:
            continue
        if (proposal := _of_columns(id, _delimiter(text), rows, ends)) is not None:
            return proposal
    return None


def _of_columns(
    table: str, delimiter: str, rows: Sequence[Sequence[str]], ends: Mapping[str, Sequence[str]]
) -> Proposal | None:
    """The proposal of a table with a header whose columns are an image and a label; None where they are not."""
    header, lines = rows[0], rows[1:-1] or rows[1:]
    paths = [number for number in range(len(header)) if _are_paths([line[number] for line in lines], ends)]
    if not paths:
        return None
    others = [number for number in range(len(header)) if number not in paths]
    labels = [number for number in others if 2 <= len({line[number] for line in lines}) <= max(2, len(lines) // 3)]
    splits = [number for number in labels if all(split_named(line[number]) for line in lines)]
    named = [number for number in labels if number not in splits]
    source: dict[str, Any] = {"name": "csv", "table": table, "image_column": header[paths[0]]}
    source |= {"delimiter": delimiter} if delimiter != "," else {}
    source |= {"split_column": header[splits[0]]} if splits else {}
    if not named:
        return None
    source["label_column"] = header[named[0]]
    more = [f"the columns {', '.join(header[number] for number in named)} could be labels"] if len(named) > 1 else []
    reason = f"{table} lists pictures in {header[paths[0]]} and labels in {header[named[0]]}"
    return Proposal(source, "classification", reason, "photographs-classification", tuple(more))


def _masks(found: Found) -> Proposal | None:
    pairs = find_pairs(found)
    if pairs is None:
        return None
    read = classes_of(found, evenly(pairs.mask_of.values()))
    if len(read.classes) < 2:
        return None
    source: dict[str, Any] = {"name": "mask_folder", "images": pairs.images, "masks": pairs.masks}
    source |= {"classes": read.classes} | ({"void": read.void} if read.void else {})
    return Proposal(source, "segmentation", f"{len(pairs.mask_of)} pictures have a mask", doubts=read.doubts)


def _class_folders(found: Found) -> Proposal | None:
    """A folder for each class, with or without folders of splits above."""
    names = {folder for id in found.paths if is_picture(id) for folder in id.split("/")[:-1]}
    classes = sorted(name for name in names if split_named(name) is None and not is_word(name))
    if len(classes) < 2:
        return None
    shown = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
    reason = f"pictures lie in folders, {shown}, and none has a mask"
    return Proposal({"name": "image_folder"}, "classification", reason, "photographs-classification")


RULES: tuple[Callable[[Found], Proposal | None], ...] = (
    *(_published, _yolo, _cvat, _labelme, _coco, _table, _masks, _class_folders),
)


def _drawn(name: str, task: str | None, reason: str) -> Proposal:
    if task == "classification":
        return Proposal({"name": name}, task, f"{reason}, with labels of whole images", "photographs-classification")
    return Proposal({"name": name}, "segmentation", f"{reason}, with shapes")


def _are_paths(cells: Sequence[str], ends: Mapping[str, Sequence[str]]) -> bool:
    """Whether most cells are the path of a picture, or the end of one, with its ending or without."""
    met = [any(end in ends for end in ends_of(id_of(cell.replace("\\", "/")))) for cell in cells if cell]
    return len(met) >= 2 and sum(met) >= LEAST_SHARE_OF_PATHS * len(met)


def _delimiter(text: str) -> str:
    first = text.splitlines()[0] if text else ""
    return max(",;\t", key=first.count)


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

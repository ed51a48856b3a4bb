"""Sources whose masks are files: published data sets, exports of tools, and pairs that nobody described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graft.commands.start.glimpses import head
from graft.commands.start.mask_layers_found import find_mask_layers
from graft.commands.start.mask_opinions import opinions
from graft.commands.start.mask_pairs_found import find_pairs
from graft.commands.start.mask_values import BINARY, classes_of, evenly, mask_key_of
from graft.commands.start.proposal import SEGMENTATION, Proposal
from graft.data.formats.files import Found
from graft.data.formats.roboflow_masks import CLASSES_FILE, is_class_list
from graft.data.formats.unlabelled_images import is_picture
from graft.data.formats.voc import LIST_FOLDER
from graft.data.formats.voc_classes import LABEL_MAP
from graft.foundation.errors import GraftError

PAIRED_SHARE = 0.95  # of the pictures; with fewer in pairs a person is told
NAMES_OF_LABELME = "class_names.txt"


def published(found: Found) -> Iterator[Proposal]:
    """Data sets in the layout in which they are published, by their folders and lists."""
    layouts = (
        ("cityscapes", ("leftImg8bit/train", "gtFine/train")),
        ("ade20k", ("images/training", "annotations/training")),
        ("coco_stuff", ("images/train2017", "annotations/train2017", "annotations/val2017")),
        ("coco_stuff", ("train2017", "stuffthingmaps/train2017", "stuffthingmaps/val2017")),
        ("camvid", ("train", "trainannot", "train.txt", "val", "valannot", "val.txt")),
    )
    for name, expected in layouts:
        if all(one in found.folders or one in found.paths for one in expected):
            yield Proposal({"name": name}, SEGMENTATION, f"there are {', '.join(expected)}, as {name} has them")


def voc_layout(found: Found) -> Iterator[Proposal]:
    """PASCAL VOC, and exports in its layout that name their classes."""
    if not found.folders.issuperset(("JPEGImages", "SegmentationClass")):
        return
    named = next((file for file in (LABEL_MAP, NAMES_OF_LABELME) if file in found.paths), None)
    if named is not None:
        reason = f"there are JPEGImages and SegmentationClass, and {named} names their classes"
        yield Proposal({"name": "voc", "classes": named}, SEGMENTATION, reason)
    elif LIST_FOLDER in found.folders:
        reason = f"there are JPEGImages, SegmentationClass, {LIST_FOLDER}, as voc has them"
        yield Proposal({"name": "voc"}, SEGMENTATION, reason)


def roboflow(found: Found) -> Iterator[Proposal]:
    """Masks of Roboflow, by its list of classes."""
    for id in found.paths:
        if id.rsplit("/", 1)[-1] == CLASSES_FILE and is_class_list(head(found, id).decode("utf-8-sig", "replace")):
            yield Proposal({"name": "roboflow_masks"}, SEGMENTATION, f"{id} names the mask values of Roboflow")
            return


def masks_by_pattern(found: Found) -> Iterator[Proposal]:
    """A mask for each image."""
    pairs = find_pairs(found)
    if pairs is None:
        return
    seen = evenly(pairs.mask_of.values())
    mask_key = mask_key_of(found, seen)
    read = classes_of(found, seen, mask_key)
    source: dict[str, Any] = {"name": "mask_folder", "images": pairs.images, "masks": pairs.masks}
    source |= {"classes": read.classes} | ({"void": read.void} if read.void else {})
    source |= {"splits": pairs.splits} if pairs.splits else {}
    source |= {"mask_key": mask_key} if mask_key else {}
    num_pictures, doubts = sum(map(is_picture, found.paths)), list(read.doubts)
    num_paired = len(pairs.mask_of) + sum(map(is_picture, pairs.mask_of.values()))
    if num_paired < PAIRED_SHARE * num_pictures:
        left = num_pictures - num_paired
        doubts.append(f"{left} of {num_pictures} pictures are in no pair; images and masks say which patterns are used")
    yield Proposal(source, SEGMENTATION, f"{len(pairs.mask_of)} pictures have a mask", tuple(doubts))


def several_masks(found: Found) -> Iterator[Proposal]:
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
    if layers.classes and (num := opinions(found, layers)):
        masks, first = layers.masks.replace("{class}", layers.classes[0]), layers.classes[0]
        source = {"name": "mask_folder", "images": layers.images, "masks": masks, "classes": read.classes}
        doubt = f"{', '.join(layers.classes)} cover the same pixels in {num} images, as people do who draw the same; "
        reason = f"{len(layers.layers.of_image)} images have masks by {len(layers.classes)} people"
        yield Proposal(source, SEGMENTATION, reason, (*read.doubts, f"{doubt}those of {first} are taken"))
        return
    values = [*read.classes.values()][1]
    source |= {"foreground": values} if isinstance(values, list) and isinstance(values[0], str) else {}
    reason = f"{len(layers.layers.files)} masks belong to {len(layers.layers.of_image)} images, several to one"
    yield Proposal(source, SEGMENTATION, reason, read.doubts)

"""Cityscapes as it is published: `leftImg8bit/train/aachen/…_leftImg8bit.png`, `gtFine/train/aachen/…_labelIds.png`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom, add_test
from graft.data.formats.layout import check_layout, entry_of, layout_error, pair_files
from graft.data.formats.listing import Entry, Listing, check_task
from graft.data.formats.translation import VOID, Translation
from graft.foundation.class_map import ClassMap
from graft.foundation.counted import counted

# Name, label id and colour, in order of train id (helpers/labels.py of the data set's own scripts).
CLASSES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
LAST_LABEL_ID = 33
FOLDERS = tuple(f"{kind}/{split}" for kind in ("leftImg8bit", "gtFine") for split in ("train", "val"))


def cityscapes(
    task: str,
    seed: int,
    root: Path,
    *,
    labels: Literal["labelIds", "labelTrainIds"] = "labelIds",
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.1,
) -> Listing:
    """Streets of European cities by day, 19 classes, 2975 finely labelled images to train on and 500 to validate.

    For driving scenes, and as a large labelled start for other streets. The 19 classes with a train id count, all
    other labels are ignored. The group of an image is its city. The masks published for the official test are dummies,
    so that split is left aside; by default the official val, on which papers report, is the test split, and whole
    cities held out of train are val. The licence allows no commercial use.

    Cordts et al. 2016, "The Cityscapes Dataset for Semantic Urban Scene Understanding"; ids and colours as in
    helpers/labels.py of its scripts.

    Args:
        labels: Which masks are read: `labelIds` as downloaded, or `labelTrainIds` as its scripts make them.
        test_from: `val`: the official val is test, held-out train cities are val. `train`: held-out train cities are
            test, val stays val. `none`: the official splits, no test.
        held_out_fraction: At least this share of the training images, in whole cities, is held out.
    """
    check_task(task, "segmentation", "cityscapes")
    found = find_files(root)
    check_layout("cityscapes", found, folders=FOLDERS)
    entries, problems = _entries(found, labels)
    if not problems:
        entries = add_test(entries, test_from, held_out_fraction, seed)
    num_test = sum(id.startswith("leftImg8bit/test/") for id in found.paths)
    notes = [f"{counted(num_test, 'image')} of the official test, whose labels are not public"] if num_test else []
    class_map = ClassMap(
        task="segmentation",
        names=tuple(name for name, _, _ in CLASSES),
        colors=tuple(colour for _, _, colour in CLASSES),
        source_values=_values(labels),
        official_splits=test_from == "none",
        synthetic=False,
        source="cityscapes",
        licence="Cityscapes licence: no commercial use, no redistribution (www.cityscapes-dataset.com/license)",
    )
    return Listing(class_map, entries, FileReader(str(root)), _translation(labels), problems, notes)


def _entries(found: Found, labels: str) -> tuple[list[Entry], list[str]]:
    image_name = re.compile(r"leftImg8bit/((?:train|val)/[^/]+/[^/]+)_leftImg8bit\.png")
    mask_name = re.compile(rf"gtFine/((?:train|val)/[^/]+/[^/]+)_gtFine_{labels}\.png")
    images = {id: match[1] for id in found.paths if (match := image_name.fullmatch(id))}
    masks = [id for id in found.paths if mask_name.fullmatch(id)]
    for split in ("train", "val"):
        for ids, expected in (
            (images, f"leftImg8bit/{split}/<city>/*_leftImg8bit.png"),
            (masks, f"gtFine/{split}/<city>/*_gtFine_{labels}.png"),
        ):
            if not any(id.split("/")[1] == split for id in ids):
                raise layout_error("cityscapes", found, [expected], "there is not one")
    mask_of = {id: f"gtFine/{stem}_gtFine_{labels}.png" for id, stem in images.items()}
    pairs, problems = pair_files(found, mask_of, masks)
    entries = []
    for image, mask in pairs:
        _, split, city, _ = image.split("/")
        entries.append(entry_of(found, image, mask, split=split, domain="street", group=city))
    return entries, sorted(found.problems) + problems


def _values(labels: str) -> tuple[int, ...]:
    return tuple(id if labels == "labelIds" else number for number, (_, id, _) in enumerate(CLASSES))


def _translation(labels: str) -> Translation:
    values = _values(labels)
    ignored = [id for id in range(LAST_LABEL_ID + 1) if id not in values] if labels == "labelIds" else []
    grey = tuple(((value, value),) for value in values)
    return Translation(grey, ((),) * len(grey), void_grey=tuple((value, value) for value in [*ignored, VOID]))

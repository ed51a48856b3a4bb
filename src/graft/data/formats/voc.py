"""PASCAL VOC as it is published: `JPEGImages`, `SegmentationClass`, and the lists in `ImageSets/Segmentation`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom, add_test
from graft.data.formats.layout import check_layout, entry_of, pair_files
from graft.data.formats.listing import Entry, Listing, check_task
from graft.data.formats.translation import identity
from graft.foundation.class_map import ClassMap
from graft.foundation.counted import counted

NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
LISTS = {split: f"ImageSets/Segmentation/{split}.txt" for split in ("train", "val")}
TEST_LIST = "ImageSets/Segmentation/test.txt"


def voc(
    task: str,
    seed: int,
    root: Path,
    *,
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.1,
) -> Listing:
    """Photographs with 20 kinds of objects and a background, 1464 to train on and 1449 to validate (2012).

    For everyday objects, and to compare with the many results published on it. Masks are palette images: the index is
    the class, 255 (the rims of objects) is ignored. Where the masks of `test.txt` are there, that is the test split;
    else, as the labels of most official tests are not public, the official val is by default, and training images held
    out by hash are val. Only images the segmentation lists name are taken.

    Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge"; colours by the devkit's VOCcolormap.

    Args:
        test_from: Without the masks of `test.txt`. `val`: the official val is test, held-out training images are val.
            `train`: held-out training images are test, val stays val. `none`: the official splits, no test.
        held_out_fraction: Share of the training images that is held out.
    """
    check_task(task, "segmentation", "voc")
    found = find_files(root)
    check_layout("voc", found, folders=("JPEGImages", "SegmentationClass"), files=[*LISTS.values()])
    lists, notes = _lists(found)
    entries, problems = _entries(found, lists)
    if not problems and "test" not in lists:
        entries = add_test(entries, test_from, held_out_fraction, seed)
    class_map = ClassMap(
        task="segmentation",
        names=NAMES,
        colors=tuple(_colour(index) for index in range(len(NAMES))),
        source_values=tuple(range(len(NAMES))),
        official_splits=test_from == "none" or "test" in lists,
        synthetic=False,
        source="voc",
        licence="unknown (the images are from Flickr, under its terms of use)",
    )
    return Listing(class_map, entries, FileReader(str(root)), identity(len(NAMES)), problems, notes)


def _lists(found: Found) -> tuple[dict[str, str], list[str]]:
    """The lists to read: that of test, too, where the masks of its images are here (those of 2007 are public)."""
    if TEST_LIST not in found.paths:
        return LISTS, []
    stems = _lines(found, TEST_LIST, [])
    lacking = [stem for stem in stems if found.place_of(f"SegmentationClass/{stem}.png") not in found.paths]
    if stems and not lacking:
        return LISTS | {"test": TEST_LIST}, []
    return LISTS, [f"{counted(len(stems), 'image')} of {TEST_LIST}, {len(lacking)} of them without a mask here"]


def _entries(found: Found, lists: Mapping[str, str]) -> tuple[list[Entry], list[str]]:
    problems = list(found.problems)
    split_of: dict[str, str] = {}
    mask_of: dict[str, str] = {}
    for split, name in lists.items():
        for number, stem in enumerate(_lines(found, name, problems), start=1):
            image, mask = map(found.place_of, (f"JPEGImages/{stem}.jpg", f"SegmentationClass/{stem}.png"))
            if image not in found.paths:
                problems.append(f"{name} line {number}: {image} is listed and not there{found.near(image)}")
            elif image in split_of:
                problems.append(f"{name} line {number}: {image} is listed twice (also in {split_of[image]}.txt)")
            else:
                split_of[image], mask_of[image] = split, mask
    pairs, unpaired = pair_files(found, mask_of, ())
    return [entry_of(found, image, mask, split=split_of[image]) for image, mask in pairs], problems + unpaired


def _lines(found: Found, name: str, problems: list[str]) -> list[str]:
    if name in found.refused:
        problems += found.refusals([name])
        return []
    try:
        text = (found.root / found.paths[name]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        problems.append(f"{name}: cannot be read ({error})")
        return []
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _colour(index: int) -> tuple[int, int, int]:
    """The colour of the devkit: bit k of red, green and blue, from the highest, are bits 3k, 3k + 1, 3k + 2."""

    def channel(first: int) -> int:
        return sum((index >> (3 * bit + first) & 1) << (7 - bit) for bit in range(8))

    return channel(0), channel(1), channel(2)

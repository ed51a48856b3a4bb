"""PASCAL VOC as it is published, and other data in its layout: `JPEGImages`, `SegmentationClass`, `ImageSets`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom, add_test, split_one_list
from graft.data.formats.layout import check_layout, entry_of, pair_files
from graft.data.formats.listing import Entry, Listing, check_task
from graft.data.formats.unlabelled_images import is_picture
from graft.data.formats.voc_classes import voc_classes
from graft.foundation.counted import counted

LIST_FOLDER = "ImageSets/Segmentation"
LISTS = {f"{LIST_FOLDER}/{split}.txt": split for split in ("train", "val")}
TEST_LIST = f"{LIST_FOLDER}/test.txt"
IMAGE_FOLDER, IMAGE_ENDINGS = "JPEGImages", (".jpg", ".jpeg", ".png", ".bmp")
# Older scripts of labelme write arrays into SegmentationClass, and the pictures beside them.
MASK_FOLDERS = ("SegmentationClassPNG", "SegmentationClass")


def voc(
    task: str,
    seed: int,
    root: Path,
    *,
    classes: list[str] | str | None = None,
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.1,
) -> Listing:
    """Photographs with 20 kinds of objects and a background, 1464 to train on and 1449 to validate (2012).

    For everyday objects, to compare with the many results published on it, and for data of your own in its layout, as
    CVAT ("Segmentation mask") and labelme's labelme2voc.py export it. Masks are palette images: the index is the class,
    255 (the rims of objects) is ignored; with `labelmap.txt` the colour is. Where the masks of `test.txt` are there,
    that is the test split; else, as the labels of most official tests are not public, the official val is by default,
    and training images held out by hash are val. Only images the segmentation lists name are taken; without lists of
    train and val all that have a mask are, and val and test are held out by hash.

    Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge"; colours by the devkit's VOCcolormap.

    Args:
        classes: Classes of your own: their names in order of index, background first, or the file that names them,
            `labelmap.txt` (CVAT, with colours) or `class_names.txt` (labelme). Null takes those of PASCAL VOC.
        test_from: Without the masks of `test.txt`. `val`: the official val is test, held-out training images are val.
            `train`: held-out training images are test, val stays val. `none`: the official splits, no test. Without a
            list of val, `none` holds out no test images.
        held_out_fraction: Share of the training images that is held out.
    """
    check_task(task, "segmentation", "voc")
    found = find_files(root)
    lists, notes = _lists(found, is_official=classes is None)
    check_layout("voc", found, folders=(IMAGE_FOLDER, _mask_folder(found)), files=[*lists])
    if lists:
        entries, problems = _of_lists(found, lists)
        notes += _unlisted(found, entries) if classes is not None else []
    else:
        entries, problems, notes = _of_masks(found)
    are_official = {"train", "val"} <= {*lists.values()} and (test_from == "none" or TEST_LIST in lists)
    if not problems:
        entries = _divide(entries, test_from, held_out_fraction, seed)
    chosen = voc_classes(found, classes, official_splits=are_official)
    return Listing(chosen.class_map, entries, FileReader(str(root)), chosen.translation, problems, notes)


def _lists(found: Found, *, is_official: bool) -> tuple[dict[str, str], list[str]]:
    """The lists to read and the split of each: that of test, too, where the masks of its images are here (2007).

    Where neither train nor val is listed, any other list, as CVAT's default.txt, is one of images to be divided.
    """
    there = {file: split for file, split in LISTS.items() if file in found.paths}
    others = [id for id in found.paths if posixpath.dirname(id) == LIST_FOLDER and id not in (*LISTS, TEST_LIST)]
    lists = LISTS if is_official and there else there or dict.fromkeys(sorted(others), "train")
    if TEST_LIST not in found.paths:
        return lists, []
    names = _lines(found, TEST_LIST, [])
    lacking = [name for name in names if _mask_of(found, name) not in found.paths]
    if names and not lacking:
        return lists | {TEST_LIST: "test"}, []
    return lists, [f"{counted(len(names), 'image')} of {TEST_LIST}, {len(lacking)} of them without a mask here"]


def _of_lists(found: Found, lists: Mapping[str, str]) -> tuple[list[Entry], list[str]]:
    """The entries of all images that lists name, and what is wrong with these."""
    problems = list(found.problems)
    list_of: dict[str, str] = {}
    mask_of: dict[str, str] = {}
    for file in lists:
        for number, name in enumerate(_lines(found, file, problems), start=1):
            image = _image_of(found, name)
            if image not in found.paths:
                problems.append(f"{file} line {number}: {image} is listed and not there{found.near(image)}")
            elif image in list_of:
                other = posixpath.basename(list_of[image])
                problems.append(f"{file} line {number}: {image} is listed twice (also in {other})")
            else:
                list_of[image], mask_of[image] = file, _mask_of(found, name)
    pairs, unpaired = pair_files(found, mask_of, ())
    return [entry_of(found, image, mask, split=lists[list_of[image]]) for image, mask in pairs], problems + unpaired


def _unlisted(found: Found, entries: Sequence[Entry]) -> list[str]:
    """A note of the images that have a mask and that no list names."""
    listed = {entry.id for entry in entries}
    others = [id for id in found.paths if id.startswith(f"{IMAGE_FOLDER}/") and is_picture(id) and id not in listed]
    number = sum(_mask_of(found, _name_of(id)) in found.paths for id in others)
    return [f"{counted(number, 'image')} with a mask that no list names"] if number else []


def _name_of(image: str) -> str:
    """The name of an image, as lists have it."""
    return posixpath.splitext(image.removeprefix(f"{IMAGE_FOLDER}/"))[0]


def _of_masks(found: Found) -> tuple[list[Entry], list[str], list[str]]:
    """The entries of all images that have a mask, what is wrong with them, and a note of images without one."""
    images = [id for id in found.paths if id.startswith(f"{IMAGE_FOLDER}/") and is_picture(id)]
    mask_of = {id: _mask_of(found, _name_of(id)) for id in images}
    drawn = {image: mask for image, mask in mask_of.items() if mask in found.paths}
    folder = _mask_folder(found)
    pairs, problems = pair_files(found, drawn, [id for id in found.paths if id.startswith(f"{folder}/")])
    bare = len(images) - len(drawn)
    notes = [f"{counted(bare, 'image')} without a mask"] if bare else []
    return [entry_of(found, *pair, split="train") for pair in pairs], [*found.problems, *problems], notes


def _divide(entries: Sequence[Entry], test_from: TestFrom, held_out_fraction: float, seed: int) -> list[Entry]:
    """The splits of a data set whose lists leave some open, by holding images out."""
    splits = {entry.split for entry in entries}
    if "val" in splits:
        return [*entries] if "test" in splits else add_test(entries, test_from, held_out_fraction, seed)
    given = [entry for entry in entries if entry.split == "test"]
    open_ = [entry for entry in entries if entry.split != "test"]
    return given + split_one_list(open_, "none" if given else test_from, held_out_fraction, seed)


def _mask_folder(found: Found) -> str:
    return next((folder for folder in MASK_FOLDERS if folder in found.folders), MASK_FOLDERS[-1])


def _mask_of(found: Found, name: str) -> str:
    """The mask of an image: a picture, or an array where labelme wrote those alone."""
    folder = _mask_folder(found)
    picture, array = (found.place_of(f"{folder}/{name}{ending}") for ending in (".png", ".npy"))
    return array if array in found.paths and picture not in found.paths else picture


def _image_of(found: Found, name: str) -> str:
    """The image that a list names, with its ending; that of PASCAL VOC where there is none."""
    places = [found.place_of(f"{IMAGE_FOLDER}/{name}{ending}") for ending in IMAGE_ENDINGS]
    return next((place for place in places if place in found.paths), places[0])


def _lines(found: Found, file: str, problems: list[str]) -> list[str]:
    """The names in a list."""
    if file in found.refused:
        problems += found.refusals([file])
        return []
    try:
        text = (found.root / found.paths[file]).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        problems.append(f"{file}: cannot be read ({error})")
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [_named(found, line) for line in lines]


def _named(found: Found, line: str) -> str:
    """The image of a line: its first column, or all of it, as names may hold spaces."""
    first = line.split()[0]
    return first if _image_of(found, first) in found.paths else line

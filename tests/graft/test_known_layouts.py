"""Published data sets that are a layout and a list of classes: found by graft start, and read as their authors mean."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.commands.start.known_layouts import ISPRS_CLASSES, LAYOUTS
from graft.commands.start.looking import look
from graft.commands.start.sources import propose
from graft.data.formats.files import find_files
from tests.formats_layouts.pictures import run_ingest, stripes, write_image, write_mask

COLOURS = np.array([colour for (colour,) in ISPRS_CLASSES.values()], np.uint8)


def make_pets(root: Path) -> None:
    """Trimaps, lists whose lines hold numbers, hidden files of a Mac, and a PNG that is called JPEG."""
    names = [f"Abyssinian_{number}" for number in range(30)]
    for number, name in enumerate(names):
        write_image(root / f"images/{name}.jpg", number)
        write_mask(root / f"annotations/trimaps/{name}.png", stripes(2, 1, 3, 2))
        (root / f"annotations/trimaps/._{name}.png").write_bytes(b"Mac OS X")
    write_image(root / "images/a.png", 50)
    (root / "images/a.png").rename(root / "images/Abyssinian_0.jpg")
    (root / "images/Abyssinian_100.mat").write_bytes(b"MATLAB 5.0")
    for file, listed in (("trainval", names[:20]), ("test", names[20:])):
        (root / f"annotations/{file}.txt").write_text("".join(f"{name} 1 1 1\n" for name in listed))
    (root / "annotations/list.txt").write_text("#Image CLASS-ID SPECIES BREED ID\n")


def make_penn_fudan(root: Path) -> None:
    for number in range(30):
        write_image(root / f"PNGImages/FudanPed{number:05d}.png", number)
        write_mask(root / f"PedMasks/FudanPed{number:05d}_mask.png", stripes(0, 1, 2, 0))
        (root / "Annotation").mkdir(exist_ok=True)
        (root / f"Annotation/FudanPed{number:05d}.txt").write_text("# Compatible with PASCAL Annotation Version 1.00")


def make_drive(root: Path) -> None:
    """Masks of a GIF whose palette has white first, and the field of view, which is no label."""
    for split, numbers in (("training", range(21, 41)), ("test", range(1, 6))):
        for number in numbers:
            write_image(root / f"{split}/images/{number:02d}_{split}.tif", number)
            (root / f"{split}/1st_manual").mkdir(exist_ok=True)
            (root / f"{split}/mask").mkdir(exist_ok=True)
            vessels = Image.fromarray(stripes(1, 0, 1, 1))
            vessels = Image.frombytes("P", vessels.size, vessels.tobytes())
            vessels.putpalette([255, 255, 255, 0, 0, 0])
            vessels.save(root / f"{split}/1st_manual/{number:02d}_manual1.gif")
            Image.new("L", vessels.size, 255).save(root / f"{split}/mask/{number:02d}_{split}_mask.gif")


def make_love_da(root: Path) -> None:
    for split, num in (("Train", 10), ("Val", 4), ("Test", 3)):
        for place in ("Rural", "Urban"):
            for number in range(num):
                write_image(root / f"{split}/{place}/images_png/{number}.png", number + 100 * (place == "Urban"))
                if split != "Test":
                    write_mask(root / f"{split}/{place}/masks_png/{number}.png", stripes(0, 1, 2, 7))


def make_potsdam(root: Path) -> None:
    for number in range(20):
        place = f"top_potsdam_2_{number}"
        write_image(root / f"2_Ortho_RGB/{place}_RGB.tif", number)
        (root / "5_Labels_all").mkdir(exist_ok=True)
        Image.fromarray(COLOURS[stripes(0, 1, 5, 0)]).save(root / f"5_Labels_all/{place}_label.tif")


def make_vaihingen(root: Path, labelled: range = range(33)) -> None:
    """Masks of some images, and ten images more without one."""
    for number in range(labelled.start, labelled.stop + 10):
        write_image(root / f"top/top_mosaic_09cm_area{number}.tif", number)
        (root / "gts_for_participants").mkdir(exist_ok=True)
        if number in labelled:
            mask = Image.fromarray(COLOURS[stripes(0, 1, 5, 0)])
            mask.save(root / f"gts_for_participants/top_mosaic_09cm_area{number}.tif")


QUARTER = 24 * 8
# A layout without a row here fails: the folder, pixels of each class in a mask, ignored ones, and images by split.
EXPECTED: dict[str, tuple[Callable[[Path], None], list[int], int, dict[str, Any]]] = {
    "Oxford-IIIT Pets": (make_pets, [2 * QUARTER, QUARTER], QUARTER, {"test": 10}),
    "Penn-Fudan": (make_penn_fudan, [2 * QUARTER, 2 * QUARTER], 0, {}),
    "DRIVE": (make_drive, [3 * QUARTER, QUARTER], 0, {"test": 5}),
    "LoveDA": (make_love_da, [QUARTER, QUARTER, 0, 0, 0, 0, QUARTER], QUARTER, {"train": 20, "val": 8}),
    "ISPRS Potsdam": (make_potsdam, [2 * QUARTER, QUARTER, 0, 0, 0, QUARTER], 0, {}),
    "ISPRS Vaihingen": (make_vaihingen, [2 * QUARTER, QUARTER, 0, 0, 0, QUARTER], 0, {"unlabelled": 10}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_is_found_and_read(name: str, tmp_path: Path) -> None:
    make, counts, void, splits = EXPECTED[name]
    make(tmp_path / "raw")
    chosen = propose(find_files(tmp_path / "raw"))[0]
    assert chosen.source == LAYOUTS[name][1]
    assert chosen.reason.endswith(f"as in {name}")
    done = run_ingest(tmp_path / "raw", tmp_path / "out", chosen.source)
    found = Counter(row.split for row in done.rows.values())
    assert found.items() >= splits.items()
    assert found["train"] > 0 < found["val"]
    labelled = [fact for id, fact in done.facts.items() if done.rows[id].split != "unlabelled"]
    assert {(tuple(fact["mask_counts"]), fact["mask_void"], fact["mask_unknown"]) for fact in labelled} == {
        (tuple(counts), void, 0)
    }


def test_test_images_of_drive_whose_masks_are_not_public_are_unlabelled(tmp_path: Path) -> None:
    make_drive(tmp_path)
    shutil.rmtree(tmp_path / "test/1st_manual")
    seen = look(tmp_path)
    assert not seen.problems
    counts = Counter(entry.split for entry in seen.listing.entries)
    assert (counts["unlabelled"], counts["train"] + counts["val"] + counts["test"]) == (5, 20)
    assert counts["train"] > 0 < counts["val"]


def test_tiles_of_few_images_are_split_without_a_test_split(tmp_path: Path) -> None:
    make_vaihingen(tmp_path, range(4, 7))
    seen = look(tmp_path)
    assert (seen.proposals[0].source["source"]["val_fraction"], seen.listing.problems) == (0.4, [])
    assert Counter(entry.split for entry in seen.listing.entries).keys() == {"train", "val", "unlabelled"}


def test_every_layout_is_tested() -> None:
    assert EXPECTED.keys() == LAYOUTS.keys()

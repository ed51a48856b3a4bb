"""Exports of mask files with a list of their classes: Roboflow's, CVAT's and labelme's in the layout of PASCAL VOC."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from graft.commands.start.looking import look
from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from tests.formats_layouts.exports import ROBOFLOW_CLASSES, make_cvat_masks, make_labelme_masks, make_roboflow_masks
from tests.formats_layouts.pictures import run_ingest, stripes, write_image, write_mask


def listing_of(root: Path, source: dict[str, Any]) -> Listing:
    return resolve(FORMATS, source, where="ingest.source")("segmentation", 7, root)


# Roboflow


def test_roboflows_masks_have_the_values_that_its_list_names(tmp_path: Path) -> None:
    make_roboflow_masks(tmp_path / "raw")
    done = run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "roboflow_masks"})
    assert done.class_map.names == ("background", "crack", "hole")
    assert [len(done.ids(split)) for split in ("train", "val", "test")] == [12, 4, 3]
    assert all(fact["mask_counts"] == [24 * 16, 24 * 8, 24 * 8] for fact in done.facts.values())
    groups = Counter(row.group for row in done.rows.values() if row.split == "train")
    assert groups == {f"train{number}_jpg": 2 for number in range(6)}
    void = listing_of(tmp_path / "raw", {"name": "roboflow_masks", "void": ["hole"]})
    assert (void.class_map.names, void.class_map.void_values) == (("background", "crack"), (2,))


def test_augmented_versions_of_an_image_stay_in_one_split(tmp_path: Path) -> None:
    for number in range(30):
        for digest in ("0a1b", "2c3d"):
            write_image(tmp_path / f"train/{number}_png.rf.{digest}.jpg", number)
            write_mask(tmp_path / f"train/{number}_png.rf.{digest}_mask.png", stripes(0, 1))
    (tmp_path / "train/_classes.csv").write_text(ROBOFLOW_CLASSES)
    listing = listing_of(tmp_path, {"name": "roboflow_masks"})
    splits: dict[str, set[str]] = {}
    for entry in listing.entries:
        splits.setdefault(entry.group, set()).add(entry.split)
    assert {len(one) for one in splits.values()} == {1}
    assert set.union(*splits.values()) == {"train", "val", "test"}


def test_lists_of_roboflow_that_differ_or_are_none_are_refused_all_at_once(tmp_path: Path) -> None:
    make_roboflow_masks(tmp_path)
    (tmp_path / "valid/_classes.csv").write_text(ROBOFLOW_CLASSES.replace("1, crack", "3, crack"))
    (tmp_path / "test/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, a\n1, b\nx, c\n")
    with pytest.raises(GraftError) as told:
        listing_of(tmp_path, {"name": "roboflow_masks"})
    text = str(told.value)
    assert "test/_classes.csv line 4: 1 or b stands there twice" in text
    assert "test/_classes.csv line 5: expected a value of 0 to 255 and a class, found 'x, c'" in text
    assert "valid/_classes.csv: it names 0 background, 3 crack, 2 hole, and test/_classes.csv other" in text
    for split in ("train", "valid", "test"):
        (tmp_path / split / "_classes.csv").write_text("filename, crack\na.jpg, 1\n")
    with pytest.raises(GraftError, match=r"(?s)train/_classes\.csv: its first line is not Pixel Value, Class.*csv is"):
        listing_of(tmp_path, {"name": "roboflow_masks"})


def test_what_is_wrong_with_a_folder_of_roboflow(tmp_path: Path) -> None:
    make_roboflow_masks(tmp_path / "raw")
    write_image(tmp_path / "raw/train/bare.jpg", 1)
    write_mask(tmp_path / "raw/train/lost_mask.png", stripes(0, 1))
    assert listing_of(tmp_path / "raw", {"name": "roboflow_masks"}).problems == [
        "train/bare.jpg: image without mask (expected train/bare_mask.png)",
        "train/lost_mask.png: mask without image",
    ]
    with pytest.raises(GraftError, match=r"no class is called crak.*did you mean 'crack'"):
        listing_of(tmp_path / "raw", {"name": "roboflow_masks", "void": ["crak"]})
    assert look(tmp_path / "raw").proposals[0].source == {"name": "roboflow_masks"}


def test_pictures_drawn_for_people_are_left_aside(tmp_path: Path) -> None:
    make_roboflow_masks(tmp_path)
    write_image(tmp_path / "visualizations/a.jpg", 1)
    listing = listing_of(tmp_path, {"name": "roboflow_masks"})
    assert (len(listing.entries), listing.problems) == (19, [])
    assert "the pictures in visualizations, which holds neither masks nor _classes.csv" in listing.notes
    write_image(tmp_path / "train/bare.jpg", 2)
    (problem,) = listing_of(tmp_path, {"name": "roboflow_masks"}).problems
    assert problem.startswith("train/bare.jpg: image without mask")


# The layout of PASCAL VOC

CVAT = {"name": "voc", "classes": "labelmap.txt"}
LABELME = {"name": "voc", "classes": "class_names.txt"}


def test_cvats_masks_have_the_colours_that_labelmap_names(tmp_path: Path) -> None:
    make_cvat_masks(tmp_path / "raw")
    done = run_ingest(tmp_path / "raw", tmp_path / "out", {**CVAT, "held_out_fraction": 0.2})
    assert done.class_map.names == ("background", "crack", "water hole")
    assert done.class_map.colors == ((0, 0, 0), (250, 50, 83), (51, 221, 255))
    assert not done.class_map.official_splits
    assert [len(done.ids(split)) for split in ("train", "val", "test")] == [18, 6, 6]
    assert all(fact["mask_counts"] == [24 * 16, 24 * 8, 24 * 8] for fact in done.facts.values())
    assert (done.mask("JPEGImages/street 2/21.png") == stripes(0, 1, 2, 0)).all()
    assert look(tmp_path / "raw").proposals[0].source == CVAT


def test_labelmes_masks_have_the_index_of_class_names(tmp_path: Path) -> None:
    make_labelme_masks(tmp_path / "raw")
    done = run_ingest(tmp_path / "raw", tmp_path / "png", LABELME)
    assert done.class_map.names == ("background", "crack", "hole")
    assert [len(done.ids(split)) for split in ("train", "val", "test")] == [24, 3, 3]
    assert {fact["mask_void"] for fact in done.facts.values()} == {24 * 8}
    assert look(tmp_path / "raw").proposals[0].source == LABELME
    for path in (tmp_path / "raw/SegmentationClassPNG").iterdir():
        path.unlink()
    (tmp_path / "raw/SegmentationClassPNG").rmdir()
    arrays = run_ingest(tmp_path / "raw", tmp_path / "npy", LABELME)
    assert {fact["mask_format"] for fact in arrays.facts.values()} == {"NPY"}
    assert {id: row.mask for id, row in arrays.rows.items()} == {id: row.mask for id, row in done.rows.items()}
    listed = listing_of(tmp_path / "raw", {"name": "voc", "classes": ["ground", "crack", "hole"], "test_from": "none"})
    assert (listed.class_map.names[0], Counter(one.split for one in listed.entries)) == (
        "ground",
        {"train": 27, "val": 3},
    )


def test_lists_of_train_and_test_leave_val_to_be_held_out(tmp_path: Path) -> None:
    make_labelme_masks(tmp_path)
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    names = [f"{number:02d}\n" for number in range(30)]
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("".join(names[:20]))
    (tmp_path / "ImageSets/Segmentation/test.txt").write_text("".join(names[20:]))
    listing = listing_of(tmp_path, LABELME)
    assert Counter(one.split for one in listing.entries) == {"train": 18, "val": 2, "test": 10}
    assert {one.id for one in listing.entries if one.split == "test"} == {f"JPEGImages/{n}.jpg" for n in range(20, 30)}
    (tmp_path / "ImageSets/Segmentation/test.txt").unlink()
    assert listing_of(tmp_path, LABELME).notes == ["10 images with a mask that no list names"]


@pytest.mark.parametrize(
    ("classes", "text", "message"),
    [
        (None, None, r"labelmap\.txt names crack, water hole, which PASCAL VOC has not.*classes: labelmap\.txt"),
        ("names.txt", None, r"there is no names\.txt; found .*as labelmap\.txt of CVAT"),
        ("labelmap.txt", "a:1,2::\nb\nc:1,2,300::\n", r"\(3\):.*'a:1,2::'.*'b'.*'c:1,2,300::'"),
        ("labelmap.txt", "a:1,2,3::\nb:1,2,3::\n", "'b:1,2,3::': its name or its colour stands there twice"),
        (["a"], None, "1 classes.*2 to 254 classes, in order of their index"),
        (["a", "b", "a"], None, "a stands there twice"),
    ],
)
def test_classes_that_cannot_be_used(classes: Any, text: str | None, message: str, tmp_path: Path) -> None:
    make_cvat_masks(tmp_path)
    if text is not None:
        (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(GraftError, match=f"(?s){message}"):
        listing_of(tmp_path, {"name": "voc", "classes": classes})


def test_what_is_wrong_with_masks_in_the_layout_of_voc(tmp_path: Path) -> None:
    make_labelme_masks(tmp_path / "raw")
    write_image(tmp_path / "raw/JPEGImages/bare.jpg", 1)
    assert listing_of(tmp_path / "raw", LABELME).notes == ["1 image without a mask"]
    write_mask(tmp_path / "raw/SegmentationClassPNG/lost.png", stripes(0, 1))
    assert listing_of(tmp_path / "raw", LABELME).problems == ["SegmentationClassPNG/lost.png: mask without image"]
    make_cvat_masks(tmp_path / "cvat")
    (tmp_path / "cvat/JPEGImages/street 0/03.png").unlink()
    (tmp_path / "cvat/SegmentationClass/street 1/12.png").unlink()
    problems = listing_of(tmp_path / "cvat", CVAT).problems
    assert [line.split(" (")[0] for line in problems] == [
        "ImageSets/Segmentation/default.txt line 4: JPEGImages/street 0/03.jpg is listed and not there",
        "JPEGImages/street 1/12.jpg: image without mask",
    ]

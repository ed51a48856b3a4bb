"""Images and masks found by patterns: what shares a mask, what another ending leaves aside, what comes closest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.foundation.choices import resolve

CLASSES = {"name": "mask_folder", "classes": {"a": [0], "b": [255]}, "val_fraction": 0.4, "test_fraction": 0.3}
DEEP = {**CLASSES, "images": "images/**/*.png", "masks": "masks/{stem}.png"}
FLAT = {**CLASSES, "images": "images/*.jpg", "masks": "masks/{stem}.png"}


def listing_of(root: Path, source: dict[str, Any]) -> Listing:
    return resolve(FORMATS, source, where="ingest.source")("segmentation", 7, root)


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"a picture")


def flat(root: Path, num: int = 20) -> None:
    put(root, *(f"images/{n:03d}.jpg" for n in range(num)), *(f"masks/{n:03d}.png" for n in range(num)))


@pytest.mark.parametrize(
    ("source", "images", "masks"),
    [
        (DEEP, ["images/left/{n}.png", "images/right/{n}.png"], "masks/{n}.png"),
        ({**FLAT, "images": "images/*"}, ["images/{n}.jpg", "images/{n}.png"], "masks/{n}.png"),
        (
            {**CLASSES, "images": "*/[0-9]*.png", "masks": "{dir}/mask.png"},
            ["case{n}/1.png", "case{n}/2.png"],
            "case{n}/mask.png",
        ),
    ],
)
def test_images_that_share_a_mask_are_listed(
    source: dict[str, Any], images: list[str], masks: str, tmp_path: Path
) -> None:
    put(tmp_path, *(path.format(n=n) for n in range(9) for path in [*images, masks]))
    (problem,) = listing_of(tmp_path, source).problems
    assert problem.startswith("two or more images share one mask; tell them apart in masks, by {subdir}")
    assert "list them in a table (csv)" in problem
    assert f"{masks.format(n=4)}: {images[0].format(n=4)} and {images[1].format(n=4)}" in problem.splitlines()


def test_a_subdir_in_the_pattern_gives_each_image_its_own_mask(tmp_path: Path) -> None:
    put(tmp_path, *(f"{kind}/{side}/{n}.png" for n in range(9) for side in "ab" for kind in ("images", "masks")))
    listing = listing_of(tmp_path, {**DEEP, "masks": "masks/{subdir}/{stem}.png"})
    assert (listing.problems, len(listing.entries)) == ([], 18)


def test_images_that_share_a_file_of_a_stack_are_listed(tmp_path: Path) -> None:
    put(tmp_path, *(f"{kind}/{side}/{n}.png" for n in range(9) for side in "ab" for kind in ("images", "masks")))
    put(tmp_path, *(f"depth/{n}.png" for n in range(9)))
    source = {"name": "stacks", "source": {**DEEP, "masks": "masks/{subdir}/{stem}.png"}, "channels": ["grey"]}
    (problem,) = listing_of(tmp_path, {**source, "extra": {"depth": "depth/{stem}.png"}}).problems
    assert problem.startswith("two or more images share one depth; tell them apart in extra.depth, by {subdir}")
    assert "depth/3.png: images/a/3.png and images/b/3.png" in problem


def test_the_case_of_an_ending_does_not_count(tmp_path: Path) -> None:
    flat(tmp_path)
    put(tmp_path, "images/x.JPG", "masks/x.PNG", "images/y.Jpg", "masks/y.png")
    listing = listing_of(tmp_path, FLAT)
    assert listing.problems == []
    masks = {entry.id: entry.mask for entry in listing.entries}
    assert (len(masks), masks["images/x.JPG"], masks["images/y.Jpg"]) == (22, "masks/x.PNG", "masks/y.png")


def test_a_picture_of_another_ending_whose_mask_is_there_is_said(tmp_path: Path) -> None:
    put(tmp_path, *(f"a/img/{n}.jpg" for n in range(20)), *(f"a/mask/{n}.png" for n in range(20)))
    put(tmp_path, *(f"b/img/{n}.jpeg" for n in range(7)), *(f"b/mask/{n}.png" for n in range(7)))
    listing = listing_of(tmp_path, {**CLASSES, "images": "**/img/*.jpg", "masks": "{subdir}/mask/{stem}.png"})
    assert (listing.problems, len(listing.entries)) == ([], 20)
    shown = "b/img/0.jpeg, b/img/1.jpeg, b/img/2.jpeg, b/img/3.jpeg, b/img/4.jpeg, 2 more"
    assert listing.notes == [f"7 pictures that have a mask and do not match images: '**/img/*.jpg': {shown}"]


def test_what_is_unpaired_names_what_comes_closest(tmp_path: Path) -> None:
    flat(tmp_path)
    put(tmp_path, "images/x.jpeg", "masks/x.png", "images/y.jpg", "masks/y_mask.png", "images/z.jpg", "masks/z.tif")
    put(tmp_path, "images/alone.jpg", "masks/lost.png")
    assert listing_of(tmp_path, FLAT).problems == [
        "images/alone.jpg: image without mask (expected masks/alone.png)",
        "images/y.jpg: image without mask (expected masks/y.png; masks/y_mask.png is there)",
        "images/z.jpg: image without mask (expected masks/z.png; masks/z.tif is there)",
        "masks/lost.png: mask without image",
        "masks/x.png: mask without image (images/x.jpeg does not match 'images/*.jpg')",
        "masks/y_mask.png: mask without image",
    ]


def test_a_second_picture_of_a_mask_that_matches_but_for_its_ending_is_said(tmp_path: Path) -> None:
    flat(tmp_path)
    put(tmp_path, "images/000.jfif", "previews/001.jpg")
    (note,) = listing_of(tmp_path, FLAT).notes
    assert note == "1 pictures that have a mask and do not match images: 'images/*.jpg': images/000.jfif"

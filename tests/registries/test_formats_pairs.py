"""Images and masks found by patterns: what shares a mask, what another ending leaves aside, what comes closest."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from graft.data.facts import mask_facts
from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.data.formats.patterns import ImagePattern, MaskPattern, expand_braces
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from tests.formats_layouts.pictures import write_image

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


def put_pictures(root: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        write_image(root / path, number, size=(6, 8))


@pytest.mark.parametrize(
    ("images", "masks", "image", "mask"),
    [
        ("*_sat.jpg", "{1}_mask.png", "12_sat.jpg", "12_mask.png"),
        ("*_sat.jpg", "{1}_mask.png", "12_sat.JPG", "12_mask.png"),
        ("*/images/*.png", "{1}/masks/{2}_gt.png", "a/images/7.png", "a/masks/7_gt.png"),
        ("**/*_*.{jpg,png}", "{subdir}/m/{2}-{1}.png", "a/b/x_1.png", "a/b/m/1-x.png"),
        ("{left,right}/*.jpg", "masks/{dir}_{1}.png", "right/3.jpg", "masks/right_3.png"),
        ("img[0-9]_?_*.jpg", "{1}.png", "img3_a_b.jpg", "b.png"),
        ("*.*", "{1}_mask.png", "a.jpeg", "a_mask.png"),
    ],
)
def test_a_mask_is_named_by_what_the_stars_of_its_image_stand_for(
    images: str, masks: str, image: str, mask: str
) -> None:
    pattern = ImagePattern(images)
    assert pattern.match(image)
    assert MaskPattern(masks, pattern).mask_of(image) == mask


def test_alternatives_in_braces_are_patterns_of_their_own() -> None:
    assert [*expand_braces("{a,b}/*.{jpg,png}")] == ["a/*.jpg", "a/*.png", "b/*.jpg", "b/*.png"]
    assert [*expand_braces("{x}.png")] == ["{x}.png"]
    pattern = ImagePattern("{a_*_*,b_*}.{jpg,png}")
    matches = [bool(pattern.match(id)) for id in ("a_1_2.jpg", "b_3.png", "c_1.png", "b_3.gif")]
    assert (matches, pattern.num_captures) == ([True, True, False, False], 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "masks/{2}.png"}, r"unknown \{2\}.*\{1\}, \{2\}, … for each \* of images, which has 1"),
        ({"images": "{images,../x}/*.jpg"}, r"'\.\./x/\*\.jpg' leads out of the root"),
        ({"missing_mask": "skip"}, "missing_mask: 'skip'.*refuse.*background.*unlabelled"),
        (
            {"missing_mask": "background", "classes": {"a": [1], "b": [255]}},
            "missing_mask: background fills masks with the value 0, which is in no class.*unlabelled",
        ),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    flat(tmp_path)
    with pytest.raises(GraftError, match=f"(?s){message}"):
        listing_of(tmp_path, {**FLAT, **options})


def test_a_missing_mask_is_background_where_that_is_said(tmp_path: Path) -> None:
    put_pictures(tmp_path, *(f"images/{n:03d}.jpg" for n in range(30)), *(f"masks/{n:03d}.png" for n in range(20)))
    put_pictures(tmp_path, "unlabelled/x.jpg")
    (tmp_path / "images/030.jpg").symlink_to("/etc/hostname")
    put(tmp_path, "masks/lost.png")
    listing = listing_of(tmp_path, {**FLAT, "classes": {"sound": [0], "crack": [255]}, "missing_mask": "background"})
    assert [line.split(" (")[0] for line in listing.problems] == [
        "images/030.jpg: a link that leads out of the root, to /etc/hostname; put the file itself here",
        "masks/lost.png: mask without image",
    ]
    assert "10 images without mask, taken as background throughout" in listing.notes
    entries = {entry.id: entry for entry in listing.entries}
    assert len(entries) == 31
    assert {entries[f"images/{n:03d}.jpg"].split for n in range(20, 30)} <= {"train", "val", "test"}
    _, mask = pickle.loads(pickle.dumps(listing.read))(entries["images/025.jpg"])
    assert listing.translation is not None
    facts = mask_facts(mask, listing.translation, "mask", 1000)
    assert (facts["mask_counts"], facts["mask_height"], facts["mask_width"]) == ([48, 0], 6, 8)
    assert listing.read(entries["unlabelled/x.jpg"])[1] is None
    assert listing.read(entries["images/003.jpg"])[1] == (tmp_path / "masks/003.png").read_bytes()


def test_an_image_without_mask_is_unlabelled_where_that_is_said(tmp_path: Path) -> None:
    put_pictures(tmp_path, *(f"images/{n:03d}.jpg" for n in range(30)), *(f"masks/{n:03d}.png" for n in range(20)))
    listing = listing_of(tmp_path, {**FLAT, "missing_mask": "unlabelled"})
    assert (listing.problems, listing.notes) == ([], ["10 images without mask, taken as unlabelled"])
    splits = {entry.id: entry.split for entry in listing.entries}
    assert [id for id, split in splits.items() if split == "unlabelled"] == [
        f"images/{n:03d}.jpg" for n in range(20, 30)
    ]
    refused = listing_of(tmp_path, FLAT)
    assert refused.problems[0] == "images/020.jpg: image without mask (expected masks/020.png)"
    assert len(refused.problems) == 10


@pytest.mark.parametrize("around", [{"name": "tiles"}, {"name": "stacks", "channels": ["grey"]}])
def test_masks_that_are_no_files_are_neither_cut_nor_laid_beside_stacks(around: dict[str, Any], tmp_path: Path) -> None:
    flat(tmp_path)
    with pytest.raises(GraftError, match=r"missing_mask: background (leaves images without|fills masks of)"):
        listing_of(tmp_path, {**around, "source": {**FLAT, "missing_mask": "background"}})

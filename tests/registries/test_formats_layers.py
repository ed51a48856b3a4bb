"""Images with several mask files each: which file is whose, what lies on top, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.commands.start.looking import look
from graft.commands.start.mask_layers_found import find_mask_layers
from graft.data.formats import FORMATS
from graft.data.formats.files import Found
from graft.data.formats.layer_files import LayerPattern, find_layers
from graft.data.formats.listing import Listing
from graft.data.formats.patterns import ImagePattern
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from tests.formats_layouts.layers import BY_CLASS, NUCLEI, box, make_by_class, make_nuclei
from tests.formats_layouts.pictures import SIZE, run_ingest, write_image, write_mask


def listing_of(root: Path, source: dict[str, Any]) -> Listing:
    return resolve(FORMATS, source, where="ingest.source")("segmentation", 7, root)


def layers_of(images: str, masks: str, *paths: str) -> dict[str, list[tuple[str, str]]]:
    pattern = ImagePattern(images)
    found = find_layers(paths, filter(pattern.match, paths), LayerPattern(masks, pattern))
    return {id: [(layer.path, layer.label) for layer in layers] for id, layers in found.of_image.items()}


def test_the_instances_of_the_data_science_bowl(tmp_path: Path) -> None:
    make_nuclei(tmp_path / "raw")
    done = run_ingest(tmp_path / "raw", tmp_path / "out", NUCLEI)
    assert done.class_map.names == ("background", "nucleus")
    assert Counter(fact["mask_counts"][1] for fact in done.facts.values()) == {20: 10, 40: 10, 60: 10}
    assert set(done.ids("train") + done.ids("val") + done.ids("test")) == set(done.rows)


def test_a_file_for_each_class_and_later_classes_on_top(tmp_path: Path) -> None:
    make_by_class(tmp_path / "raw")
    done = run_ingest(tmp_path / "raw", tmp_path / "a", BY_CLASS)
    assert done.class_map.names == ("background", "crack", "hole")
    assert done.facts["images/00.jpg"]["mask_counts"] == [24 * 32 - 124, 75, 49]  # 100 + 49, of which 25 in both
    assert done.facts["images/01.jpg"]["mask_counts"] == [24 * 32 - 100, 100, 0]
    expected = box(0, 0, 10, 10, 1)
    expected[5:12, 5:12] = 2
    np.testing.assert_array_equal(done.mask("images/00.jpg"), expected)
    other = run_ingest(tmp_path / "raw", tmp_path / "b", {**BY_CLASS, "classes": ["hole", "crack"]})
    assert other.facts["images/00.jpg"]["mask_counts"] == [24 * 32 - 124, 24, 100]
    joined = run_ingest(tmp_path / "raw", tmp_path / "c", {**BY_CLASS, "classes": {"damage": ["crack", "hole"]}})
    assert joined.facts["images/00.jpg"]["mask_counts"] == [24 * 32 - 124, 124]
    void = run_ingest(tmp_path / "raw", tmp_path / "d", {**BY_CLASS, "classes": ["crack"], "void": ["hole"]})
    assert (void.facts["images/00.jpg"]["mask_counts"], void.facts["images/00.jpg"]["mask_void"]) == ([644, 75], 49)


@pytest.mark.parametrize(
    ("images", "masks", "paths", "expected"),
    [
        (
            "*.jpg",
            "{stem}_{class}.png",
            ("1.jpg", "1_b.jpg", "1_crack.png", "1_b_crack.png", "2_crack.png"),
            {"1.jpg": [("1_crack.png", "crack")], "1_b.jpg": [("1_b_crack.png", "crack")]},
        ),
        (
            "**/*.png",
            "{dir}/{stem}_{class}.png",
            ("a/1.png", "a/1_crack.png", "a/1_hole.PNG", "b/1.png"),
            {"a/1.png": [("a/1_crack.png", "crack"), ("a/1_hole.PNG", "hole")], "b/1.png": []},
        ),
        (
            "img/*.png",
            "masks/{class}/{stem}.png",
            ("img/1.png", "masks/crack/1.png", "masks/hole/1.png", "masks/hole/11.png"),
            {"img/1.png": [("masks/crack/1.png", "crack"), ("masks/hole/1.png", "hole")]},
        ),
        (
            "*/img.png",
            "{1}/{class}_*.png",
            ("a/img.png", "a/cell_1.png", "a/cell_2.png", "a/dust_1.png", "b/cell_1.png"),
            {"a/img.png": [("a/cell_1.png", "cell"), ("a/cell_2.png", "cell"), ("a/dust_1.png", "dust")]},
        ),
        (
            "*.jpg",
            "m/{class}-{stem}.png",
            ("1.jpg", "11.jpg", "m/a-1.png", "m/a-11.png"),
            {"1.jpg": [("m/a-1.png", "a")], "11.jpg": [("m/a-11.png", "a")]},
        ),
    ],
)
def test_which_file_is_whose(images: str, masks: str, paths: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert layers_of(images, masks, *paths) == expected


def test_a_file_that_nothing_gives_to_one_image_is_told(tmp_path: Path) -> None:
    pattern = ImagePattern("*/*.jpg")
    images = ["a/1.jpg", "b/1.jpg"]
    found = find_layers([*images, "m/1_x.png"], images, LayerPattern("m/{stem}_*.png", pattern))
    assert (found.shared, found.of_image) == ({"m/1_x.png": images}, {"a/1.jpg": [], "b/1.jpg": []})
    for image in images:
        write_image(tmp_path / image, 1)
    write_mask(tmp_path / "m/1_x.png", box(0, 0, 5, 5))
    source = {"name": "mask_layers", "images": "*/*.jpg", "masks": "m/{stem}_{class}.png", "classes": ["x"]}
    problems = listing_of(tmp_path, {**source, "missing_mask": "unlabelled"}).problems
    assert problems == ["m/1_x.png: could be a mask of a/1.jpg and of b/1.jpg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "masks/{stem}.png"}, r"names one file an image.*\{class\}.*mask_folder is the source"),
        ({"masks": "{class}/{class}.png"}, r"holds \{class\} twice"),
        ({"masks": "masks/{stem}/*.png"}, r"masks/\{stem\}/\*\.png' does not say the class.*classes: \[nucleus\]"),
        ({"masks": "../{stem}/{class}.png"}, "leads out of the root"),
        ({"masks": "{2}/{class}.png"}, r"unknown \{2\}"),
        ({"images": "photos/*.jpg"}, r"no file matches images: 'photos/\*\.jpg'; found 30 x images/\*\.jpg"),
        ({"classes": ["crack"]}, "label 'hole', met 10 times, is in no class"),
        ({"foreground": ["9-1"]}, "foreground: range '9-1' is empty"),
        ({"foreground": [0, "1-255"], "missing_mask": "skip"}, "missing_mask: 'skip'"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_by_class(tmp_path)
    with pytest.raises(GraftError, match=f"(?s){message}"):
        listing_of(tmp_path, {**BY_CLASS, **options})


def test_whatever_is_wrong_is_listed_at_once(tmp_path: Path) -> None:
    make_by_class(tmp_path / "raw")
    write_image(tmp_path / "raw/images/bare.jpg", 1)
    write_mask(tmp_path / "raw/masks/lost/crack.png", box(0, 0, 1, 1))
    (tmp_path / "raw/masks/01/hole.png").symlink_to("/etc/hostname")
    assert listing_of(tmp_path / "raw", BY_CLASS).problems == [
        "images/bare.jpg: image without mask",
        "masks/01/hole.png: a link that leads out of the root, to /etc/hostname; put the file itself here",
        "masks/lost/crack.png: mask without image",
    ]
    for path in ("images/bare.jpg", "masks/lost/crack.png", "masks/01/hole.png"):
        (tmp_path / "raw" / path).unlink()
    write_mask(tmp_path / "raw/masks/02/crack.png", np.ones((9, 9), np.uint8))
    (tmp_path / "raw/masks/03/hole.png").write_bytes((tmp_path / "raw/masks/00/hole.png").read_bytes()[:60])
    write_mask(tmp_path / "raw/masks/04/hole.jpg", box(0, 0, 9, 9))
    (tmp_path / "raw/masks/04/hole.jpg").rename(tmp_path / "raw/masks/04/hole.png")
    clear = np.zeros((*SIZE, 4), np.uint8)
    clear[2:6, 2:6, 3] = 255
    Image.fromarray(clear).save(tmp_path / "raw/masks/05/crack.png")
    with pytest.raises(GraftError, match="it has 9 x 9 pixels, and its image 32 x 24") as told:
        run_ingest(tmp_path / "raw", tmp_path / "out", BY_CLASS)
    assert "masks/03/hole.png: " in str(told.value)
    assert "masks/04/hole.png: it is stored with loss (JPEG)" in str(told.value)
    assert 'foreground: ["128-255"]' in str(told.value)
    assert "masks/05/crack.png: it has one colour throughout, and a shape in the transparency" in str(told.value)


@pytest.mark.parametrize("missing", ["background", "unlabelled"])
def test_images_without_any_mask(missing: str, tmp_path: Path) -> None:
    make_by_class(tmp_path / "raw")
    for number in range(4):
        write_image(tmp_path / f"raw/images/bare{number}.jpg", number)
    write_image(tmp_path / "raw/unlabelled/x.jpg", 50)
    write_image(tmp_path / "raw/images/unlabelled/y.jpg", 51)
    write_mask(tmp_path / "raw/masks/unlabelled/y/crack.png", box(0, 0, 5, 5))
    done = run_ingest(tmp_path / "raw", tmp_path / "out", {**BY_CLASS, "missing_mask": missing})
    bare = [f"images/bare{number}.jpg" for number in range(4)]
    aside = ["images/unlabelled/y.jpg", "unlabelled/x.jpg"]
    if missing == "unlabelled":
        assert done.ids("unlabelled") == [*bare, *aside]
        return
    assert done.ids("unlabelled") == aside
    assert all(done.facts[id]["mask_counts"] == [24 * 32, 0, 0] for id in bare)


def test_values_that_count_are_those_of_foreground(tmp_path: Path) -> None:
    make_by_class(tmp_path / "raw", hole=1)
    done = run_ingest(tmp_path / "raw", tmp_path / "out", {**BY_CLASS, "foreground": ["128-255"]})
    assert done.facts["images/00.jpg"]["mask_counts"] == [24 * 32 - 100, 100, 0]


def put_by_suffix(root: Path) -> None:
    for number in range(30):
        write_image(root / f"{number:02d}.jpg", number)
        for part, name in enumerate(("crack", "hole")[: 1 + number % 2]):
            write_mask(root / f"{number:02d}_{name}.png", box(4 * part, 0, 4 * part + 5, 5))


def test_masks_are_among_the_sample_of_many_files() -> None:
    ids = [f"{number:06d}{rest}" for number in range(3000) for rest in (".jpg", "_crack.png", "_hole.png")]
    found = find_mask_layers(Found(Path("raw"), {id: id for id in ids}))
    assert found is not None
    assert (found.images, found.masks, found.classes) == ("**/*.jpg", "{dir}/{stem}_{class}.png", ["crack", "hole"])


def put_by_folder(root: Path) -> None:
    for number in range(30):
        write_image(root / f"images/{number:02d}.jpg", number)
        for part, name in enumerate(("crack", "hole")[: 1 + number % 2]):
            write_mask(root / f"masks/{name}/{number:02d}.png", box(4 * part, 0, 4 * part + 5, 5))


@pytest.mark.parametrize(
    ("make", "images", "masks", "names"),
    [
        (make_nuclei, "**/images/*.png", "{subdir}/masks/*.png", ("background", "object")),
        (make_by_class, "images/**/*.jpg", "masks/{subdir}/{stem}/{class}.png", ("background", "crack", "hole")),
        (put_by_suffix, "**/*.jpg", "{dir}/{stem}_{class}.png", ("background", "crack", "hole")),
        (put_by_folder, "images/**/*.jpg", "masks/{class}/{subdir}/{stem}.png", ("background", "crack", "hole")),
    ],
)
def test_such_folders_are_looked_at(make: Any, images: str, masks: str, names: Any, tmp_path: Path) -> None:
    make(tmp_path)
    seen = look(tmp_path)
    source = seen.proposals[0].source
    assert (source["name"], source["images"], source["masks"]) == ("mask_layers", images, masks)
    assert [one.source["name"] for one in seen.proposals] == ["mask_layers"]
    assert seen.listing.class_map.names == names
    assert (len(seen.listing.entries), seen.listing.problems) == (30, [])


def test_numbers_of_instances_are_no_classes(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / f"images/{number}.jpg", number)
        for part, name in enumerate(("crack_0", "crack_1", "hole_2")):
            write_mask(tmp_path / f"masks/{number}_{name}.png", box(4 * part, 0, 4 * part + 4, 4, 255))
    seen = look(tmp_path)
    assert seen.proposals[0].source["masks"] == "masks/{subdir}/{stem}_{class}_*.png"
    assert seen.listing.class_map.names == ("background", "crack", "hole")


def test_numbers_alone_may_be_the_classes(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / f"images/{number}.jpg", number)
        for part in (1, 2):
            write_mask(tmp_path / f"masks/{number}_class_{part}.png", box(8 * part, 0, 8 * part + 4, 4, 255))
    assert look(tmp_path).listing.class_map.names == ("background", "class_1", "class_2")


def test_masks_that_cover_the_same_are_those_of_several_people(tmp_path: Path) -> None:
    for number in range(24):
        write_image(tmp_path / f"{number}.jpg", number)
        write_mask(tmp_path / f"{number}_ann.png", box(0, 0, 10, 10, 255))
        write_mask(tmp_path / f"{number}_bob.png", box(0, 0, 10, 9, 255))
    seen = look(tmp_path)
    assert seen.proposals[0].source == {
        "name": "mask_folder",
        "images": "**/*.jpg",
        "masks": "{dir}/{stem}_ann.png",
        "classes": {"background": [0], "object": [255]},
    }
    assert seen.shares["object"] == pytest.approx(100 / (24 * 32))
    assert "ann, bob cover the same pixels in 8 images" in "\n".join(seen.lines())

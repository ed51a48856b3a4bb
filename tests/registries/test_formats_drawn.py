"""Sources of annotation tools: which pixels each tool paints, which label makes which class, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.data.formats.drawn.painters import Shape, paint_as_cvat, paint_as_labelme, paint_as_ultralytics
from graft.foundation.errors import GraftError
from tests.formats_layouts.drawn import (
    SQUARE,
    drawn,
    encoded,
    make_cvat,
    make_labelme,
    make_yolo,
    normalised,
    polygon,
    shape,
    write_cvat,
    write_labelme,
    write_yolo,
)
from tests.formats_layouts.pictures import SIZE, run_ingest
from tests.registries.test_formats import listing_of

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def pixels_of(mask: np.ndarray, value: int) -> tuple[int, tuple[int, ...]]:
    """Number of pixels of a value, and the first and last row and column of them."""
    rows, columns = np.nonzero(mask == value)
    return len(rows), (rows.min(), rows.max(), columns.min(), columns.max())


def mask_of(root: Path, source: dict[str, Any], id: str) -> np.ndarray:
    return run_ingest(root, root.parent / "out", source).mask(id)


@pytest.mark.parametrize(
    ("paint", "expected"),
    [
        (paint_as_labelme, (25, (1, 5, 1, 5))),
        (paint_as_ultralytics, (25, (1, 5, 1, 5))),
        (paint_as_cvat, (16, (1, 4, 1, 4))),
    ],
)
def test_each_tool_paints_a_square_in_its_own_way(paint, expected) -> None:
    square = Shape("a", "polygon", tuple((x, y) for x, y in SQUARE))
    mask = paint([(square, 3)], (10, 12), 7)
    assert (mask.dtype, mask.shape) == (np.uint8, (10, 12))
    assert pixels_of(mask, 3) == expected
    assert np.count_nonzero(mask == 7) == 120 - expected[0]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (shape("a", SQUARE, None), (25, (1, 5, 1, 5))),
        (shape("a", [[6, 5], [2, 3]], "rectangle"), (15, (3, 5, 2, 6))),
        (shape("a", [[6, 2], [10, 6], [6, 10], [2, 6]], "oriented_rectangle"), (41, (2, 10, 2, 10))),
        (shape("a", [[12, 12], [12, 16]], "circle"), (61, (8, 16, 8, 16))),
        (shape("a", [[15, 12]], "point"), (97, (7, 17, 10, 20))),
        (shape("a", [[4, 12], [20, 12]], "line"), (170, (8, 17, 4, 20))),
        (shape("a", [[4, 6], [12, 6], [12, 15]], "linestrip"), (171, (2, 15, 4, 17))),
        (shape("a", [[9, 4], [11, 6]], "mask", mask=encoded(CROSS)), (5, (4, 6, 9, 11))),
        (shape("a", [[9, 4], [10, 6]], "mask", mask=encoded(CROSS)), (4, (4, 6, 9, 10))),  # cut to whole corners
        (shape("a", [[-1, 4], [1, 6]], "mask", mask=encoded(CROSS)), (4, (4, 6, 0, 1))),
    ],
)
def test_shapes_of_labelme(written: dict[str, Any], expected: tuple[int, Any], tmp_path: Path) -> None:
    make_labelme(tmp_path / "in")
    write_labelme(tmp_path / "in/of all.png", [written])
    source = {"name": "labelme", "classes": {"vehicle": ["car", "van"], "a": ["a"]}}
    assert pixels_of(mask_of(tmp_path / "in", source, "of all.png"), 2) == expected


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (polygon("a", SQUARE), (16, (1, 4, 1, 4))),
        (drawn("box", "a", xtl=2, ytl=3, xbr=6, ybr=5), (8, (3, 4, 2, 5))),
        (drawn("box", "a", xtl=2, ytl=4, xbr=10, ybr=6, rotation=90), (16, (1, 8, 5, 6))),
        (drawn("ellipse", "a", cx=12, cy=10, rx=1.6, ry=4.2), (33, (6, 14, 10, 14))),
        (drawn("mask", "a", rle="1, 1, 1, 3, 1, 1, 1", left=9, top=4, width=3, height=3), (5, (4, 6, 9, 11))),
    ],
)
def test_shapes_of_cvat(element: str, expected: tuple[int, Any], tmp_path: Path) -> None:
    make_cvat(tmp_path / "in")
    file = tmp_path / "in/annotations.xml"
    file.write_text(file.read_text().replace(polygon("car", SQUARE), element, 1))
    source = {"name": "cvat", "classes": {"vehicle": ["car", "van"], "a": ["a"]}}
    assert pixels_of(mask_of(tmp_path / "in", source, "images/00.png"), 2) == expected


def test_what_is_drawn_later_or_higher_is_on_top(tmp_path: Path) -> None:
    inner = [[2, 2], [4, 2], [4, 4], [2, 4]]
    make_labelme(tmp_path / "a")
    write_labelme(tmp_path / "a/top.png", [shape("van", SQUARE), shape("car", inner)])
    assert pixels_of(mask_of(tmp_path / "a", {"name": "labelme"}, "top.png"), 1) == (9, (2, 4, 2, 4))
    content = polygon("car", inner, order=2) + polygon("van", SQUARE, order=1)
    write_cvat(tmp_path / "b", {f"{number}.png": content for number in range(30)})
    listing = listing_of(tmp_path / "b", "cvat")
    assert listing.class_map.names == ("background", "car", "van")
    masks = [listing.read(entry)[1] for entry in listing.entries[:2]]
    assert masks[0] == masks[1]
    ingested = run_ingest(tmp_path / "b", tmp_path / "interim", "cvat")
    assert pixels_of(ingested.mask("images/0.png"), 1) == (4, (2, 3, 2, 3))


def test_labels_become_classes_are_ignored_or_are_background(tmp_path: Path) -> None:
    make_labelme(tmp_path / "in")
    square = [[10, 1], [14, 1], [14, 5], [10, 5]]
    write_labelme(
        tmp_path / "in/a.png", [shape("__ignore__", SQUARE), shape("car", square), shape("_background_", SQUARE)]
    )
    source = {"name": "labelme", "classes": ["van", "car"]}
    listing = listing_of(tmp_path / "in", source)
    assert listing.class_map.names == ("background", "van", "car")
    mask = mask_of(tmp_path / "in", source, "a.png")
    assert np.bincount(mask.ravel(), minlength=256)[[0, 1, 2, 255]].tolist() == [SIZE[0] * SIZE[1] - 25, 0, 25, 0]
    nothing = listing_of(
        tmp_path / "in", {"name": "labelme", "background": None, "void": ["__ignore__", "_background_"]}
    )
    assert nothing.class_map.names == ("car", "van")


def test_images_without_a_shape_are_background_or_left_aside(tmp_path: Path) -> None:
    make_labelme(tmp_path)
    write_labelme(tmp_path / "bare.png", [])
    (mask,) = {
        mask for entry in listing_of(tmp_path, "labelme").entries if entry.id == "bare.png" for mask in [entry.split]
    }
    assert mask in ("train", "val", "test")
    listing = listing_of(tmp_path, {"name": "labelme", "background": None})
    assert "bare.png" not in {entry.id for entry in listing.entries}
    assert "images without a shape, left aside: 1" in listing.notes


@pytest.mark.parametrize(("name", "make"), [("labelme", make_labelme), ("cvat", make_cvat)])
def test_flags_and_tags_are_labels_of_whole_images(name: str, make: Any, tmp_path: Path) -> None:
    make(tmp_path)
    listing = listing_of(tmp_path, name, "classification")
    assert listing.class_map.names == ("car", "van")
    assert listing.class_map.source_values == ("car", "van")
    assert {entry.label for entry in listing.entries if entry.id.endswith(("00.png", "02.png"))} == {0}
    assert not listing.problems


def test_the_image_is_where_the_file_says_or_beside_it(tmp_path: Path) -> None:
    make_labelme(tmp_path)
    (tmp_path / "photographs").mkdir()
    (tmp_path / "00.png").rename(tmp_path / "photographs/street.png")
    content = json.loads((tmp_path / "00.json").read_text())
    (tmp_path / "00.json").write_text(json.dumps(content | {"imagePath": "C:\\Users\\a\\photographs\\street.png"}))
    (tmp_path / "01.png").rename(tmp_path / "renamed.png")
    (tmp_path / "01.json").rename(tmp_path / "renamed.json")
    ids = {entry.id for entry in listing_of(tmp_path, "labelme").entries}
    assert {"photographs/street.png", "renamed.png"} <= ids


def test_subsets_of_cvat_are_splits(tmp_path: Path) -> None:
    make_cvat(tmp_path)
    file = tmp_path / "annotations.xml"
    text = file.read_text()
    for number in range(40):
        split = "Validation" if number % 4 == 0 else "Train"
        text = text.replace(f'id="{number}" name=', f'id="{number}" subset="{split}" name=')
        (tmp_path / "images" / split).mkdir(exist_ok=True)
        (tmp_path / f"images/{number:02d}.png").rename(tmp_path / f"images/{split}/{number:02d}.png")
    file.write_text(text)
    listing = listing_of(tmp_path, "cvat")
    assert sum(entry.split == "val" for entry in listing.entries) == 10
    assert listing.class_map.official_splits


def test_all_that_is_wrong_with_labelme_files_is_listed_at_once(tmp_path: Path) -> None:
    make_labelme(tmp_path)
    write_labelme(tmp_path / "kind.png", [shape("car", SQUARE, "star")])
    write_labelme(tmp_path / "few.png", [shape("car", SQUARE), shape("car", SQUARE[:2])])
    write_labelme(tmp_path / "far.png", [shape("car", [[1, 1], [5, 1], [900, 5]])])
    write_labelme(tmp_path / "none.png", [shape("car", [[1, 1], [5, 1], [float("nan"), 5]])])
    write_labelme(tmp_path / "size.png", [], imageHeight=None)
    write_labelme(tmp_path / "cut.png", [])
    (tmp_path / "cut.json").write_text((tmp_path / "cut.json").read_text()[:40])
    write_labelme(tmp_path / "gone.png", [])
    (tmp_path / "gone.png").unlink()
    (tmp_path / "lone.png").write_bytes((tmp_path / "00.png").read_bytes())
    (tmp_path / "coco.json").write_text('{"images": []}')
    listing = listing_of(tmp_path, "labelme")
    for wanted in (
        "kind.json: shape 1: shape_type 'star' is none of polygon, oriented_rectangle, rectangle",
        "few.json: shape 2: a polygon of 2 points",
        "far.json: shape 1: a point lies far outside of 32 x 24 pixels",
        "none.json: shape 1: a point lies far outside",
        "size.json: imageHeight None and imageWidth 32 are no size",
        "cut.json: ",
        "gone.json: its image gone.png is not there",
        "lone.png: image without annotation",
    ):
        assert any(line.startswith(wanted) for line in listing.problems), wanted
    assert listing.without_target.keys() >= {"lone.png"}
    assert "1 JSON files that are not labelme's, as coco.json" in listing.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<box label="car" xtl="1" ytl="1" xbr="5"/>', "shape 1 (box): it has no 'ybr'"),
        ('<cuboid label="car"/>', "shape 1 (cuboid): which pixels it covers is not known"),
        ('<polygon label="car" points="1,1;2,2"/>', "shape 1 (polygon): 2 points"),
        ('<mask label="car" rle="3,3" left="0" top="0" width="3" height="3"/>', "its run lengths are not of 3 x 3"),
        ('<polygon label="car" points="1,1;2,2;1e9,3"/>', "shape 1: a point lies far outside of 32 x 24 pixels"),
    ],
)
def test_a_shape_that_cvat_would_not_write_is_named(content: str, message: str, tmp_path: Path) -> None:
    write_cvat(tmp_path, {"0.png": content})
    (problem,) = listing_of(tmp_path, {"name": "cvat", "classes": ["car"]}).problems[:1]
    assert message in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations><track id='0'/></annotations>", "it is CVAT for video.*export the task as CVAT for images"),
        ("<annotations><image", "not the XML file it should be, or cut off.*export it again"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>&b;</annotations>", "not the XML file it should be"),
    ],
)
def test_a_file_that_is_not_cvat_for_images_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(GraftError, match=message):
        listing_of(tmp_path, "cvat")


def test_what_covers_no_pixel_is_counted(tmp_path: Path) -> None:
    make_cvat(tmp_path)
    file = tmp_path / "annotations.xml"
    line = drawn("polyline", "car", points="1,1;5,5")
    file.write_text(file.read_text().replace(polygon("car", SQUARE), polygon("car", SQUARE) + line))
    assert "shapes of kind polyline, which cover no pixels: 20" in listing_of(tmp_path, "cvat").notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["car"]}, "label 'van', met 20 times, is in no class"),
        ({"classes": {"a": ["car"], "b": ["car", "van"]}}, "'car' is in a and in b"),
        ({"classes": {"a": ["car", "van"]}, "background": None}, "1 classes; there must be 2 to 254"),
        ({"void": ["car"], "classes": ["car", "van"]}, "'car' is in car and in void"),
    ],
)
def test_classes_that_do_not_fit_the_labels(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_labelme(tmp_path)
    with pytest.raises(GraftError, match=rf"(?s)ingest\.source\.classes cannot be used.*{message}"):
        listing_of(tmp_path, {"name": "labelme", **options})


def test_polygons_of_yolo_are_cut_to_pixels_and_the_smallest_is_on_top(tmp_path: Path) -> None:
    inner, outer = [[2.9, 2.9], [4.9, 2.9], [4.9, 4.9], [2.9, 4.9]], [[1, 1], [9, 1], [9, 9], [1, 9]]
    make_yolo(tmp_path / "in")
    (tmp_path / "in/labels/00.txt").write_text(normalised(1, inner) + "\n" + normalised(0, outer))
    (tmp_path / "in/labels/01.txt").write_text("")
    back = run_ingest(tmp_path / "in", tmp_path / "out", {"name": "yolo", "classes": ["van", "car"]})
    assert back.class_map.names == ("background", "van", "car")
    assert pixels_of(back.mask("images/00.png"), 1) == (9, (2, 4, 2, 4))
    assert pixels_of(back.mask("images/00.png"), 2) == (81 - 9, (1, 9, 1, 9))
    assert not back.mask("images/01.png").any()


def test_a_turned_photograph_has_its_polygons_where_a_viewer_shows_them(tmp_path: Path) -> None:
    make_yolo(tmp_path / "in")
    turned = Image.new("RGB", (24, 32))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "in/images/turned.jpg", exif=exif)
    (tmp_path / "in/labels/turned.txt").write_text(normalised(0, SQUARE))
    mask = run_ingest(tmp_path / "in", tmp_path / "out", "yolo").mask("images/turned.jpg")
    assert mask.shape == SIZE
    assert pixels_of(mask, 1) == (25, (1, 5, 1, 5))


@pytest.mark.parametrize("path", ["../train/images", "/content/set/train/images", "train/images"])
def test_the_folders_of_data_yaml_are_splits(path: str, tmp_path: Path) -> None:
    for number in range(8):
        split = "train" if number < 6 else "holdout"
        write_yolo(tmp_path / split, {f"{number}.png": normalised(number % 2, SQUARE)})
        (tmp_path / split / "data.yaml").unlink()
    yaml = f"train: {path}\nval: {path.replace('train', 'holdout')}\nnc: 2\nnames: {{0: car, 1: van}}\n"
    (tmp_path / "data.yaml").write_text(yaml)
    listing = listing_of(tmp_path, {"name": "yolo", "test_fraction": 0})
    assert sorted(entry.id for entry in listing.entries if entry.split == "val") == [
        "holdout/images/6.png",
        "holdout/images/7.png",
    ]
    assert listing.class_map.official_splits


def test_all_that_is_wrong_with_yolo_labels_is_listed_at_once(tmp_path: Path) -> None:
    lines = {
        "box.png": "0 0.5 0.5 0.1 0.1\n",
        "odd.png": "0 0.1 0.1 0.2 0.1 0.2\n",
        "far.png": "0 0.1 0.1 0.2 0.1 20 0.2\n",
        "word.png": "car 0.1 0.1 0.2 0.1 0.2 0.2\n",
        "strange.png": normalised(7, SQUARE),
    }
    write_yolo(tmp_path, {"a.png": normalised(0, SQUARE), "b.png": normalised(1, SQUARE), **lines})
    (tmp_path / "labels/lone.txt").write_text("")
    (tmp_path / "images/bare.png").write_bytes((tmp_path / "images/a.png").read_bytes())
    listing = listing_of(tmp_path, "yolo")
    for wanted in (
        "labels/box.txt: line 1: is a box",
        "labels/odd.txt: line 1: 5 numbers are no x and y",
        "labels/far.txt: line 1: a corner lies outside of the image",
        "labels/word.txt: line 1: ",
        "labels/strange.txt: class 7 has no name in data.yaml, which names 2",
        "labels/lone.txt: labels without image",
        "images/bare.png: image without annotation",
    ):
        assert any(line.startswith(wanted) for line in listing.problems), wanted
    forgiven = listing_of(tmp_path, {"name": "yolo", "missing": "background"}).problems
    assert not [line for line in forgiven if "bare.png" in line]


def test_classes_of_yolo_are_named_in_one_file(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    (tmp_path / "other.yaml").write_text("names: [a]\n")
    with pytest.raises(GraftError, match=r"one data\.yaml.*data\.yaml and other\.yaml name classes"):
        listing_of(tmp_path, "yolo")
    (tmp_path / "other.yaml").write_text("epochs: 3\n")
    (tmp_path / "data.yaml").write_text("names: {a: car}\n")
    with pytest.raises(GraftError, match="names are a list, or numbers and their names"):
        listing_of(tmp_path, "yolo")


@pytest.mark.parametrize(("name", "make"), [("labelme", make_labelme), ("cvat", make_cvat), ("yolo", make_yolo)])
def test_a_class_that_was_never_met_stays_a_class_and_is_told(name: str, make: Any, tmp_path: Path) -> None:
    make(tmp_path)
    if name == "yolo":
        (tmp_path / "data.yaml").write_text("names: [car, van, vam]\n")
    listing = listing_of(tmp_path, {"name": name} | ({} if name == "yolo" else {"classes": ["car", "van", "vam"]}))
    assert listing.class_map.names == ("background", "car", "van", "vam")
    assert listing.warnings == ["labels that were never met: 'vam' (did you mean 'van'?)"]


def test_a_file_without_a_size_takes_that_of_its_image(tmp_path: Path) -> None:
    make_labelme(tmp_path / "in")
    write_labelme(tmp_path / "in/old.png", [shape("car", SQUARE, None)], imageHeight=None, imageWidth=None)
    assert pixels_of(mask_of(tmp_path / "in", {"name": "labelme"}, "old.png"), 1) == (25, (1, 5, 1, 5))


def test_images_that_share_a_label_file_and_poses_are_refused(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    (tmp_path / "images/00.jpg").write_bytes((tmp_path / "images/00.png").read_bytes())
    assert "labels/00.txt: images/00.jpg and images/00.png share it; tell them apart by their names" in (
        listing_of(tmp_path, "yolo").problems
    )
    (tmp_path / "data.yaml").write_text("names: [car, van]\nkpt_shape: [2, 2]\n")
    with pytest.raises(GraftError, match="it describes poses"):
        listing_of(tmp_path, "yolo")

"""What labelme, CVAT and tools that read COCO are given: read again by their own rules and compared pixel by pixel."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from pycocotools.coco import COCO

from graft.commands.label_next import NextLabels, label_next
from graft.data.images.codec import encode_png
from graft.deployment.labelling.handover import name_of
from graft.deployment.labelling.outlines import Outline, outlines_of, paint
from graft.deployment.labelling.regions import encode_runs, regions_of
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from tests.formats_layouts.pictures import run_ingest
from tests.graft.test_label_next import classes, see, see_label

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools 2.0.11
HEIGHT, WIDTH = 48, 64
NAMES = {"empty ü.png": 0, "a;b&<c>.d.PNG": 1, 'x\x01y"#.png': 2}


def draw(number: int) -> np.ndarray:
    """Nothing; a house of two parts, with one pixel of road in its hole; a road at the edge, and a single pixel."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 1] = 10 + 40 * number  # the brighter, the less sure: the last comes first
    if number == 1:
        image[4:40, 4:30, 0] = 200
        image[10:30, 10:24, 0] = 0
        image[20, 16, 2] = 200
        image[42:47, 40:60, 0] = 200
    if number == 2:
        image[:, 50:, 2] = 200
        image[30, 5, 0] = 200
    return image


@dataclass(frozen=True)
class Chosen:
    """Images that were chosen, and the masks that were predicted for them, by the name of the copy."""

    out: Path
    told: NextLabels
    masks: dict[str, np.ndarray]


@pytest.fixture
def choose(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name, number in NAMES.items():
        (tmp_path / "in" / name).write_bytes(encode_png(draw(number)))

    def run(tool: str, shapes: str = "polygons") -> Chosen:
        out = tmp_path / f"{tool} {shapes}"
        told = label_next(3, [str(tmp_path / "in")], see, classes(), out, tool=tool, shapes=shapes)
        places = {
            file.name.partition("-")[2]: file.name for file in (out / "images").iterdir() if file.suffix != ".json"
        }
        masks = {places[name_of(name)]: see(draw(number)).class_ids for name, number in NAMES.items()}
        return Chosen(out, told, masks)

    return run


def coco_masks(path: Path, classes: ClassMap) -> dict[str, np.ndarray]:
    """Class ids as pycocotools decodes them, largest first, by the name of the image."""
    found = COCO(path)
    names = {category["id"]: category["name"] for category in found.loadCats(found.getCatIds())}
    masks = {}
    for image in found.loadImgs(found.getImgIds()):
        masks[image["file_name"]] = np.zeros((image["height"], image["width"]), np.uint8)
        for one in sorted(found.imgToAnns[image["id"]], key=lambda one: -one["area"]):
            masks[image["file_name"]][found.annToMask(one) > 0] = classes.names.index(names[one["category_id"]])
    return masks


def cvat_masks(path: Path, classes: ClassMap) -> dict[str, np.ndarray]:
    """Class ids of the masks of a file of CVAT: run lengths row by row within a box, False first."""
    masks = {}
    for image in Xml.parse(path).getroot().iter("image"):
        whole = np.zeros((int(image.get("height", 0)), int(image.get("width", 0))), np.uint8)
        for one in image.iter("mask"):
            left, top, width, height = (int(one.get(key, 0)) for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in one.get("rle", "").split(",")]
            pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
            box = whole[top : top + height, left : left + width]
            box[pixels] = classes.names.index(one.get("label", ""))
        masks[image.get("name", "")] = whole
    return masks


def test_run_lengths_begin_with_what_is_not_of_the_region() -> None:
    assert encode_runs(np.array([[False, True], [True, True], [False, False]])) == [1, 3, 2]
    assert encode_runs(np.array([[True]])) == [0, 1]
    (region,) = regions_of(np.array([[0, 0, 0], [0, 7, 0]], np.uint8), (3, 7))
    assert (region.class_id, region.left, region.top, region.pixels.tolist()) == (7, 1, 1, [[True]])


@pytest.mark.parametrize("tool", ["coco", "cvat"])
def test_masks_give_every_pixel_back_a_single_one_too(choose, tool: str) -> None:
    chosen = choose(tool, "masks")
    read = {"coco": coco_masks, "cvat": cvat_masks}[tool]
    file = {"coco": "annotations/instances_default.json", "cvat": "annotations.xml"}[tool]
    found = read(chosen.out / file, classes())
    assert found.keys() == chosen.masks.keys()
    for name, mask in chosen.masks.items():
        np.testing.assert_array_equal(found[name], mask)
    assert chosen.told.num_moved == 0
    assert "polygons" not in str(chosen.told)


@pytest.mark.parametrize(("tool", "shapes"), [("cvat", "polygons"), ("cvat", "masks"), ("labelme", "masks")])
def test_what_a_tool_is_given_is_read_back_by_the_source_it_names(choose, tmp_path: Path, tool, shapes) -> None:
    chosen, by_coco = choose(tool, shapes), choose("coco", shapes)
    expected = coco_masks(by_coco.out / "annotations/instances_default.json", classes())
    source = chosen.told.handover.source | {"val_fraction": 0.5, "test_fraction": 0}
    back = run_ingest(chosen.out, tmp_path / "interim", source)
    assert back.class_map.names == classes().names
    for name, mask in expected.items():
        np.testing.assert_array_equal(back.mask(f"images/{name}"), mask)


def test_polygons_lose_specks_and_corners_and_the_pixels_are_counted(choose, tmp_path: Path) -> None:
    chosen = choose("coco")
    found = coco_masks(chosen.out / "annotations/instances_default.json", classes())
    moved = {name: int((found[name] != mask).sum()) for name, mask in chosen.masks.items()}
    assert [moved[name] for name in chosen.masks] == [0, 1, 1]  # straight edges stay; of each image a single pixel goes
    assert "the polygons give 2 of 9,216 pixels another class than was predicted" in str(chosen.told)
    back = run_ingest(chosen.out, tmp_path / "interim", chosen.told.handover.source)
    for name, mask in found.items():
        np.testing.assert_array_equal(back.mask(f"images/{name}"), mask)


def test_a_speck_is_left_out_by_its_pixels() -> None:
    mask = np.zeros((20, 40), np.uint8)
    mask[2:5, 2:6] = 1  # twelve pixels
    mask[10, 2:13] = 1  # eleven in a row
    mask[5:18, 20:38] = 1
    mask[8:11, 24:28] = 0  # a hole of twelve, and one of eleven
    mask[15, 24:35] = 0
    found = outlines_of(mask, (1,))
    assert [one.points.min(axis=0).round().tolist() for one in found] == [[20, 5], [2, 2]]
    assert len(found[0].points) > len(found[1].points)


def test_outlines_are_painted_the_largest_first_in_the_memory_of_one() -> None:
    squares = [(4, 4, 6), (2, 2, 12), (30, 30, 6)]  # left, top and side; the first lies in the second
    corners = [np.array([(x, y), (x + s, y), (x + s, y + s), (x, y + s)], float) for x, y, s in squares]
    drawn = [Outline(number, points) for number, points in enumerate(corners, 1)]
    expected = np.full((1500, 2000), 9, np.uint8)
    for number in (2, 1, 3):
        x, y, s = squares[number - 1]
        expected[y : y + s, x : x + s] = number
    tracemalloc.start()
    painted = paint(drawn * 20, 1500, 2000, 9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(painted, expected)
    assert peak < 6 * expected.size  # 60 outlines


def test_labelme_finds_what_it_needs_beside_each_image(choose) -> None:
    chosen = choose("labelme")
    for name, mask in chosen.masks.items():
        content = json.loads((chosen.out / "images" / name).with_suffix(".json").read_text("utf-8"))
        assert set(content) == {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
        assert (content["imagePath"], content["imageData"]) == (name, None)
        assert (content["imageHeight"], content["imageWidth"]) == mask.shape
        for shape in content["shapes"]:
            assert set(shape) == {"label", "points", "group_id", "shape_type", "flags"}
            assert shape["shape_type"] == "polygon"
            assert len(shape["points"]) > 2
            assert all(
                len(point) == 2 and all(isinstance(value, float) for value in point) for point in shape["points"]
            )


def test_cvat_finds_frames_in_the_order_of_their_names_and_the_labels_of_the_task(choose) -> None:
    root = Xml.parse(choose("cvat").out / "annotations.xml").getroot()
    frames = [(image.get("id"), image.get("name", "")) for image in root.iter("image")]
    assert [number for number, _ in frames] == ["0", "1", "2"]
    assert [name for _, name in frames] == sorted(name for _, name in frames)
    assert [name.partition("-")[2] for _, name in frames] == ["x_y_#.png", "a;b&_c_.d.PNG", "empty ü.png"]
    assert [one.text for one in root.findall("meta/task/labels/label/name")] == ["house", "road"]
    assert [child.tag for child in root.findall("image[@id='2']/*")] == []


def test_what_takes_no_masks_is_said(choose, tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="there is no shape 'circles'"):
        choose("coco", "circles")
    with pytest.raises(GraftError, match="a classification model proposes no masks"):
        label_next(1, [str(tmp_path / "in")], see_label, classes("classification"), tmp_path / "out", shapes="masks")

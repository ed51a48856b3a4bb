"""Label Studio: the pixels of its regions, whose annotations count, and where its images are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.data.formats.drawn.brush_run_lengths import decode_brush
from graft.foundation.errors import GraftError
from tests.formats_layouts.drawn import SQUARE
from tests.formats_layouts.label_studio import (
    HEIGHT,
    WIDTH,
    brush,
    choice,
    made,
    make_label_studio,
    polygon_region,
    region,
    task,
    write_export,
)
from tests.formats_layouts.pictures import SIZE, write_image
from tests.registries.test_formats import listing_of
from tests.registries.test_formats_drawn import mask_of, pixels_of

ACROSS, DOWN = 100 / WIDTH, 100 / HEIGHT  # one pixel in percent
INNER = [[2, 2], [4, 2], [4, 4], [2, 4]]
STROKE = np.zeros(SIZE, bool)
STROKE[3:5, 2:9] = True


def write_one(root: Path, *annotations: dict[str, Any], address: str = "/data/upload/1/one.png") -> None:
    """The usual images, and one more with these annotations."""
    make_label_studio(root)
    write_image(root / "images/one.png", seed=99)
    write_export(root, task(99, address, *annotations), name="more.json")


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (polygon_region("a", SQUARE), (16, (1, 4, 1, 4))),
        (
            region("rectanglelabels", "a", x=2 * ACROSS, y=3 * DOWN, width=4 * ACROSS, height=2 * DOWN),
            (8, (3, 4, 2, 5)),
        ),
        # Turned clockwise around its left upper corner (10, 3): it covers x from 8 to 10 and y from 3 to 7.
        (
            region("rectanglelabels", "a", x=10 * ACROSS, y=3 * DOWN, width=4 * ACROSS, height=2 * DOWN, rotation=90),
            (8, (3, 6, 8, 9)),
        ),
        # Radii 2 and 1 around (10, 6): the corner of 8 pixels' centres, (11.5, 6.5), is within: 0.75² + 0.5² = 0.81.
        (
            region("ellipselabels", "a", x=10 * ACROSS, y=6 * DOWN, radiusX=2 * ACROSS, radiusY=1 * DOWN, rotation=0),
            (8, (5, 6, 8, 11)),
        ),
        (
            region("ellipselabels", "a", x=10 * ACROSS, y=6 * DOWN, radiusX=2 * ACROSS, radiusY=1 * DOWN, rotation=90),
            (8, (4, 7, 9, 10)),
        ),
        (region("brushlabels", "a", format="rle", rle=brush(STROKE)), (14, (3, 4, 2, 8))),
        (region("labels", "a", points=[[10, 10], [20, 10], [20, 20]], closed=True), None),
    ],
)
def test_regions_of_label_studio(drawn: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    write_one(tmp_path / "in", made(drawn))
    source = {"name": "label_studio", "classes": {"vehicle": ["car", "van"], "a": ["a"]}}
    mask = mask_of(tmp_path / "in", source, "images/one.png")
    if expected is None:
        assert (mask == 2).any()
    else:
        assert pixels_of(mask, 2) == expected


def test_run_lengths_are_decoded_as_label_studio_packs_them() -> None:
    """Label Studio's own converter (0.0.59) packs this mask so."""
    packed = [0, 0, 0, 48, 57, 27, 252, 96, 19, 255, 206, 1, 31, 254, 19, 0, 143, 252]
    assert decode_brush(packed, (3, 4)).astype(int).tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    # 8 values of 8 bits in one piece that is no run, whose length less one is written in 3 bits.
    bits = f"{8:032b}{7:05b}{2:04b}{2:04b}{2:04b}{2:04b}" + "000111" + "".join(f"{v:08b}" for v in [9, 9, 9, 0] * 2)
    assert not decode_brush(np.packbits(np.array(list(bits), np.uint8)).tolist(), (2, 1)).any()
    bits = bits[:-8] + "00000001"
    assert decode_brush(np.packbits(np.array(list(bits), np.uint8)).tolist(), (2, 1)).tolist() == [[False], [True]]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (130, 600)])
def test_any_mask_comes_back_from_its_run_lengths(size: tuple[int, int]) -> None:
    for share in (0.0, 0.02, 0.5, 1.0):
        pixels = np.random.default_rng(size[0]).random(size) < share
        if size[0] * size[1] * 4 < 1 << 16 or 0 < share < 1:
            assert (decode_brush(brush(pixels), size) == pixels).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda rle: rle[:-4], "its run lengths are cut off"),
        (lambda rle: [0, 0, 0, 9, *rle[4:]], "its run lengths are of 9 values, not of 32 x 24 pixels"),
        (lambda rle: [*rle[:4], rle[4] | 0x80, *rle[5:]], "its values have 24 bits, not 8"),
        (lambda rle: [*rle[:-8], 255, 255, 255, 255, 255, 255, 255, 255], "its run lengths go beyond 32 x 24 pixels"),
        (lambda rle: [300, *rle], "bytes must be in range"),
        (lambda rle: 8 * 10**9, "its run lengths are no list of bytes"),
    ],
)
def test_run_lengths_that_are_spoiled_are_named(changed: Any, message: str, tmp_path: Path) -> None:
    write_one(tmp_path, made(region("brushlabels", "car", format="rle", rle=changed(brush(STROKE)))))
    (problem,) = listing_of(tmp_path, "label_studio").problems
    assert problem.startswith("more.json: task 99: region 1 (brushlabels): ")
    assert message in problem


def test_what_was_drawn_later_is_on_top_and_key_points_are_counted(tmp_path: Path) -> None:
    point = region("keypointlabels", "van", x=3, y=3, width=1)
    write_one(tmp_path / "in", made(polygon_region("van", SQUARE), point, polygon_region("car", INNER)))
    assert (
        "shapes of kind keypointlabels, which cover no pixels: 1" in listing_of(tmp_path / "in", "label_studio").notes
    )
    mask = mask_of(tmp_path / "in", "label_studio", "images/one.png")
    assert pixels_of(mask, 1) == (4, (2, 3, 2, 3))
    assert np.count_nonzero(mask == 2) == 12


def test_a_region_whose_label_stands_in_a_second_result_is_drawn_once(tmp_path: Path) -> None:
    bare = {**polygon_region("car", SQUARE), "id": "x", "type": "polygon"}
    bare["value"] = {key: value for key, value in bare["value"].items() if key != "polygonlabels"}
    named = {**bare, "type": "labels", "value": {**bare["value"], "labels": ["car"]}}
    write_one(tmp_path / "in", made(bare, named))
    assert pixels_of(mask_of(tmp_path / "in", "label_studio", "images/one.png"), 1) == (16, (1, 4, 1, 4))
    write_one(tmp_path / "in", made(bare))
    assert listing_of(tmp_path / "in", "label_studio").problems == [
        "more.json: task 99: region 1 (polygon): it bears no label; a region has one label"
    ]


def test_choices_are_labels_of_whole_images(tmp_path: Path) -> None:
    write_one(tmp_path, made(choice("van"), choice("rain", "weather")))
    listing = listing_of(tmp_path, {"name": "label_studio", "control": "kind"}, "classification")
    assert listing.class_map.names == ("car", "van")
    assert {entry.label for entry in listing.entries if entry.id.endswith(("01.png", "one.png"))} == {1}
    assert not listing.problems
    (problem,) = listing_of(tmp_path, "label_studio", "classification").problems
    assert problem == "images/one.png: more.json gives it van and rain; an image has one label"


def test_annotator_says_whose_annotation_counts(tmp_path: Path) -> None:
    ann, bob = {"id": 1, "email": "ann@x.org"}, {"id": 2, "email": "bob@x.org"}
    write_one(tmp_path, made(polygon_region("car", SQUARE), by=ann), made(polygon_region("van", SQUARE), by=bob))
    listing = listing_of(tmp_path, "label_studio")
    assert listing.problems == [
        "more.json: task 99: 2 annotations, by 1/ann@x.org, 2/bob@x.org; annotator says whose counts, or mark one of "
        "them as ground truth"
    ]
    for annotator, label in (("ann@x.org", 1), (1, 1), ("2", 2), ([3, 2, 1], 2)):
        options = {"name": "label_studio", "annotator": annotator, "classes": ["car", "van"]}
        by_id = {entry.id: entry for entry in listing_of(tmp_path, options).entries}
        drawing = by_id["images/one.png"].drawing  # type: ignore[attr-defined]
        assert drawing.labels == (["car", "van"][label - 1],)
    missing = listing_of(tmp_path, {"name": "label_studio", "annotator": 1}).problems
    assert missing == []
    missing = listing_of(tmp_path, {"name": "label_studio", "annotator": "ann@x.org"}).problems
    assert len(missing) == 40
    assert "images/00.png: image without annotation" in missing


def test_cancelled_annotations_do_not_count_and_ground_truth_decides(tmp_path: Path) -> None:
    cancelled = made(polygon_region("van", SQUARE), was_cancelled=True)
    write_one(tmp_path, cancelled, made(polygon_region("car", SQUARE)))
    assert not listing_of(tmp_path, "label_studio").problems
    write_one(tmp_path, made(polygon_region("van", SQUARE)), made(polygon_region("car", SQUARE), ground_truth=True))
    listing = listing_of(tmp_path, "label_studio")
    (drawn,) = [entry for entry in listing.entries if entry.id == "images/one.png"]
    assert drawn.drawing.labels == ("car",)  # type: ignore[attr-defined]
    write_one(tmp_path, cancelled)
    assert listing_of(tmp_path, "label_studio").problems == ["images/one.png: image without annotation"]


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/12/one.png",
        "/data/upload/12/0a1b2c3d-one.png",
        "/data/local-files/?d=somewhere/images/one.png",
        "https://example.org/a%20b/one.png?token=1&d2=3",
        "s3://bucket/images/one.png",
        "C:\\pictures\\one.png",
        "one.png",
    ],
)
def test_images_are_found_by_the_end_of_their_address(address: str, tmp_path: Path) -> None:
    write_one(tmp_path, made(), address=address)
    listing = listing_of(tmp_path, "label_studio")
    assert not listing.problems
    assert "images/one.png" in {entry.id for entry in listing.entries}


def test_an_upload_that_was_renamed_is_found(tmp_path: Path) -> None:
    write_one(tmp_path, made(), address="/data/upload/1/0a1b2c3d-my_photo_1.png")
    assert listing_of(tmp_path, "label_studio").problems == [
        "images/one.png: image without annotation",
        "more.json: task 99: its image 'data/upload/1/0a1b2c3d-my_photo_1.png' is not there, or several end so",
    ]
    (tmp_path / "images/one.png").rename(tmp_path / "images/my photo (1).png")
    assert not listing_of(tmp_path, "label_studio").problems


def test_all_that_is_wrong_with_an_export_is_listed_at_once(tmp_path: Path) -> None:
    make_label_studio(tmp_path)
    turned = {**polygon_region("car", SQUARE), "image_rotation": 90}
    other = {**polygon_region("car", SQUARE), "original_width": 64}
    wrong: list[tuple[str, list[dict[str, Any]], str]] = [
        ("kind", [region("vectorlabels", "car", vertices=[])], "region 1 (vectorlabels): which pixels a vectorlabels"),
        ("few", [polygon_region("car", SQUARE[:2])], "region 1 (polygonlabels): a polygon of 2 points"),
        ("far", [polygon_region("car", [*SQUARE[:2], [900, 5]])], "shape 1: a point lies far outside of 32 x 24"),
        ("turned", [turned], "region 1 (polygonlabels): the image was turned by 90 degrees; turn the file"),
        ("sizes", [polygon_region("van", SQUARE), other], "its regions are of images of 32 x 24 and 64 x 24 pixels"),
        (
            "size",
            [{**other, "original_width": 0}],
            "region 1 (polygonlabels): original_width 0 and original_height 24 are no size",
        ),
        (
            "two",
            [region("rectanglelabels", "car", x=1, y=1, width=5)],
            "region 1 (rectanglelabels): which pixels a rectanglelabels covers",
        ),
    ]
    tasks = []
    for number, (name, results, _) in enumerate(wrong):
        write_image(tmp_path / f"{name}.png", seed=number)
        tasks.append(task(100 + number, f"{name}.png", made(*results)))
    tasks += [task(200, "gone.png", made()), task(201, "00.png", made()), task(202, "data:image/png;base64,AA", made())]
    write_export(tmp_path, *tasks, name="more.json")
    write_image(tmp_path / "lone.png", seed=50)
    problems = listing_of(tmp_path, "label_studio").problems
    expected = {f"more.json: task {100 + number}: {text}" for number, (_, _, text) in enumerate(wrong)} | {
        "more.json: task 200: its image 'gone.png' is not there",
        "more.json: task 202: its data name no image file",
        "lone.png: image without annotation",
    }
    for wanted in expected:
        assert any(wanted in line for line in problems), (wanted, problems)
    assert any(line.endswith("images/00.png is annotated in another task too") for line in problems)
    assert len(problems) == len(expected) + 1


def test_what_is_no_export_of_tasks_is_refused(tmp_path: Path) -> None:
    make_label_studio(tmp_path)
    export = tmp_path / "project-1.json"
    whole = export.read_text()
    (tmp_path / "other.json").write_text("[1, 2]")
    assert not listing_of(tmp_path, "label_studio").problems
    (tmp_path / "other.json").write_text(json.dumps([{"image": "a.png", "annotation_id": 1, "choice": "car"}]))
    with pytest.raises(GraftError, match=r"it is JSON-MIN.*export the project as JSON"):
        listing_of(tmp_path, "label_studio")
    (tmp_path / "other.json").unlink()
    export.write_text(whole[:-40])
    with pytest.raises(GraftError, match="not the JSON array it should be, or cut off"):
        listing_of(tmp_path, "label_studio")
    tasks = json.loads(whole)
    del tasks[3]["annotations"]
    export.write_text(json.dumps(tasks))
    with pytest.raises(GraftError, match=r"item 4 is no task with data and annotations"):
        listing_of(tmp_path, "label_studio")
    export.write_text(whole.replace('"annotations"', '"completions"'))
    assert not listing_of(tmp_path, "label_studio").problems

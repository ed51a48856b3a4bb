"""Supervisely: the pixels of its objects, its classes and splits, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.data.formats.drawn.painters import Shape, paint_as_supervisely
from graft.foundation.errors import GraftError
from tests.formats_layouts.drawn import SQUARE
from tests.formats_layouts.supervisely import CLASSES, bitmap, figure, make_supervisely, write_annotated, write_meta
from tests.registries.test_formats import listing_of
from tests.registries.test_formats_drawn import CROSS, mask_of, pixels_of

HOLE = [[2, 2], [4, 2], [4, 4], [2, 4]]
OUTER = [[1, 1], [7, 1], [7, 7], [1, 7]]


def png(pixels: np.ndarray) -> str:
    """The pixels as a grey PNG in base64, not compressed any further."""
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) * 255).save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (figure("polygon", "a", SQUARE), (25, (1, 5, 1, 5))),
        (figure("polygon", "a", OUTER, [HOLE]), (49 - 9, (1, 7, 1, 7))),  # the rim of the hole goes with it
        (figure("polygon", "a", [[1.9, 1.9], [5.9, 1.9], [5.9, 5.9], [1.9, 5.9]]), (25, (1, 5, 1, 5))),
        (figure("rectangle", "a", [[2, 3], [6, 5]]), (15, (3, 5, 2, 6))),
        (figure("rectangle", "a", [[6.4, 5.4], [1.6, 2.6]]), (15, (3, 5, 2, 6))),
        (bitmap("a", CROSS, (9, 4)), (5, (4, 6, 9, 11))),
        (bitmap("a", CROSS, (29, 21)), (5, (21, 23, 29, 31))),
        (bitmap("a", CROSS, (9, 4), data=png(CROSS)), (5, (4, 6, 9, 11))),
    ],
)
def test_objects_of_supervisely(drawn: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    make_supervisely(tmp_path / "in")
    write_annotated(tmp_path / "in/ds0", "one.png", drawn)
    source = {"name": "supervisely", "classes": {"vehicle": ["car", "van"], "a": ["a"]}}
    assert pixels_of(mask_of(tmp_path / "in", source, "ds0/img/one.png"), 2) == expected


def test_what_stands_later_is_on_top_and_shows_through_a_hole(tmp_path: Path) -> None:
    ring = Shape("a", "polygon", tuple((x, y) for x, y in OUTER), holes=(tuple((x, y) for x, y in HOLE),))
    square = Shape("b", "polygon", tuple((x, y) for x, y in SQUARE))
    mask = paint_as_supervisely([(square, 1), (ring, 2)], (10, 12), 0)
    assert (np.count_nonzero(mask == 1), np.count_nonzero(mask == 2)) == (9, 40)
    mask = paint_as_supervisely([(ring, 2), (square, 1)], (10, 12), 0)
    assert (np.count_nonzero(mask == 1), np.count_nonzero(mask == 2)) == (25, 49 - 25)


def test_classes_are_those_of_the_meta_that_may_cover_pixels(tmp_path: Path) -> None:
    make_supervisely(tmp_path)
    write_meta(tmp_path, {"van": "any", "car": "polygon", "track": "line", "sign": "bitmap"})
    write_annotated(tmp_path / "ds0", "line.png", figure("line", "track", [[1, 1], [9, 9]]))
    listing = listing_of(tmp_path, "supervisely")
    assert not listing.problems
    assert listing.class_map.names == ("background", "van", "car", "sign")
    assert listing.warnings == ["labels that were never met: 'sign' (known: car, van)"]
    assert {"shapes of kind line, which cover no pixels: 1", "1 picture outside of folders img"} <= set(listing.notes)
    listing = listing_of(tmp_path, {"name": "supervisely", "void": ["sign"], "background": None})
    assert listing.class_map.names == ("van", "car")
    assert "images without a shape, left aside: 1" in listing.notes


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ({"bitmap": None, **figure("polygon", "car", SQUARE)}, 25),
        (figure("rectangle", "box", [[2, 3], [6, 5]]), 15),
        ({**bitmap("a", CROSS, (9, 4)), "points": {"exterior": [], "interior": []}}, 5),
    ],
)
def test_files_of_the_first_releases_say_the_shape_in_the_meta_only(
    drawn: dict[str, Any], expected: int, tmp_path: Path
) -> None:
    make_supervisely(tmp_path / "in")
    write_meta(tmp_path / "in", {"car": "polygon", "van": "polygon", "box": "rectangle", "a": "bitmap"})
    (tmp_path / "in/ds0/ann/00.png.json").unlink()
    del drawn["geometryType"]
    write_annotated(tmp_path / "in/ds0", "00.png", drawn, tags=["good", "train"])
    (tmp_path / "in/ds0/ann/00.png.json").rename(tmp_path / "in/ds0/ann/00.json")
    source = {"name": "supervisely", "classes": {"any": ["car", "van", "box", "a"]}}
    assert "tags that name no split: 1" in listing_of(tmp_path / "in", source).notes
    assert np.count_nonzero(mask_of(tmp_path / "in", source, "ds0/img/00.png")) == expected


def test_datasets_named_after_splits_are_splits(tmp_path: Path) -> None:
    for number in range(12):
        dataset = tmp_path / "project" / ("train", "val", "test")[number % 3]
        write_annotated(dataset, f"{number}.png", figure("polygon", ("car", "van")[number % 2], SQUARE))
    write_meta(tmp_path / "project", CLASSES)
    listing = listing_of(tmp_path, "supervisely")
    assert listing.class_map.official_splits
    assert {(entry.id.split("/")[1], entry.split) for entry in listing.entries} == {
        (split, split) for split in ("train", "val", "test")
    }


def test_tags_of_all_images_name_splits(tmp_path: Path) -> None:
    for number in range(12):
        tag = {"id": 3, "name": ("train", "validation")[number % 4 == 0], "value": None}
        write_annotated(
            tmp_path / "ds0", f"{number}.png", figure("polygon", ("car", "van")[number % 2], SQUARE), tags=[tag]
        )
    write_meta(tmp_path, CLASSES)
    listing = listing_of(tmp_path, "supervisely")
    assert sorted(entry.id for entry in listing.entries if entry.split == "val") == [
        "ds0/img/0.png",
        "ds0/img/4.png",
        "ds0/img/8.png",
    ]


def test_tags_that_name_splits_of_some_images_only_are_told(tmp_path: Path) -> None:
    make_supervisely(tmp_path)
    for name in ("train", "unlabelled"):
        write_annotated(tmp_path / "ds0", f"{name}.png", figure("polygon", "car", SQUARE), tags=[{"name": name}])
    listing = listing_of(tmp_path, "supervisely")
    assert not listing.problems
    assert {entry.split for entry in listing.entries} == {"train", "val", "test"}
    assert "tags that name no split: 1" in listing.notes
    (note,) = (note for note in listing.notes if "splits" in note)
    number = len(listing.entries)
    assert note.startswith(f"splits that the tool's files say of 1 of {number} images, which were not used")


def test_a_bitmap_that_unfolds_to_more_than_its_image_is_not_unfolded(tmp_path: Path) -> None:
    make_supervisely(tmp_path)
    bomb = zlib.compress(bytes(1 << 28), 9)  # 256 MiB in 260 kB
    write_annotated(tmp_path / "ds0", "bomb.png", bitmap("a", CROSS, (0, 0), data=base64.b64encode(bomb).decode()))
    large = png(np.ones((25, 9), bool))
    write_annotated(tmp_path / "ds0", "large.png", bitmap("a", CROSS, (0, 0), data=large))
    cut = base64.b64encode(zlib.compress(base64.b64decode(png(CROSS)))[:-9]).decode()
    write_annotated(tmp_path / "ds0", "cut.png", bitmap("a", CROSS, (0, 0), data=cut))
    tracemalloc.start()
    problems = listing_of(tmp_path, "supervisely").problems
    most_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert problems == [
        f"ds0/ann/bomb.png.json: object 1: its bitmap unfolds to more than {(1 << 16) + 8 * 25 * 33:,} bytes",
        "ds0/ann/cut.png.json: object 1: its bitmap is cut off",
        "ds0/ann/large.png.json: object 1: a bitmap of 9 x 25 pixels, of an image of 32 x 24",
    ]
    assert most_bytes < 1 << 26


def test_all_that_is_wrong_with_annotation_files_is_listed_at_once(tmp_path: Path) -> None:
    make_supervisely(tmp_path)
    dataset = tmp_path / "ds0"
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "few.png": (figure("polygon", "car", SQUARE[:2]), "object 1: a polygon of 2 points"),
        "hole.png": (figure("polygon", "car", SQUARE, [HOLE[:2]]), "object 1: a polygon of 2 points"),
        "three.png": (figure("rectangle", "car", SQUARE[:3]), "object 1: a rectangle of 3 points"),
        "far.png": (figure("polygon", "car", [*SQUARE[:2], [900, 5]]), "shape 1: a point lies far outside of 32 x 24"),
        "beyond.png": (bitmap("a", CROSS, (30, 0)), "object 1: a bitmap of 3 x 3 pixels at (30, 0) of 32 x 24"),
        "spoiled.png": (bitmap("a", CROSS, (0, 0), data="AAAA"), "object 1: its bitmap is no PNG"),
        "base.png": (bitmap("a", CROSS, (0, 0), data="A"), "object 1: "),
        "lacking.png": (figure("polygon", "car", SQUARE) | {"points": {}}, "object 1: it has no 'exterior'"),
        "kind.png": (
            figure("alpha_mask", "car", SQUARE),
            "object 1: which pixels an object of the kind alpha_mask covers is not known",
        ),
    }
    for name, (drawn, _) in wrong.items():
        write_annotated(dataset, name, drawn)
    write_annotated(dataset, "size.png", size={"height": None, "width": 3})
    write_annotated(dataset, "list.png", objects=None)
    write_annotated(dataset, "vast.png", size={"height": 10**6, "width": 10**6})
    write_annotated(dataset, "both.png", tags=[{"name": "val"}, {"name": "train"}])
    write_annotated(dataset, "nameless.png", tags=[{"tagId": 3}])
    write_annotated(dataset, "number.png", tags=5)
    write_annotated(dataset, "cut.png")
    (dataset / "ann/cut.png.json").write_text('{"objects": [')
    write_annotated(dataset, "gone.png")
    (dataset / "img/gone.png").unlink()
    (dataset / "img/lone.png").write_bytes((dataset / "img/00.png").read_bytes())
    (dataset / "ann/01.json").write_text((dataset / "ann/01.png.json").read_text())
    expected = [f"ds0/ann/{name}.json: {text}" for name, (_, text) in wrong.items()]
    expected += [
        "ds0/ann/size.png.json: its size {'height': None, 'width': 3} is none",
        "ds0/ann/list.png.json: it lists no objects",
        "ds0/ann/vast.png.json: its size, 1000000 x 1000000 pixels, is more than 268,435,456",
        "ds0/ann/both.png.json: its tags name train and val; an image is in one split",
        "ds0/ann/nameless.png.json: its tags are no list of names: [{'tagId': 3}]",
        "ds0/ann/number.png.json: its tags are no list of names: 5",
        "ds0/ann/cut.png.json: ",
        "ds0/ann/gone.png.json: its image ds0/img/gone.png is not there",
        "ds0/ann/01.png.json: ds0/img/01.png is annotated in ds0/ann/01.json too",
        "ds0/img/lone.png: image without annotation",
    ]
    problems = listing_of(tmp_path, "supervisely").problems
    for wanted in expected:
        assert any(line.startswith(wanted) for line in problems), (wanted, problems)
    assert len(problems) == len(expected)


def test_a_class_that_the_meta_lacks_and_several_projects_are_refused(tmp_path: Path) -> None:
    make_supervisely(tmp_path)
    write_annotated(tmp_path / "ds0", "one.png", figure("polygon", "bus", SQUARE))
    with pytest.raises(GraftError, match=r"label 'bus', met 1 times, is in no class"):
        listing_of(tmp_path, "supervisely")
    write_meta(tmp_path / "ds0", CLASSES)
    with pytest.raises(GraftError, match=r"ds0/meta\.json and meta\.json are projects of their own"):
        listing_of(tmp_path, "supervisely")
    (tmp_path / "ds0/meta.json").unlink()
    (tmp_path / "meta.json").write_text(json.dumps({"classes": [{"name": "car"}]}))
    with pytest.raises(GraftError, match=r"supervisely expects meta\.json with the classes"):
        listing_of(tmp_path, "supervisely")

"""COCO from a miniature of its layout, through the stage `ingest`, and its JSON read item by item."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from graft.data.formats import json_items as reading
from graft.data.formats.coco_files import annotation_files
from graft.data.formats.coco_masks import region_of, run_lengths
from graft.data.formats.files import find_files
from graft.data.formats.json_items import json_items
from graft.deployment.serving.source_classes import to_source_values
from graft.foundation.errors import GraftError
from tests.formats_layouts.coco import CATEGORIES, annotations_of, box, compressed, make_coco, pixels, uncompressed
from tests.formats_layouts.pictures import SIZE, Ingested, run_ingest, write_image
from tests.registries.test_formats import listing_of

OFFICIAL = {"name": "coco", "test_from": "none"}


def expected(dog: int, person: int, chair: int, nothing: int) -> np.ndarray:
    mask = np.full(SIZE, nothing, np.uint8)
    for region, number in (
        (pixels(0, 0, 32, 6), person),
        (pixels(4, 4, 20, 20), dog),
        (pixels(24, 18, 30, 22), chair),
        (pixels(8, 8, 12, 12), person),
    ):
        mask[region > 0] = number
    return mask


def test_polygons_and_both_run_lengths_become_index_masks_the_smaller_on_top(tmp_path: Path) -> None:
    make_coco(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", OFFICIAL)
    assert found.metrics == {"num_images": 16, "num_train": 12, "num_val": 4}
    assert found.class_map.names == ("background", "person", "dog", "caf\u00e9 chair")
    assert (found.mask("train2017/000000000000.jpg") == expected(2, 1, 3, 0)).all()
    assert (found.mask("val2017/000000000101.jpg") == expected(2, 1, 3, 0)).all()
    assert not found.mask("train2017/000000000003.jpg").any()
    values = to_source_values(np.arange(4, dtype=np.uint8)[None], found.class_map)
    assert values.tolist() == [[0, 1, 18, 27]]


def test_one_file_that_names_no_split_is_divided_by_hash(tmp_path: Path) -> None:
    make_coco(tmp_path / "raw")
    (tmp_path / "raw/annotations/instances_val2017.json").unlink()
    (tmp_path / "raw/annotations/instances_train2017.json").rename(tmp_path / "raw/annotations/instances_default.json")
    source = {"name": "coco", "held_out_fraction": 0.2}
    found = run_ingest(tmp_path / "raw", tmp_path / "out", source)
    assert found.metrics == {"num_images": 12, "num_train": 6, "num_val": 3, "num_test": 3}
    assert not found.class_map.official_splits
    kept = run_ingest(tmp_path / "raw", tmp_path / "other", {**source, "test_from": "none"})
    assert kept.ids("val") == found.ids("val")
    with pytest.raises(GraftError, match="leave nothing to train on"):
        run_ingest(tmp_path / "raw", tmp_path / "empty", {"name": "coco", "held_out_fraction": 0.6})


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools with NumPy 2
def test_regions_are_those_of_the_official_reader(tmp_path: Path) -> None:
    make_coco(tmp_path)
    official = COCO(str(tmp_path / "annotations/instances_train2017.json"))
    for annotation in official.loadAnns(official.getAnnIds()):
        assert (region_of(annotation["segmentation"], *SIZE) == official.annToMask(annotation)).all()


def test_categories_are_chosen_by_name_with_or_without_a_background(tmp_path: Path) -> None:
    make_coco(tmp_path / "raw")
    chosen = {**OFFICIAL, "categories": ["dog", "person"]}
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {**chosen, "background": "rest"})
    assert found.class_map.names == ("rest", "dog", "person")
    assert (found.mask("train2017/000000000000.jpg") == expected(1, 2, 0, 0)).all()
    found = run_ingest(tmp_path / "raw", tmp_path / "none", {**chosen, "background": None})
    assert found.metrics["num_images"] == 12  # the empty ones are left aside
    assert found.class_map.source_values == (18, 1)
    assert (found.mask("train2017/000000000000.jpg") == expected(0, 1, 255, 255)).all()


def test_a_category_0_leaves_another_value_to_the_background(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": 0, "name": "a"}, *content["categories"]]
        first = content["images"][0]["id"]
        content["annotations"].append(annotations_of(first)[0] | {"id": 9, "image_id": first, "category_id": 0})

    make_coco(tmp_path / "raw", change)
    found = run_ingest(tmp_path / "raw", tmp_path / "out", OFFICIAL)
    assert found.class_map.names[:2] == ("background", "a")
    assert found.class_map.source_values == (2, 0, 1, 18, 27)


def test_splits_held_out_of_train(tmp_path: Path) -> None:
    make_coco(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "coco", "held_out_fraction": 0.25})
    assert found.metrics == {"num_images": 16, "num_train": 9, "num_val": 3, "num_test": 4}
    assert all(id.startswith("val2017/") for id in found.ids("test"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"categories": ["dgo"]}, r"'dgo': did you mean 'dog'\?"),
        ({"categories": ["dog", "dog"]}, "'dog' is there twice"),
        ({"background": "dog"}, "'dog' is there twice"),
        ({"categories": ["dog"], "background": None}, "1 classes; there must be 2 to 254"),
    ],
)
def test_categories_that_cannot_be_used(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_coco(tmp_path)
    with pytest.raises(GraftError, match=f"(?s)ingest.source.categories and background cannot be used.*{message}"):
        run_ingest(tmp_path, tmp_path / "out", {**OFFICIAL, **options})


def test_a_wrong_layout_is_answered_with_what_is_expected_and_what_is_there(tmp_path: Path) -> None:
    make_coco(tmp_path / "raw")
    (tmp_path / "raw/annotations/instances_val2017.json").rename(tmp_path / "raw/annotations/second.json")
    message = r"coco expects an annotation file for val; found 12 x train2017/\*\.jpg.*train/_annotations\.coco\.json"
    with pytest.raises(GraftError, match=message):
        run_ingest(tmp_path / "raw", tmp_path / "out", "coco")


# Segmentations that cannot be painted, and why.
WRONG: list[tuple[Any, str]] = [
    ([[1, 1, 5, 5, 7, 7, 9]], "a polygon needs x and y of three points or more"),
    ([], "it has neither segmentation nor bbox"),
    (box(0, 0, 90, 5), "a polygon lies far outside of 32 x 24 pixels"),
    ([[1, 1, "a", 1, 5, 5]], "a polygon holds what is no number"),
    ({**compressed(pixels(0, 0, 3, 3)), "size": [9, 9]}, r"its size [9, 9] is not [24, 32]"),
    ({"size": list(SIZE), "counts": "0123456789"}, "its run lengths are not of 24 x 32 pixels"),
    ({"size": list(SIZE), "counts": [3, 4]}, "its run lengths are not of 24 x 32 pixels"),
    ({"size": list(SIZE), "counts": [-32, 800]}, "its run lengths are not of 24 x 32 pixels"),
    ({"size": list(SIZE), "counts": None}, "AttributeError"),
    ("none", "indices must be"),
    (None, "it has neither segmentation nor bbox"),
]


def test_everything_wrong_in_annotations_is_listed_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def change(content: dict[str, Any]) -> None:
        if len(content["images"]) == 12:
            for number, (segmentation, _) in enumerate(WRONG):
                content["annotations"].append(
                    {"id": 900 + number, "image_id": number, "category_id": 1, "segmentation": segmentation}
                )
            content["annotations"].append({"id": 1, "image_id": 77, "category_id": 1, "segmentation": []})
            content["annotations"].append({"id": 2, "image_id": 0, "category_id": 6, "segmentation": []})
            content["images"].append({"id": 50, "file_name": "gone.jpg", "height": 4, "width": 4})
            content["images"].append({"id": 51, "file_name": "flat.jpg", "height": 0, "width": 4})
            content["images"].append({"id": 52, "file_name": "vast.jpg", "height": 10**6, "width": 10**6})
            content["images"].append({"id": 0, "file_name": "twin.jpg", "height": 4, "width": 4})
            content["images"].append({"id": 53, "file_name": "000000000000.jpg", "height": 4, "width": 4})

    make_coco(tmp_path / "raw", change)
    write_image(tmp_path / "raw/train2017/extra.jpg", 5)
    with pytest.raises(GraftError) as refused:
        run_ingest(tmp_path / "raw", tmp_path / "out", OFFICIAL)
    message = str(refused.value)
    for number, (_, reason) in enumerate(WRONG):
        line = next(line for line in message.splitlines() if f"annotation {900 + number}:" in line)
        assert f"train2017/{number:012d}.jpg: segmentations that cannot be painted" in line
        assert reason in line
    where = "annotations/instances_train2017.json"
    for line in (
        f"{where}: 1 annotations of image 77, which is not listed",
        f"{where}: image 0: category 6 is not listed",
        f"train2017/gone.jpg: {where} lists it and it is not there",
        f"{where}: flat.jpg: 4 x 0 pixels are no size",
        f"{where}: vast.jpg: 1000000 x 1000000 pixels are more than",
        f"{where}: twin.jpg: its id 0 is that of 000000000000.jpg too",
        f"train2017/000000000000.jpg: {where} lists it twice",
    ):
        assert line in message
    assert "Left aside: 1 file that no annotation file lists" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the JSON object it should be, or cut off"),
        ("[]", "not the JSON object it should be, or cut off"),
        ('{"images": [{"id": 1, "file', "not the JSON object it should be, or cut off"),
        ('{"images": []}', "it lists no images and no annotations and no categories.*it lists images"),
        ('{"images": [{"id": 1}]}', r"an item of images is not as COCO describes it .*'file_name'.*object detection"),
        ('{"annotations": [{"image_id": "x"}]}', "an item of annotations is not as COCO describes it"),
        ('{"categories": [7]}', "an item of categories is not as COCO describes it"),
    ],
)
def test_a_file_that_is_no_annotation_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    make_coco(tmp_path)
    (tmp_path / "annotations/instances_train2017.json").write_text(text)
    with pytest.raises(GraftError, match=f"annotations/instances_train2017.json: {message}"):
        run_ingest(tmp_path, tmp_path / "out", OFFICIAL)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(
    content=st.dictionaries(st.text(), st.lists(values, max_size=5) | values, max_size=4),
    block=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    ascii=st.booleans(),
)
def test_items_are_those_of_the_whole_file_whatever_the_size_of_a_block(
    content: dict[str, Any], block: int, indent: int | None, ascii: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    data = json.dumps(content, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    path.write_bytes(data)
    usual, reading.BLOCK_BYTES = reading.BLOCK_BYTES, block
    try:
        items = list(json_items(path, "x"))
    finally:
        reading.BLOCK_BYTES = usual
    expected = [item for value in content.values() if isinstance(value, list) for item in value]
    assert [json.loads(item.data.decode("utf-8", "surrogatepass")) for item in items] == expected
    assert all(data[item.offset : item.offset + len(item.data)] == item.data for item in items)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(1, 9))
def test_run_lengths_in_a_string_are_those_of_the_mask(bits: list[bool], times: int) -> None:
    mask = np.repeat(np.array(bits, np.uint8), times**4)[None]
    assert run_lengths(compressed(mask)["counts"]).tolist() == uncompressed(mask)["counts"]


def test_a_crowd_as_run_lengths_is_what_was_drawn() -> None:
    mask = pixels(3, 2, 30, 9)
    assert (region_of(uncompressed(mask), *SIZE) == mask).all()
    assert (region_of(compressed(mask), *SIZE) == mask).all()
    assert (region_of(box(3, 2, 30, 9), *SIZE) == mask).all()


# Files as tools export them.


def ingested(tmp_path: Path, change: Any, **options: Any) -> Ingested:
    make_coco(tmp_path / "raw", change)
    return run_ingest(tmp_path / "raw", tmp_path / "out", {**OFFICIAL, **options})


@pytest.mark.parametrize(
    ("encoding", "message"), [("utf-8-sig", None), ("utf-16", "it is text in UTF-16. Remedy: save it again in UTF-8")]
)
def test_marks_of_byte_order(encoding: str, message: str | None, tmp_path: Path) -> None:
    make_coco(tmp_path)
    file = tmp_path / "annotations/instances_train2017.json"
    file.write_text(file.read_text("utf-8"), encoding=encoding)
    if message is None:
        found = run_ingest(tmp_path, tmp_path / "out", OFFICIAL)
        assert (found.mask("train2017/000000000000.jpg") == expected(2, 1, 3, 0)).all()
    else:
        with pytest.raises(GraftError, match=message):
            run_ingest(tmp_path, tmp_path / "out", OFFICIAL)


def test_numbers_with_a_point_and_names_with_a_folder(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        fronts = ["./", "images/", "C:\\photos\\", "/home/ann/coco/train2017/"]
        for number, image in enumerate(content["images"]):
            image |= {"height": float(SIZE[0]), "width": float(SIZE[1])}
            image["file_name"] = fronts[number % 4] + image["file_name"]
        for annotation in content["annotations"]:
            annotation["category_id"] = float(annotation["category_id"])

    assert ingested(tmp_path, change).metrics == {"num_images": 16, "num_train": 12, "num_val": 4}


def test_an_image_of_another_split_is_not_taken_for_one_that_lacks(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        if len(content["images"]) == 12:
            content["images"].append({"id": 99, "file_name": "000000000100.jpg", "height": 24, "width": 32})

    with pytest.raises(GraftError, match=r"train2017/000000000100.jpg: .* lists it and it is not there"):
        ingested(tmp_path, change)


def test_categories_go_by_name_whatever_their_ids_are_in_another_file(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        if len(content["images"]) == 4:
            other = {1: 5, 18: 1, 27: 9}
            content["categories"] = [one | {"id": other[one["id"]]} for one in content["categories"]]
            for annotation in content["annotations"]:
                annotation["category_id"] = other[annotation["category_id"]]

    found = ingested(tmp_path, change)
    assert (found.mask("val2017/000000000101.jpg") == expected(2, 1, 3, 0)).all()
    assert found.class_map.source_values == (0, 1, 18, 27)


def test_a_category_that_only_another_file_has_is_named(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        if len(content["images"]) == 4:
            person, dog, chair = content["categories"]
            content["categories"] = [person, dog | {"name": "hound"}, chair]

    with pytest.raises(
        GraftError, match=r"(?s)instances_val2017.json: .*train2017.json does not list its category 'hound'"
    ):
        ingested(tmp_path, change)
    assert "num_val" in run_ingest(tmp_path / "raw", tmp_path / "two", {**OFFICIAL, "categories": ["person"]}).metrics


def test_a_placeholder_that_nothing_is_annotated_as_is_left_aside(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": 0, "name": "dogs-k3Un", "supercategory": "none"}, *content["categories"]]

    assert ingested(tmp_path, change).class_map.names == ("background", "person", "dog", "caf\u00e9 chair")
    assert "dogs-k3Un: categories without any annotation, which categories would take by name" in capfd.readouterr().err


def test_a_placeholder_of_the_same_name_does_not_lend_its_value(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": 0, "name": "dog", "supercategory": "none"}, *content["categories"]]

    class_map = ingested(tmp_path, change).class_map
    assert dict(zip(class_map.names, class_map.source_values, strict=True))["dog"] == 18


def test_a_box_without_outline_is_ignored_and_a_line_covers_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        empty = {"id": 90, "image_id": content["images"][3]["id"], "category_id": 1}
        content["annotations"].append(empty | {"bbox": [2.5, 3, 4, 5]})
        content["annotations"].append(empty | {"segmentation": [[1, 1, 5, 5]], "bbox": [0, 0, 20, 20]})
        content["annotations"].append(empty | {"segmentation": [[1, 1, 5, 5], *box(20, 20, 24, 24)]})

    found = ingested(tmp_path, change)
    mask = np.zeros(SIZE, np.uint8)
    mask[3:8, 2:7], mask[20:24, 20:24] = 255, 1
    assert (found.mask("train2017/000000000003.jpg") == mask).all()
    said = capfd.readouterr().err
    assert (
        "instances_train2017.json: 1 annotations with a box and no segmentation, in whose boxes all is ignored" in said
    )
    assert "instances_val2017.json: 1 annotations whose polygons have fewer than three points" in said


def test_boxes_alone_are_refused(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"] = [one | {"segmentation": []} for one in content["annotations"]]

    with pytest.raises(
        GraftError, match=r"none of its \d+ boxes has a segmentation.*export it as instance segmentation"
    ):
        ingested(tmp_path, change)


def with_incomplete(content: dict[str, Any]) -> None:
    """Adds a box, a line and nothing at all to the training images."""
    if len(content["images"]) == 12:
        first = {"image_id": 3, "category_id": 1}
        content["annotations"].append({"id": 900, **first, "bbox": [2, 3, 4, 5], "segmentation": []})
        content["annotations"].append({"id": 901, **first, "segmentation": [[1, 1, 5, 5]]})
        content["annotations"].append({"id": 902, **first})


def test_annotations_without_an_outline_are_left_aside_or_refused_by_option(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = ingested(tmp_path, with_incomplete, no_outline="leave_aside")
    assert not found.mask("train2017/000000000003.jpg").any()
    said = capfd.readouterr().err
    for text in ("a box without a segmentation", "polygons of fewer than three points", "neither segmentation nor box"):
        assert f"annotations/instances_train2017.json: 1 left aside: {text}" in said
    with pytest.raises(GraftError) as refused:
        run_ingest(tmp_path / "raw", tmp_path / "none", {**OFFICIAL, "no_outline": "refuse"})
    for number, text in ((900, "a box without"), (901, "polygons of fewer"), (902, "neither segmentation")):
        assert f"annotations/instances_train2017.json: annotation {number}: {text}" in str(refused.value)
    with pytest.raises(GraftError, match="annotation 902: ValueError: it has neither segmentation nor bbox"):
        run_ingest(tmp_path / "raw", tmp_path / "void", OFFICIAL)


def test_key_points_are_refused_by_name(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"] = [one | {"segmentation": [], "keypoints": [3, 4, 2]} for one in content["annotations"]]

    with pytest.raises(GraftError, match=r"none of its 36 annotations, which are key points, has a segmentation"):
        ingested(tmp_path, change)
    for split in ("train2017", "val2017"):
        file = tmp_path / f"raw/annotations/instances_{split}.json"
        file.rename(file.with_name(f"person_keypoints_{split}.json"))
    with pytest.raises(GraftError, match=r"annotations/person_keypoints_val2017\.json is of key points"):
        run_ingest(tmp_path / "raw", tmp_path / "none", OFFICIAL)


def test_val_is_held_out_of_train_where_no_file_is_for_it(tmp_path: Path) -> None:
    make_coco(tmp_path / "raw")
    file = tmp_path / "raw/annotations/instances_val2017.json"
    file.rename(file.with_name("instances_test2017.json"))
    (tmp_path / "raw/val2017").rename(tmp_path / "raw/test2017")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "coco", "held_out_fraction": 0.25})
    assert found.metrics == {"num_images": 16, "num_train": 9, "num_val": 3, "num_test": 4}
    assert all(id.startswith("test2017/") for id in found.ids("test"))
    file.with_name("instances_test2017.json").unlink()
    found = run_ingest(tmp_path / "raw", tmp_path / "alone", {"name": "coco", "held_out_fraction": 0.25})
    assert found.metrics == {"num_images": 12, "num_train": 6, "num_val": 3, "num_test": 3}


def test_memory_holds_at_most_32_bytes_an_annotation(tmp_path: Path) -> None:
    sizes = {}
    for number in (50, 2050):
        root = tmp_path / str(number)

        def change(content: dict[str, Any], number: int = number) -> None:
            content["annotations"] = [one for one in content["annotations"] for _ in range(number)]

        make_coco(root, change)
        listing_of(root, OFFICIAL)  # what is imported and kept once
        tracemalloc.start()
        listing = listing_of(root, OFFICIAL)
        sizes[number] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(listing.entries) == 16
    num_more = 2000 * sum(len(annotations_of(image)) for image in [*range(12), *range(100, 104)])
    assert (sizes[2050] - sizes[50]) / num_more == pytest.approx(24, abs=8)


def test_the_layout_of_roboflow_with_its_own_test_split(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("valid", 50), ("test", 90)):
        numbers = range(first, first + 4)
        for number in numbers:
            write_image(tmp_path / f"raw/{split}/{number}.jpg", number)
        size = {"height": SIZE[0], "width": SIZE[1]}
        content = {
            "images": [{"id": number, "file_name": f"{number}.jpg", **size} for number in numbers],
            "annotations": [annotation for number in numbers for annotation in annotations_of(number)],
            "categories": CATEGORIES,
        }
        (tmp_path / f"raw/{split}/_annotations.coco.json").write_text(json.dumps(content))
    found = run_ingest(tmp_path / "raw", tmp_path / "out", "coco")
    assert found.metrics == {"num_images": 12, "num_train": 4, "num_val": 4, "num_test": 4}
    assert found.ids("val") == ["valid/50.jpg", "valid/51.jpg", "valid/52.jpg", "valid/53.jpg"]
    assert found.class_map.official_splits


def test_instances_count_where_another_file_is_of_the_same_split(tmp_path: Path) -> None:
    make_coco(tmp_path)
    for split in ("train2017", "val2017"):
        (tmp_path / f"annotations/labels_{split}.json").write_text("{}")
    assert annotation_files(find_files(tmp_path)) == {
        "train": "annotations/instances_train2017.json",
        "val": "annotations/instances_val2017.json",
    }
    (tmp_path / "annotations/instances_train.json").write_text("{}")
    with pytest.raises(GraftError, match=r"two annotation files for one split: annotations/instances_train\.json and"):
        annotation_files(find_files(tmp_path))

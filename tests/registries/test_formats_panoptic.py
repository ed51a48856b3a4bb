"""COCO's panoptic annotations: the class of each segment, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.foundation.errors import GraftError
from tests.formats_layouts.coco import make_panoptic, segments_of
from tests.formats_layouts.pictures import SIZE, run_ingest, write_image
from tests.registries.test_formats import listing_of

OFFICIAL = {"name": "coco_panoptic", "test_from": "none"}
WHERE = "annotations/panoptic_train2017.json"


def expected(void: int, sky: int, dog: int, other_dog: int) -> np.ndarray:
    mask = np.full(SIZE, sky, np.uint8)
    mask[12:, :16], mask[12:, 16:] = dog, other_dog
    mask[:2, :3] = void
    return mask


def test_segments_become_the_classes_of_their_categories(tmp_path: Path) -> None:
    make_panoptic(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", OFFICIAL)
    assert found.metrics == {"num_images": 16, "num_train": 12, "num_val": 4}
    assert found.class_map.names == ("dog", "sky-other")
    assert found.class_map.source_values == (18, 187)
    assert found.class_map.source == "coco_panoptic"
    assert (found.mask("train2017/000000000000.jpg") == expected(255, 1, 0, 0)).all()
    assert (found.mask("val2017/000000000101.jpg") == expected(255, 1, 0, 0)).all()


def test_what_is_not_chosen_is_background_and_what_nobody_labelled_stays_ignored(tmp_path: Path) -> None:
    make_panoptic(tmp_path / "raw")
    source = {**OFFICIAL, "categories": ["dog"], "background": "rest"}
    found = run_ingest(tmp_path / "raw", tmp_path / "out", source)
    assert (found.mask("train2017/000000000000.jpg") == expected(255, 0, 1, 1)).all()


def test_images_without_a_chosen_category_are_left_aside_or_all_background(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"].append({"id": 1, "name": "person", "isthing": 1})
        for number, annotation in enumerate(content["annotations"]):
            if number % 2:
                annotation["segments_info"] = [one | {"category_id": 1} for one in annotation["segments_info"]]

    make_panoptic(tmp_path / "raw", change)
    chosen = {**OFFICIAL, "categories": ["sky-other", "dog"]}
    listing = listing_of(tmp_path / "raw", chosen)
    assert len(listing.entries) == 8
    assert "8 images without a chosen category" in listing.notes
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {**chosen, "background": "rest"})
    assert (found.mask("train2017/000000000001.jpg") == expected(255, 0, 0, 0)).all()


def test_splits_are_held_out_as_in_coco(tmp_path: Path) -> None:
    make_panoptic(tmp_path / "raw")
    source = {"name": "coco_panoptic", "held_out_fraction": 0.25}
    found = run_ingest(tmp_path / "raw", tmp_path / "out", source)
    assert found.metrics == {"num_images": 16, "num_train": 9, "num_val": 3, "num_test": 4}
    assert all(id.startswith("val2017/") for id in found.ids("test"))


def test_everything_wrong_with_segments_is_listed_at_once(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        if len(content["images"]) == 12:
            size = {"height": SIZE[0], "width": SIZE[1]}
            content["images"].append({"id": 50, "file_name": "bare.jpg", **size})
            content["images"].append({"id": 51, "file_name": "gone.jpg", **size})
            content["annotations"].append({"image_id": 51, "file_name": "gone.png", "segments_info": segments_of(51)})
            content["annotations"].append({"image_id": 77, "file_name": "77.png", "segments_info": segments_of(77)})
            content["annotations"][0]["segments_info"][0]["category_id"] = 9
            content["annotations"][1]["segments_info"].pop()
            content["images"][2]["height"] = 20

    make_panoptic(tmp_path / "raw", change)
    masks = tmp_path / "raw/annotations/panoptic_train2017"
    (masks / "000000000003.png").write_bytes(b"no image")
    with pytest.raises(GraftError) as refused:
        run_ingest(tmp_path / "raw", tmp_path / "out", OFFICIAL)
    message = str(refused.value)
    for line in (
        f"{WHERE}: bare.jpg: it lists no segments",
        f"{WHERE}: gone.jpg: its mask gone.png is not there",
        f"{WHERE}: 3 annotations of image 77, which is not listed",
        f"{WHERE}: image 0: category 9 is not listed",
        "train2017/000000000001.jpg: annotations/panoptic_train2017/000000000001.png has segments that "
        f"{WHERE} does not list: 70003",
        "train2017/000000000002.jpg: annotations/panoptic_train2017/000000000002.png has 32 x 24 pixels, not 32 x 20",
        "annotations/panoptic_train2017/000000000003.png: ",
    ):
        assert line in message, (line, message)


def test_a_file_of_instances_is_no_panoptic_file_and_the_reverse(tmp_path: Path) -> None:
    make_panoptic(tmp_path)
    with pytest.raises(GraftError, match=r"panoptic_val2017\.json is for the source coco_panoptic"):
        listing_of(tmp_path, "coco")
    for file in (tmp_path / "annotations").glob("*.json"):
        file.rename(file.with_name(file.name.replace("panoptic", "instances")))
    with pytest.raises(
        GraftError, match=r"coco_panoptic expects an annotation file for train.*panoptic_train2017\.json"
    ):
        listing_of(tmp_path, "coco_panoptic")
    (tmp_path / "annotations/instances_train2017.json").rename(tmp_path / WHERE)
    content = json.loads((tmp_path / WHERE).read_text())
    del content["annotations"][0]["segments_info"]
    (tmp_path / WHERE).write_text(json.dumps(content))
    with pytest.raises(GraftError, match=r"not as COCO describes it .*'segments_info'.*panoptic segmentation"):
        listing_of(tmp_path, "coco_panoptic")


def test_masks_beside_the_file_or_anywhere_and_images_of_the_same_ending(tmp_path: Path) -> None:
    make_panoptic(tmp_path)
    (tmp_path / "annotations/panoptic_train2017").rename(tmp_path / "masks")
    for number in range(12):
        image = tmp_path / f"train2017/{number:012d}.jpg"
        write_image(image.with_suffix(".png"), number)
        image.unlink()
    file = tmp_path / WHERE
    file.write_text(file.read_text().replace(".jpg", ".png"))
    (tmp_path / "masks/extra.txt").write_text("")
    listing = listing_of(tmp_path, OFFICIAL)
    assert [line for line in listing.problems if "is not there, or several end so" in line]  # both end in 000.png
    text = file.read_text().replace('"file_name": "0', '"file_name": "masks/0')
    content = json.loads(text)
    content["images"] = [one | {"file_name": one["file_name"].removeprefix("masks/")} for one in content["images"]]
    file.write_text(json.dumps(content))
    listing = listing_of(tmp_path, OFFICIAL)
    assert not listing.problems
    assert "train2017/000000000000.png" in {entry.id for entry in listing.entries}
    assert not [note for note in listing.notes if "no annotation file lists" in note]


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_names_may_hold_any_letter(ensure_ascii: bool, tmp_path: Path) -> None:
    make_panoptic(tmp_path)
    content = json.loads((tmp_path / WHERE).read_text())
    content["annotations"][0]["file_name"] = "caf\u00e9 \u4e2d.png"
    (tmp_path / WHERE).write_text(json.dumps(content, ensure_ascii=ensure_ascii), encoding="utf-8")
    masks = (tmp_path / WHERE).with_suffix("")
    (masks / "000000000000.png").rename(masks / "caf\u00e9 \u4e2d.png")
    listing = listing_of(tmp_path, OFFICIAL)
    assert not listing.problems
    assert f"{WHERE.removesuffix('.json')}/caf\u00e9 \u4e2d.png" in {entry.mask for entry in listing.entries}


def test_a_mask_with_a_palette_has_the_segments_of_its_colours(tmp_path: Path) -> None:
    make_panoptic(tmp_path / "raw")
    file = tmp_path / "raw/annotations/panoptic_train2017/000000000000.png"
    with Image.open(file) as opened:
        quantised = opened.quantize(8)
    assert quantised.mode == "P"
    quantised.save(file)
    found = run_ingest(tmp_path / "raw", tmp_path / "out", OFFICIAL)
    assert (found.mask("train2017/000000000000.jpg") == expected(255, 1, 0, 0)).all()

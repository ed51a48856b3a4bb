"""Several sources as one data set, through the stage `ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.data.formats import FORMATS
from graft.data.formats.cityscapes import CLASSES
from graft.data.formats.class_mapping import remap
from graft.data.formats.class_values import translation_of
from graft.data.formats.translation import Translation
from graft.deployment.serving.source_classes import to_source_values
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from tests.formats_layouts.pictures import run_ingest, stripes, write_image, write_mask
from tests.formats_layouts.tables import JOINED, STREETS, make_csv, make_joined

CITY, STREET = JOINED["sources"]


def test_two_sources_have_one_class_list_and_keep_splits_and_ids_apart(tmp_path: Path) -> None:
    make_joined(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", JOINED)
    assert found.metrics == {"num_images": 18, "num_train": 12, "num_val": 5, "num_test": 1}
    assert found.class_map.names == ("street", "car", "else")
    assert found.class_map.colors[:2] == ((128, 64, 128), (0, 0, 142))  # those Cityscapes gives road and car
    assert found.class_map.synthetic
    assert found.class_map.licence.startswith("cityscapes: Cityscapes licence")
    id = "day/cityscapes/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    row = found.rows[id]
    assert (row.domain, row.group, row.split) == ("day", "day/cityscapes/aachen", "train")
    ours = {"road": 0, "sidewalk": 0, "car": 1, "sky": 255}
    assert (found.mask(id) == stripes(255, *(ours.get(name, 2) for name, _, _ in CLASSES))).all()
    drawn = "night/train/000000.png"
    assert found.rows[drawn].domain == "night"
    assert set(np.unique(found.mask(drawn))) == {0, 1, 2, 255}
    values = to_source_values(np.array([[0, 1, 2]], np.uint8), found.class_map)
    assert values.tolist() == [[0, 1, 2]]


def test_the_masks_are_those_each_source_makes_alone(tmp_path: Path) -> None:
    make_joined(tmp_path / "raw")
    joined = run_ingest(tmp_path / "raw", tmp_path / "joined", JOINED)
    alone = run_ingest(tmp_path / "raw", tmp_path / "alone", STREETS)
    goals = np.full(256, 2, np.uint8)
    for name, number in (("road", 0), ("car", 1), ("sky", 255)):
        goals[alone.class_map.names.index(name)] = number
    goals[255] = 255
    for id in alone.rows:
        assert (joined.mask(id) == goals[alone.mask(id)]).all()
        assert joined.rows[id].split == alone.rows[id].split


def test_labels_are_joined_too_and_null_leaves_images_aside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_csv(tmp_path / "raw/clinic")
    for name in ("mole", "cancer", "scar"):
        for number in range(3):
            for split in ("train", "val"):
                write_image(tmp_path / f"raw/web/{split}/{name}/{number}.png", number)
    table = {"name": "csv", "image_column": "file", "label_column": "diagnosis", "split_column": "part"}
    source = {
        "name": "joined",
        "classes": ["benign", "malign"],
        "sources": [
            {"source": table, "root": "clinic"},
            {"source": "image_folder", "root": "web", "domain": "web"}
            | {"classes": {"mole": "benign", "cancer": "malign", "*": None}},
        ],
    }
    found = run_ingest(tmp_path / "raw", tmp_path / "out", source, "classification")
    assert found.metrics["num_images"] == 52
    assert "6 images of classes that are mapped to null" in capfd.readouterr().err
    assert found.rows["web/val/cancer/1.png"].label == found.rows["clinic/pictures/1.png"].label == 1
    assert found.class_map.source_values == ("benign", "malign")


def test_the_classes_of_a_single_source_are_merged(tmp_path: Path) -> None:
    for number in range(40):
        write_image(tmp_path / f"raw/images/{number}.png", number)
        write_mask(tmp_path / f"raw/masks/{number}.png", stripes(0, 9, 77))
    pairs = {"name": "mask_folder", "images": "images/*.png", "masks": "masks/{stem}.png"}
    pairs |= {"classes": {"a": [0], "b": [9], "c": "rest"}}
    part = {"source": pairs, "classes": {"a": None, "b": "seen", "c": "rest of it"}}
    source = {"name": "joined", "classes": ["rest of it", "seen"], "sources": [part]}
    found = run_ingest(tmp_path / "raw", tmp_path / "out", source)
    assert (found.mask("images/0.png") == stripes(255, 1, 0)).all()


def test_rest_may_be_ignored() -> None:
    translation = translation_of({"a": [0], "b": [[1, 2, 3]], "c": "rest"}, [5])
    ignoring = remap(translation, [1, 0, None], 2)
    translated = ignoring.apply(np.array([[[0, 0, 0], [1, 2, 3], [5, 5, 5], [9, 9, 9]]], np.uint8))
    assert translated.mask.tolist() == [[1, 0, 255, 255]]
    assert (translated.counts, translated.void, translated.unknown) == ((1, 1), 2, 0)
    assert remap(translation, [0, 1, 2], 3) == translation
    assert isinstance(ignoring, Translation)


def test_a_class_that_nothing_becomes_is_told_and_keeps_its_id(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_joined(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {**JOINED, "classes": ["boat", *JOINED["classes"]]})
    assert found.class_map.names == ("boat", "street", "car", "else")
    masks = [found.mask(id) for id in found.rows if "val" in id]
    assert {number for mask in masks for number in np.unique(mask)} == {1, 2, 3, 255}
    assert "no class of any source becomes boat: nothing here is labelled so" in capfd.readouterr().err


def changed(number: int, **changes: Any) -> dict[str, Any]:
    sources = [dict(part) for part in JOINED["sources"]]
    sources[number] |= changes
    return {**JOINED, "sources": sources}


NO_SUCH_OPTION = {"name": "stacks", "source": {**STREETS, "name": "csv"}, "channels": ["x"]}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (changed(0, classes={"raod": "street", "*": "else"}), "0: raod: the source has no such class; did you mean"),
        (changed(1, classes={"road": "stret", "*": "else"}), "1: road: 'stret' is none of the classes; did you mean"),
        (changed(0, classes={"road": "street"}), "train, motorcycle, bicycle: nowhere to go; map each to a class"),
        ({**JOINED, "classes": ["car", "car"]}, "car is there twice"),
        (changed(0, root="../x"), "'../x' leads out of the root"),
        (changed(0, root="night"), "raw/night: there is no such folder"),
        (changed(0, source="citiscapes"), "did you mean 'cityscapes'"),
        (changed(0, source={"name": "cityscapes", "labels": "colors"}), "labels: 'colors'"),
        (changed(0, source=JOINED), "joined sources cannot be joined again"),
        (changed(0, clases={}), "0].clases: no such key; did you mean 'classes'?"),
        (changed(1, domain=7), "1].domain: Input should be a valid string"),
        (changed(1, source=7), "1].source"),
        (changed(0, source=NO_SUCH_OPTION), "csv has no such option"),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_joined(source: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_joined(tmp_path / "raw")
    with pytest.raises(GraftError) as refused:
        run_ingest(tmp_path / "raw", tmp_path / "out", source)
    assert message in str(refused.value).replace("sources[", "").replace("].classes", "")


def test_what_is_wrong_in_a_source_is_said_before_anything_is_read() -> None:
    wrong = changed(1, source={"name": "scenes", "domain": 7}, rot="x")
    with pytest.raises(
        GraftError, match=r"(?s)sources\[1\]\.rot: .*'root'.*\[1\]\.source\.domain: 7.*num_val: scenes needs"
    ):
        resolve(FORMATS, wrong, where="ingest.source")


def test_what_is_recorded_leaves_nothing_of_a_source_to_a_default() -> None:
    recorded = resolve(FORMATS, JOINED, where="ingest.source").as_dict()
    city = {"name": "cityscapes", "labels": "labelIds", "test_from": "none", "held_out_fraction": 0.1}
    assert recorded["sources"][0] == {**CITY, "source": city}
    assert resolve(FORMATS, recorded, where="ingest.source").as_dict() == recorded


def test_problems_of_all_sources_and_ids_in_two_are_listed_together(tmp_path: Path) -> None:
    make_joined(tmp_path / "raw")
    gone = "gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png"
    (tmp_path / "raw/day/cityscapes" / gone).unlink()
    image = "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    (tmp_path / "raw/day/cityscapes" / image).write_bytes(b"")
    source = {**JOINED, "sources": [CITY, STREET, STREET]}
    with pytest.raises(GraftError) as refused:
        run_ingest(tmp_path / "raw", tmp_path / "out", source)
    for line in (
        f"munster_000000_000019_leftImg8bit.png: image without mask (expected {gone})",
        f"day/cityscapes/{image}: the file is empty",
        "night/train/000000.png: sources 1 and 2 both have it; give them folders of their own",
    ):
        assert line in str(refused.value)


def test_sources_of_other_channels_are_not_joined(tmp_path: Path) -> None:
    make_joined(tmp_path / "raw")
    for number in range(40):
        write_image(tmp_path / f"raw/tiles/{number}.png", number)
        write_mask(tmp_path / f"raw/masks/{number}.png", stripes(0, 9))
    pairs = {"name": "mask_folder", "images": "tiles/*.png", "masks": "masks/{stem}.png"}
    pairs |= {"classes": {"road": [0], "car": [9]}}
    stacks = {"name": "stacks", "source": pairs, "channels": ["red", "green", "nir"]}
    source = {**JOINED, "sources": [STREET, {"source": stacks, "classes": {"road": "street"}}]}
    with pytest.raises(GraftError, match=r"sources have other channels: \(\('red', 'green', 'blue'\), None\) and"):
        run_ingest(tmp_path / "raw", tmp_path / "out", source)

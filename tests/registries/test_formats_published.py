"""Cityscapes, VOC and ADE20K from miniatures of their layouts, through the stage `ingest`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.data.formats.held_out import add_test
from graft.data.formats.listing import Entry
from graft.deployment.serving.source_classes import to_source_values
from graft.foundation.errors import GraftError
from tests.formats_layouts.pictures import run_ingest, stripes, write_image, write_mask
from tests.formats_layouts.published import CITIES, LABEL_IDS, make_ade20k, make_cityscapes, make_stuff, make_voc
from tests.registries.test_formats import listing_of

OFFICIAL = {"test_from": "none"}


@pytest.mark.parametrize("labels", ["labelIds", "labelTrainIds"])
def test_cityscapes_has_19_classes_and_their_ids_both_ways(labels: str, tmp_path: Path) -> None:
    make_cityscapes(tmp_path / "raw", train_ids=True)
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "cityscapes", "labels": labels, **OFFICIAL})
    assert found.metrics == {"num_images": 14, "num_train": 10, "num_val": 4}
    assert found.class_map.num_classes == 19
    assert found.class_map.names[:2] + found.class_map.names[-1:] == ("road", "sidewalk", "bicycle")
    assert found.class_map.colors[13] == (0, 0, 142)
    assert found.class_map.official_splits
    id = "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    mask, row = found.mask(id), found.rows[id]
    assert (mask == stripes(255, *range(19))).all()
    assert (row.domain, row.group, found.facts[id]["mask_unknown"]) == ("street", "aachen", 0)
    values = LABEL_IDS if labels == "labelIds" else tuple(range(19))
    assert found.class_map.source_values == values
    assert (to_source_values(np.arange(19, dtype=np.uint8)[None], found.class_map) == [values]).all()


def test_every_label_of_cityscapes_is_a_class_or_ignored_and_no_other_value_is(tmp_path: Path) -> None:
    make_cityscapes(tmp_path / "raw", values=(*range(34), 255, 200), size=(8, 72))
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "cityscapes", **OFFICIAL})
    facts = next(iter(found.facts.values()))
    assert (sum(facts["mask_counts"]), facts["mask_void"], facts["mask_unknown"]) == (19 * 16, 16 * 16, 16)
    assert facts["mask_unknown_values"] == ["200"]


def test_cityscapes_holds_whole_cities_out_and_leaves_the_dummy_labels_of_test_aside(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_cityscapes(tmp_path / "raw")
    found = {
        test_from: run_ingest(
            tmp_path / "raw",
            tmp_path / test_from,
            {"name": "cityscapes", "test_from": test_from, "held_out_fraction": 0.3},
        )
        for test_from in ("val", "train")
    }
    assert "2 images of the official test, whose labels are not public" in capfd.readouterr().err
    for test_from, held_out, official in (("val", "val", "test"), ("train", "test", "val")):
        rows = found[test_from].rows.values()
        cities = {split: {row.group for row in rows if row.split == split} for split in ("train", "val", "test")}
        assert cities[official] == set(CITIES["val"])
        assert cities["train"] | cities[held_out] == set(CITIES["train"])
        assert not cities["train"] & cities[held_out]
        assert len(found[test_from].ids(held_out)) >= 3
        assert not found[test_from].class_map.official_splits


def test_voc_reads_palettes_by_index_and_only_what_the_lists_name(tmp_path: Path) -> None:
    make_voc(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "voc", **OFFICIAL})
    assert found.metrics == {"num_images": 12, "num_train": 8, "num_val": 4}
    assert (found.mask("JPEGImages/2007_000003.jpg") == stripes(0, 3, 20, 255)).all()
    assert found.class_map.num_classes == 21
    assert found.class_map.source_values == tuple(range(21))
    # The devkit's colour map, as every VOC annotation shows it.
    assert (
        dict(zip(found.class_map.names, found.class_map.colors, strict=True)).items()
        >= {
            "background": (0, 0, 0),
            "aeroplane": (128, 0, 0),
            "bottle": (128, 0, 128),
            "cat": (64, 0, 0),
            "person": (192, 128, 128),
            "tvmonitor": (0, 64, 128),
        }.items()
    )


def test_ade20k_ignores_0_and_takes_names_from_its_file(tmp_path: Path) -> None:
    make_ade20k(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", "ade20k")
    assert found.metrics == {"num_images": 11, "num_train": 7, "num_val": 1, "num_test": 3}
    assert found.ids("test") == [f"images/validation/ADE_val_0000000{n}.jpg" for n in (1, 2, 3)]
    assert (found.mask("images/training/ADE_train_00000005.jpg") == stripes(255, 0, 4, 149)).all()
    assert found.class_map.names[:2] == ("thing 1", "thing 2")
    ids = np.array([[0, 149]], np.uint8)
    assert to_source_values(ids, found.class_map).tolist() == [[1, 150]]


def without(root: Path, make: Callable[[Path], Any], *gone: str) -> Path:
    make(root)
    for path in gone:
        shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()
    return root


@pytest.mark.parametrize(
    ("source", "make", "gone", "message"),
    [
        (
            "cityscapes",
            make_cityscapes,
            ["gtFine"],
            r"expects leftImg8bit/train, .*gtFine/val here; there is no gtFine/train and no gtFine/val; found",
        ),
        (
            {"name": "cityscapes", "labels": "labelTrainIds"},
            make_cityscapes,
            [],
            r"expects gtFine/train/<city>/\*_gtFine_labelTrainIds.png here; there is not one; found",
        ),
        ("voc", make_voc, ["SegmentationClass"], "there is no SegmentationClass; found 13 x"),
        ("voc", make_voc, ["ImageSets/Segmentation/val.txt"], "there is no ImageSets/Segmentation/val.txt; found"),
        ("ade20k", make_ade20k, ["objectInfo150.txt"], "there is no objectInfo150.txt; found 8 x"),
        ("ade20k", make_ade20k, ["annotations/validation"], "there is no annotations/validation; found 8 x"),
    ],
)
def test_a_wrong_layout_is_answered_with_what_is_expected_and_what_is_there(
    source: Any, make: Callable[[Path], Any], gone: list[str], message: str, tmp_path: Path
) -> None:
    root = without(tmp_path / "raw", make, *gone)
    with pytest.raises(GraftError, match=message):
        run_ingest(root, tmp_path / "out", source)


def test_a_layout_further_down_is_found(tmp_path: Path) -> None:
    make_voc(tmp_path / "raw/VOCdevkit/VOC2012")
    with pytest.raises(GraftError, match=r"set ingest\.root to .*/raw/VOCdevkit/VOC2012"):
        run_ingest(tmp_path / "raw", tmp_path / "out", "voc")


def test_whatever_has_no_partner_is_listed(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    make_cityscapes(root / "a")
    (root / "a/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").unlink()
    (root / "a/leftImg8bit/val/munster/munster_000001_000019_leftImg8bit.png").unlink()
    write_image(root / "a/leftImg8bit/train/bremen/bremen_000000_000019_leftImg8bit.png", 1)
    (root / "a/leftImg8bit/train/bremen/bremen_000001_000019_leftImg8bit.png").write_bytes(b"")
    with pytest.raises(GraftError) as refused:
        run_ingest(root / "a", tmp_path / "out", "cityscapes")
    for line in (
        "files that cannot be used (3)",
        "aachen_000000_000019_leftImg8bit.png: image without mask (expected gtFine/train/aachen/",
        "gtFine/val/munster/munster_000001_000019_gtFine_labelIds.png: mask without image",
        "bremen_000001_000019_leftImg8bit.png: the file is empty",
    ):
        assert line in str(refused.value)
    make_voc(root / "b")
    (root / "b/JPEGImages/2007_000000.jpg").unlink()
    (root / "b/SegmentationClass/2007_000001.png").unlink()
    with (root / "b/ImageSets/Segmentation/val.txt").open("a") as file:
        file.write("2007_000002\n")
    with pytest.raises(GraftError) as refused:
        run_ingest(root / "b", tmp_path / "out2", "voc")
    for line in (
        "ImageSets/Segmentation/train.txt line 1: JPEGImages/2007_000000.jpg is listed and not there",
        "JPEGImages/2007_000001.jpg: image without mask (expected SegmentationClass/2007_000001.png)",
        "ImageSets/Segmentation/val.txt line 5: JPEGImages/2007_000002.jpg is listed twice (also in train.txt)",
    ):
        assert line in str(refused.value)


@pytest.mark.parametrize("content", ["", "a\tb\n1\t2\n", "Idx\tName\nx\ty\n", "Idx\tName\n1\twall\n", "Idx\tName\n1\n"])
def test_a_list_of_names_that_is_not_ade20ks_is_refused(content: str, tmp_path: Path) -> None:
    make_ade20k(tmp_path / "raw")
    (tmp_path / "raw/objectInfo150.txt").write_text(content)
    with pytest.raises(GraftError, match=r"objectInfo150\.txt: not the list of the 150 classes: it .*columns Idx and"):
        run_ingest(tmp_path / "raw", tmp_path / "out", "ade20k")


def test_the_official_list_of_ade20k_names_has_no_column_stuff_and_spaces(tmp_path: Path) -> None:
    make_ade20k(tmp_path / "raw")
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{k} \t0.1\t9\t1\tthing {k} , other" for k in range(1, 151))]
    (tmp_path / "raw/objectInfo150.txt").write_text("\r\n".join(lines))
    assert run_ingest(tmp_path / "raw", tmp_path / "out", "ade20k").class_map.names[149] == "thing 150"


def test_held_out_groups_are_whole_stable_and_leave_something() -> None:
    entries = [Entry(f"{group}/{n}", "train", "", str(group), "") for group in range(20) for n in range(5)]
    entries.append(Entry("v", "val", "", "v", ""))
    few, more = (
        {entry.id for entry in add_test(entries, "train", fraction, 3) if entry.split == "test"}
        for fraction in (0.1, 0.3)
    )
    assert (len(few), len(more)) == (10, 30)
    assert few < more
    assert few != {entry.id for entry in add_test(entries, "train", 0.1, 4) if entry.split == "test"}
    with pytest.raises(GraftError, match=r"0\.99 of 100 training images in 20 groups leave nothing.*test_from: none"):
        add_test(entries, "val", 0.99, 3)


def test_the_test_list_of_voc_is_honoured_where_its_masks_are_and_else_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_voc(tmp_path / "raw")
    stem, file = "2008_000001", tmp_path / "raw/ImageSets/Segmentation/test.txt"
    file.write_text(f"{stem}\n")
    said = run_ingest(tmp_path / "raw", tmp_path / "without", "voc")
    assert f"JPEGImages/{stem}.jpg" not in said.rows
    assert "1 image of ImageSets/Segmentation/test.txt, 1 of them without a mask here" in capfd.readouterr().err
    write_mask(tmp_path / f"raw/SegmentationClass/{stem}.PNG", stripes(0, 20))
    found = run_ingest(tmp_path / "raw", tmp_path / "with", "voc")
    assert found.metrics == {"num_images": 13, "num_train": 8, "num_val": 4, "num_test": 1}
    assert found.ids("test") == [f"JPEGImages/{stem}.jpg"]
    assert found.class_map.official_splits


def test_images_of_ade20k_in_another_folder_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_ade20k(tmp_path / "raw")
    write_image(tmp_path / "raw/images/testing/ADE_test_00000001.jpg", 1)
    run_ingest(tmp_path / "raw", tmp_path / "out", "ade20k")
    assert "1 file below images in neither training nor validation" in capfd.readouterr().err


# COCO-Stuff


def test_maps_of_coco_stuff_have_171_classes(tmp_path: Path) -> None:
    make_stuff(tmp_path / "raw")
    write_mask(tmp_path / "raw/annotations/train2017/000000000000_labelTrainIds.png", stripes(0, 1))
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "coco_stuff", "test_from": "none"})
    names = found.class_map.names
    assert (len(names), len(set(names)), found.metrics["num_train"], found.metrics["num_val"]) == (171, 171, 8, 4)
    values = dict(zip(names, found.class_map.source_values, strict=True))
    assert (values["person"], values["stop sign"], values["toothbrush"], values["banner"]) == (0, 12, 89, 91)
    assert (values["road"], values["sky-other"], values["wood"]) == (148, 156, 181)
    road = names.index("road")
    assert (found.mask("images/train2017/000000000000.jpg") == stripes(0, road, 170, 255)).all()
    assert found.class_map.official_splits
    held = run_ingest(tmp_path / "raw", tmp_path / "held", {"name": "coco_stuff", "held_out_fraction": 0.25})
    assert held.metrics == {"num_images": 12, "num_train": 6, "num_val": 2, "num_test": 4}


def test_whatever_is_wrong_with_coco_stuff_is_listed(tmp_path: Path) -> None:
    make_stuff(tmp_path, "stuffthingmaps")
    assert not listing_of(tmp_path, "coco_stuff").problems
    (tmp_path / "stuffthingmaps/train2017/000000000000.png").unlink()
    (tmp_path / "images/val2017/000000000050.jpg").unlink()
    write_mask(tmp_path / "other/train2017/000000000001.png", stripes(0, 1))
    problems = listing_of(tmp_path, "coco_stuff").problems
    assert problems == [
        "images/train2017/000000000000.jpg: image without mask (expected annotations/train2017/000000000000.png)",
        "stuffthingmaps/val2017/000000000050.png: mask without image",
        "stuffthingmaps/train2017/000000000001.png: a map of the same image is other/train2017/000000000001.png",
    ]


def test_labels_of_coco_stuff_that_were_never_used_are_unknown(tmp_path: Path) -> None:
    make_stuff(tmp_path)
    translation = listing_of(tmp_path, "coco_stuff").translation
    assert translation is not None
    translated = translation.apply(np.array([[0, 11, 90, 182, 255]], np.uint8))
    assert translated.mask.tolist() == [[0, 255, 255, 255, 255]]
    assert (translated.void, translated.unknown_values) == (1, ("11", "90", "182"))

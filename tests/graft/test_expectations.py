"""Each rule both ways: it passes on clean rows, and fails on the planted fault, naming the row."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from graft.data.expectations import GateClosed
from graft.data.expectations.critical import label_rules
from graft.data.expectations.derived import partner
from graft.data.expectations.mask_findings import mask_findings
from graft.data.expectations.mask_rules import lossless_rule
from graft.data.expectations.near_duplicates import near_partners, parse_hashes
from graft.data.expectations.report import as_json, as_markdown, check_gate
from graft.data.expectations.suite import suite_of
from graft.data.expectations.verdict import judge
from graft.data.expectations.warning import balance_rules
from graft.data.shards import MANIFEST_SCHEMA
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from graft.training.losses import TASKS as LOSS_TASKS

NAMES = ("road", "car", "sky")


def thresholds(*allow: dict[str, str], **changed) -> SimpleNamespace:
    values = {
        "min_side_px": 32, "max_aspect": 4.0, "min_luminance": 8.0, "max_luminance": 247.0,
        "min_class_fraction": 0.0005,
        "max_void_fraction": 0.9, "near_duplicate_bits": 3, "allow": [SimpleNamespace(**entry) for entry in allow],
    } | changed  # fmt: skip
    return SimpleNamespace(**values)


def class_map(task: str = "segmentation", official: bool = False) -> ClassMap:
    colors = ((128, 64, 128), (64, 0, 128), (128, 128, 128))
    return ClassMap(task, NAMES, colors, (0, 1, 2), official, False, "mask_folder")


def clean(task: str = "segmentation", num_rows: int = 12) -> pd.DataFrame:
    """A manifest with nothing to find: hashes far apart, every class in every split."""
    generator = np.random.default_rng(0)
    rows = []
    for index in range(num_rows):
        split = ("train", "train", "val", "test")[index % 4]
        row = {
            "id": f"{split}/{index:05d}.png", "split": split, "batch": "first", "domain": "day", "group": f"g{index}",
            "image_sha256": f"{index:064x}", "mask_sha256": None, "label": None, "format": "PNG", "width": 64,
            "height": 48, "channels": 3, "mode": "RGB", "bit_depth": 8, "num_bytes": 900, "exif_orientation": 1,
            "mean_luminance": 120.0, "phash": generator.bytes(8).hex(), "mask_format": None, "mask_lossy": None,
            "mask_width": None, "mask_height": None, "mask_counts": None, "mask_void": None, "mask_unknown": None,
            "mask_unknown_values": None, "source": 0, "further_band_is_picture": False, "mask_orientation": None,
            "mask_palette": None, "mask_reading": None, "mask_alpha_only": None, "mask_rest_values": None,
        }  # fmt: skip
        if task == "classification":
            row["label"] = index % 3 if split != "train" else (index // 2) % 3
        else:
            row |= {"mask_sha256": f"{index + 500:064x}", "mask_format": "PNG", "mask_lossy": False, "mask_width": 64,
                    "mask_height": 48, "mask_counts": np.array([1000, 1000, 1000]), "mask_void": 72, "mask_unknown": 0,
                    "mask_unknown_values": np.array([], dtype=object), "mask_orientation": 1, "mask_alpha_only": False,
                    "mask_rest_values": 3}  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows, columns=MANIFEST_SCHEMA.names)


def findings_of(rows: pd.DataFrame, classes: ClassMap, validate: SimpleNamespace, split: str = "test") -> dict:
    present = pa.schema([field for field in MANIFEST_SCHEMA if field.name in rows])
    rows = pa.Table.from_pandas(rows, schema=present, preserve_index=False).to_pandas()
    tables, rules = suite_of(rows, classes, validate, split)
    return {finding.rule.name: finding for finding in judge(tables, rules, validate.allow, None)}


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_clean_rows_pass_every_rule(task: str) -> None:
    findings = findings_of(clean(task), class_map(task), thresholds())
    assert [name for name, finding in findings.items() if not finding.success] == []


# What is planted in row 5 (of train) of a clean manifest; the rules that must fail, and no other.
TRAIN_ROW, TRAIN_TOO, TEST_ROW = 5, 0, 3
PLANTED = [
    ("sizes_equal", "segmentation", {"mask_width": 32}),
    ("mask_values_known", "segmentation", {"mask_unknown": 7, "mask_unknown_values": np.array(["17", "18"])}),
    ("masks_lossless", "segmentation", {"mask_lossy": True, "mask_format": "JPEG"}),
    ("labels_present", "classification", {"label": None}),
    ("labels_known", "classification", {"label": 3}),
    ("splits_known", "segmentation", {"split": "trian"}),
    ("exact_duplicates_across_splits", "segmentation", {"image_sha256": TEST_ROW, "mask_sha256": TEST_ROW}),
    ("exact_duplicates_within_split", "segmentation", {"image_sha256": TRAIN_TOO, "mask_sha256": TRAIN_TOO}),
    ("groups_across_splits", "segmentation", {"group": TEST_ROW}),
    ("near_duplicates", "segmentation", {"phash": TEST_ROW}),
    ("tiny_images", "classification", {"width": 31}),
    ("extreme_aspect", "classification", {"width": 300}),
    ("dark_images", "segmentation", {"mean_luminance": 7.5}),
    ("bright_images", "segmentation", {"mean_luminance": 250.0}),
    ("void_masks", "segmentation", {"mask_void": 3000}),
    ("odd_modes", "segmentation", {"mode": "P"}),
    ("odd_modes", "segmentation", {"mode": "RGBA", "channels": 4}),
    ("odd_modes", "segmentation", {"mode": "I;16", "bit_depth": 16}),
    ("odd_modes", "segmentation", {"mode": "CMYK"}),
    ("odd_modes", "segmentation", {"exif_orientation": 6}),
    ("differing_formats", "segmentation", {"format": "GIF"}),
    ("bands_are_colours", "segmentation", {"further_band_is_picture": True}),
    ("turned_alike", "segmentation", {"mask_width": 48, "mask_height": 64, "mask_orientation": 6}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "task", "fault"), PLANTED)
def test_a_planted_fault_fails_its_rule_alone_and_names_the_row(name: str, task: str, fault: dict) -> None:
    rows = clean(task)
    for column, value in fault.items():
        copied = isinstance(value, int) and column in ("image_sha256", "mask_sha256", "group", "phash")
        rows.at[TRAIN_ROW, column] = rows.at[value, column] if copied else value
    findings = findings_of(rows, class_map(task), thresholds())
    assert [rule for rule, finding in findings.items() if not finding.success] == [name]
    assert rows.at[TRAIN_ROW, "id"] in [row for row, _ in findings[name].examples]
    across = name in ("exact_duplicates_across_splits", "groups_across_splits", "near_duplicates")
    assert findings[name].count == (2 if across else 1)


def masks(num_rows: int = 24, **columns: object) -> pd.DataFrame:
    return clean(num_rows=num_rows).assign(**columns)


def test_sizes_exchanged_by_exif_are_no_matter_of_resizing() -> None:
    rows = masks(mask_width=48, mask_height=64)
    rows.loc[0, "exif_orientation"] = 6
    rows.loc[1, "mask_orientation"] = 8
    found = mask_findings(rows)
    turned = "image 64×48 turned by its EXIF orientation 6, mask 48×64 as stored"
    assert found["turned_apart"].dropna().tolist() == [turned, turned.replace("turned by its EXIF orientation 6", "as"
        " stored").replace("48×64 as stored", "48×64 turned by its EXIF orientation 8")]  # fmt: skip
    assert found["size_difference"].notna().tolist() == [False, False] + [True] * 22


def test_palettes_that_give_a_value_another_colour_are_named() -> None:
    palettes = ["0=#000000 1=#ffffff"] * 21 + ["0=#ffffff", "1=#ffffff 2=#ff0000", None]
    found = mask_findings(masks(mask_palette=palettes))["other_palette"]
    assert found.dropna().to_dict() == {21: "value 0 is #ffffff, in most masks #000000"}
    apart = mask_findings(masks(mask_palette=palettes, source=[0] * 21 + [1, 2, 0]))["other_palette"]
    assert apart.isna().all()  # joined sources have palettes of their own


def test_unknown_values_say_how_they_came_about() -> None:
    reading = "stored in 1 bit, read as spread over 0 to 255"
    found = mask_findings(masks(mask_unknown=9, mask_unknown_values=[["255"]] * 24, mask_reading=reading))
    assert found["unknown_mask_values"][0] == f"9 pixels, values 255 ({reading})"


def test_ids_that_count_instances_are_told_from_classes() -> None:
    running = [[9] * (1 + number % 4) + [0] * (4 - number % 4) for number in range(24)]
    found = mask_findings(masks(mask_counts=running))["instances"]
    assert found[3] == "shows classes 1 to 3 without a gap, as every mask does"
    assert found.isna().sum() == 6  # masks of nothing but background
    assert mask_findings(masks(mask_counts=[*running[1:], [9, 0, 5, 0, 0]]))["instances"].isna().all()
    nested = [[9, 9, 9, 9, number % 2] for number in range(24)]
    assert mask_findings(masks(mask_counts=nested))["instances"].isna().all()


def test_many_values_of_the_rest_are_said() -> None:
    found = mask_findings(masks(mask_rest_values=[None, 16, 17] * 8))["many_rest_values"]
    assert found.dropna().unique().tolist() == ["17 values that nobody names"]


@pytest.mark.parametrize(
    ("values", "severity"),
    [
        ((("0-99",), ("100-255",), "rest"), "warning"),
        (((0,), ("1-255",), "rest"), "critical"),
        ((0, 1, 2), "critical"),
    ],
)
def test_lossy_masks_that_are_read_by_ranges_warn(values: tuple[object, ...], severity: str) -> None:
    assert lossless_rule(replace(class_map(), source_values=values)).severity == severity


def test_ids_must_be_unique() -> None:
    rows = clean()
    rows.at[5, "id"] = rows.at[1, "id"]
    finding = findings_of(rows, class_map(), thresholds())["ids_unique"]
    assert (finding.count, finding.examples[0]) == (2, (rows.at[1, "id"], "more than once"))


def test_a_copy_with_another_label_is_named() -> None:
    rows = clean("classification")
    rows.at[5, "image_sha256"] = rows.at[1, "image_sha256"]
    finding = findings_of(rows, class_map("classification"), thresholds())["conflicting_labels"]
    one, other = rows.at[1, "id"], rows.at[5, "id"]
    said = "same bytes, another label than"
    assert finding.examples == ((one, f"{said} {other} (train)"), (other, f"{said} {one} (train)"))


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_class_that_train_never_shows_stops_and_is_not_called_rare(task: str) -> None:
    rows = clean(task)
    if task == "segmentation":
        rows["mask_counts"] = [np.array([3000, 0, 10])] * len(rows)
    else:
        rows.loc[rows["split"] == "train", "label"] = 0
    findings = findings_of(rows, class_map(task), thresholds(min_class_fraction=0.1))
    assert findings["classes_in_train"].examples[0] == ("car", "train_amount 0")
    rare = [name for name, _ in findings["class_imbalance"].examples]
    assert rare == (["sky"] if task == "segmentation" else [])


@pytest.mark.parametrize(("task", "loss"), [("segmentation", "dice"), ("multilabel", "asymmetric")])
def test_the_loss_named_for_a_rare_class_serves_the_task(task: str, loss: str) -> None:
    balance, *_ = balance_rules(task, thresholds())  # type: ignore[arg-type]  # what it reads of validate
    assert f"or {loss} in fine_tune.losses" in balance.remedy
    assert task in LOSS_TASKS[loss]


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_class_that_a_split_never_shows_is_named_with_the_split(task: str) -> None:
    rows = clean(task)
    held_out = rows["split"].isin(["val", "test"])
    if task == "segmentation":
        rows["mask_counts"] = [np.array([2000, 0, 9] if out else [999, 999, 9]) for out in held_out]
    else:
        rows.loc[held_out, "label"] = [0, 0, 2, 2, 0, 2]
    findings = findings_of(rows, class_map(task), thresholds())
    assert [name for name, finding in findings.items() if not finding.success] == ["classes_scored"]
    assert findings["classes_scored"].examples == (("car", "not in val and test"),)
    no_test = findings_of(rows[rows["split"] != "test"], class_map(task), thresholds(), "val")["classes_scored"]
    assert no_test.examples == (("car", "not in val"),)


def test_a_split_that_must_hold_images_is_named() -> None:
    rows = clean()
    finding = findings_of(rows[rows["split"] != "val"], class_map(), thresholds())["splits_filled"]
    assert finding.examples == (("val", "num_images 0"),)


def test_the_split_that_is_scored_must_hold_images() -> None:
    rows = clean()
    rows = rows[rows["split"] != "test"]
    finding = findings_of(rows, class_map(), thresholds())["splits_filled"]
    assert (finding.rule.severity, finding.examples) == ("critical", (("test", "num_images 0"),))
    assert "evaluate.split: test" in finding.rule.rule
    assert "set evaluate.split to one that has images" in finding.rule.remedy
    findings = findings_of(rows, class_map(), thresholds(), "val")
    assert [name for name, finding in findings.items() if not finding.success] == []


@pytest.mark.parametrize("void", ["val", "test"])
def test_a_split_without_a_labelled_pixel_stops_the_pipeline(void: str) -> None:
    rows = clean()
    rows["mask_counts"] = [np.array([0, 0, 0] if split == void else [9, 9, 9]) for split in rows["split"]]
    finding = findings_of(rows, class_map(), thresholds())["splits_labelled"]
    assert (finding.rule.severity, finding.examples) == ("critical", ((void, "num_labelled 0"),))
    scored_on_val = findings_of(rows, class_map(), thresholds(), "val")
    assert scored_on_val["splits_labelled"].success == (void == "test")
    assert not scored_on_val["classes_scored"].success


def test_a_split_without_a_label_stops_the_pipeline() -> None:
    rows = clean("classification")
    rows.loc[rows["split"] == "val", "label"] = None
    finding = findings_of(rows, class_map("classification"), thresholds())["splits_labelled"]
    assert finding.examples == (("val", "num_labelled 0"),)


def test_unlabelled_images_need_no_mask() -> None:
    rows = clean()
    columns = [column for column in rows.columns if column.startswith("mask_")]
    rows = rows.astype(dict.fromkeys(columns, object))
    rows.loc[5, ["split", *columns]] = ["unlabelled", *[None] * len(columns)]
    assert all(finding.success for finding in findings_of(rows, class_map(), thresholds()).values())


def test_an_unlabelled_image_may_be_like_one_of_train_and_not_like_one_of_test() -> None:
    rows = clean()
    first = {split: rows.index[rows["split"] == split][0] for split in ("train", "test")}
    for split, like, broken in (("unlabelled", "train", set()), ("unlabelled", "test", {"groups_across_splits"})):
        changed = rows.copy()
        extra = changed.loc[[first["train"]]].assign(id="extra", split=split, image_sha256="e" * 64)
        changed = pd.concat([changed, extra.assign(group=rows.at[first[like], "group"])], ignore_index=True)
        findings = findings_of(changed, class_map(), thresholds())
        assert {name for name, found in findings.items() if not found.success} & {"groups_across_splits"} == broken


def test_groups_across_the_sources_own_splits_only_warn() -> None:
    rows = clean()
    rows.at[5, "group"] = rows.at[3, "group"]
    for official, severity in ((False, "critical"), (True, "warning")):
        finding = findings_of(rows, class_map(official=official), thresholds())["groups_across_splits"]
        assert (finding.rule.severity, finding.success) == (severity, False)


def test_groups_of_several_images_in_one_split_are_no_finding() -> None:
    rows = clean()
    rows["group"] = rows["split"] + " clip"
    assert all(found.success for found in findings_of(rows, class_map(), thresholds()).values())


def test_missing_column_and_empty_table_are_said_instead_of_everything_else() -> None:
    rows = clean()
    findings = findings_of(rows.drop(columns=["phash", "mode"]), class_map(), thresholds())
    assert [name for name, _ in findings["columns_present"].examples] == ["mode", "phash"]
    findings = findings_of(rows.iloc[:0], class_map(), thresholds())
    assert not findings["rows_present"].success
    assert findings["columns_present"].success


def test_an_allowed_row_passes_with_its_reason_and_others_still_fail() -> None:
    rows = clean()
    rows.loc[[1, 5], "mode"] = "P"
    entry = {"expectation": "odd_modes", "images": "train/00005*", "reason": "a drawing"}
    findings = findings_of(rows, class_map(), thresholds(entry))
    assert findings["odd_modes"].examples == (("train/00001.png", "palette (mode P)"),)
    assert [(excuse.reason, excuse.count) for excuse in findings["odd_modes"].allowed] == [("a drawing", 1)]
    findings = findings_of(rows, class_map(), thresholds(entry | {"images": "train/*"}))
    assert findings["odd_modes"].success
    assert findings["odd_modes"].allowed[0].count == 2


def test_an_image_is_allowed_by_its_very_id_brackets_and_all() -> None:
    rows = clean()
    rows.loc[[1, 5], "mode"] = "P"
    rows.loc[1, "id"] = "train/copy [1].png"
    entry = {"expectation": "odd_modes", "images": "train/copy [1].png", "reason": "a drawing"}
    finding = findings_of(rows, class_map(), thresholds(entry))["odd_modes"]
    assert [excuse.count for excuse in finding.allowed] == [1]
    assert finding.examples == (("train/00005.png", "palette (mode P)"),)


@pytest.mark.parametrize(
    ("source", "task", "remedy"),
    [
        ("mask_folder", "segmentation", "take it out of the classes of ingest.source"),
        ("csv", "classification", "set its images aside"),
        ("image_folder", "classification", "set the folder of the class aside"),
        ("coco", "segmentation", "leave it out of categories in ingest.source"),
        ("scenes", "segmentation", "draw more: raise num_train of ingest.source"),
        ("cityscapes", "segmentation", "map it to null or to another class with ingest.source: {name: joined, …}"),
    ],
)
def test_a_remedy_names_what_the_source_can_be_told(source: str, task: str, remedy: str) -> None:
    rules = {rule.name: rule for rule in label_rules(replace(class_map(task), source=source))}
    assert rules["classes_in_train"].remedy == f"move images of the class into train, or {remedy}"
    if task == "segmentation":
        named = "name the value in the classes of ingest.source" in rules["mask_values_known"].remedy
        assert named == (source == "mask_folder")


def test_a_class_can_be_allowed_by_its_name() -> None:
    rows = clean()
    rows["mask_counts"] = [np.array([3000, 0, 10])] * len(rows)
    entry = {"expectation": "classes_in_train", "images": "car", "reason": "comes with the next delivery"}
    assert findings_of(rows, class_map(), thresholds(entry))["classes_in_train"].success


def test_an_allowance_that_excuses_nothing_is_pointed_out() -> None:
    rows, classes = clean(), class_map()
    entry = thresholds({"expectation": "odd_modes", "images": "old/*", "reason": "scans"})
    text = as_markdown(list(findings_of(rows, classes, entry).values()), rows, classes)
    assert "`odd_modes` for `old/*`: **excuses nothing" in text


def test_an_allowance_of_an_unknown_expectation_is_refused() -> None:
    entries = [{"expectation": name, "images": "*", "reason": "-"} for name in ("near_duplicate", "zzz")]
    message = r"allow\[0\].*did you mean 'near_duplicates'\?[\s\S]*allow\[1\].*known: bands_are_colours"
    with pytest.raises(GraftError, match=message):
        suite_of(clean(), class_map(), thresholds(*entries))


def test_a_manifest_of_another_class_map_is_refused() -> None:
    rows = clean()
    rows["mask_counts"] = [np.array([1, 2])] * len(rows)
    with pytest.raises(GraftError, match="does not count the pixels of 3 classes"):
        suite_of(rows, class_map(), thresholds())


def test_a_damaged_hash_is_refused() -> None:
    rows = clean()
    rows.at[2, "phash"] = "not a hash"
    with pytest.raises(GraftError, match="'phash' of the manifest: a perceptual hash is 16 hexadecimal digits"):
        suite_of(rows, class_map(), thresholds())


def test_report_lists_failures_first_and_the_gate_names_files_and_remedy() -> None:
    rows, classes = clean(num_rows=40), class_map()
    rows.loc[rows["split"] == "train", "mask_width"] = 32
    rows.at[2, "id"] = "val/a|b`c.png"
    rows.at[2, "mode"] = "P"
    findings = list(findings_of(rows, classes, thresholds()).values())
    text = as_markdown(findings, rows, classes)
    assert text.index("## sizes_equal") < text.index("## odd_modes") < text.index("## What passed")
    assert "(first 5 of 20)" in text
    assert "- `` val/a|b`c.png ``: palette (mode P)" in text
    assert "- `train/00000.png`: image 64×48, mask 32×48" in text
    stored = as_json(findings, len(rows))
    failed = [entry["name"] for entry in stored["expectations"] if not entry["success"]]
    assert (stored["passed"], failed) == (False, ["sizes_equal", "odd_modes"])
    with pytest.raises(GateClosed, match=r"sizes_equal: 20 images: train/00000.png [\s\S]*remedy: export the mask"):
        check_gate(findings, "see there")


def test_partner_is_the_first_row_that_differs() -> None:
    rows = pd.DataFrame({"id": list("abcde"), "split": ["train", "train", "val", "val", None], "key": list("xxxyx")})
    found = partner(rows, rows["key"], rows["split"])
    assert found.fillna("-").tolist() == ["c (val)", "c (val)", "a (train)", "-", "-"]


@pytest.mark.parametrize("max_bits", [0, 1, 3, 7, 16])
def test_near_partners_are_those_of_comparing_every_pair(max_bits: int) -> None:
    generator = np.random.default_rng(max_bits)
    base = generator.integers(0, 2**63, 30, dtype=np.uint64)
    flips = np.zeros(300, np.uint64)
    for _ in range(max_bits + 1):
        flips ^= np.uint64(1) << generator.integers(0, 64, 300, dtype=np.uint64)
    hashes = base[generator.integers(0, 30, 300)] ^ flips
    hashes[200:] = hashes[:100]
    splits, contents = generator.integers(0, 3, 300), np.arange(300)
    contents[250:] = contents[:50]
    close = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= max_bits
    close &= (splits[:, None] != splits[None]) & (contents[:, None] != contents[None])
    partners = near_partners(hashes, splits, contents, max_bits)
    assert ((partners >= 0) == close.any(axis=1)).all()
    assert all(close[index, other] for index, other in enumerate(partners) if other >= 0)


def test_hashes_are_read_as_64_bit_numbers() -> None:
    assert parse_hashes(["00000000000000ff", "8000000000000001"]).tolist() == [255, 2**63 + 1]

"""Tables of paths, through the stage `ingest`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graft.foundation.errors import GraftError
from tests.formats_layouts.pictures import run_ingest, stripes
from tests.formats_layouts.tables import make_csv

COLUMNS = {"name": "csv", "image_column": "file", "label_column": "diagnosis", "mask_column": "annotation"}
GIVEN = {**COLUMNS, "split_column": "part", "domain_column": "site"}
CLASSES = {"classes": {"skin": [0], "spot": ["1-9"]}, "void": [255]}


def test_labels_splits_groups_and_domains_of_a_table(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", GIVEN, "classification")
    assert found.metrics == {"num_images": 40, "num_train": 20, "num_val": 10, "num_test": 10}
    assert found.class_map.names == found.class_map.source_values == ("benign", "malign")
    assert found.class_map.official_splits
    row = found.rows["pictures/5.png"]
    assert (row.split, row.label, row.mask, row.domain) == ("val", 1, None, "clinic 2")
    grouped = run_ingest(
        tmp_path / "raw",
        tmp_path / "grouped",
        {**COLUMNS, "group_column": "patient", "val_fraction": 0.3, "test_fraction": 0.3},
        "classification",
    )
    assert {row.group for row in grouped.rows.values()} == {f"p{n}" for n in range(10)}
    assert len({(row.group, row.split) for row in grouped.rows.values()}) == 10
    assert not grouped.class_map.official_splits


def test_masks_of_a_table(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {**GIVEN, **CLASSES})
    assert (found.mask("pictures/7.png") == stripes(0, 1, 255)).all()
    assert found.class_map.source_values == ((0,), ("1-9",))


def test_numbers_are_ordered_as_numbers_and_other_delimiters_are_read(tmp_path: Path) -> None:
    make_csv(tmp_path)
    lines = ["image;label", *(f'"pictures/{n}.png";{n % 12}' for n in range(40))]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/all.csv").write_text("\n".join(lines))
    source = {"name": "csv", "table": "tables/all.csv", "delimiter": ";"}
    found = run_ingest(tmp_path, tmp_path / "out", source, "classification")
    assert found.class_map.names == tuple(str(n) for n in range(12))
    assert found.rows["pictures/11.png"].label == 11


def test_unlabelled_lines_need_no_target(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    table = tmp_path / "raw/data.csv"
    table.write_text(table.read_text().replace("pictures/3.png,malign,drawn/3.png,train", "pictures/3.png,,,unlabeled"))
    for task, source in (("classification", GIVEN), ("segmentation", {**GIVEN, **CLASSES})):
        row = run_ingest(tmp_path / "raw", tmp_path / task, source, task).rows["pictures/3.png"]
        assert (row.split, row.label, row.mask) == ("unlabelled", None, None)


def change_of(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        table = root / "data.csv"
        text = table.read_text(encoding="utf-8")
        assert old in text
        table.write_text(text.replace(old, new), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda root: (root / "data.csv").rename(root / "x.csv"), {}, r"expects the table data\.csv here; found 40 x"),
        (lambda root: None, {"image_column": "img"}, "no column 'img'; it has 'file', 'diagnosis'"),
        (lambda root: None, {"delimiter": ";"}, "no column 'file' and no column 'annotation'.*separated by ';'"),
        (lambda root: None, {"classes": None}, r"nothing says what their values mean.*classes: \{background"),
        (lambda root: (root / "data.csv").write_bytes(b"file,annotation\n\xff,x"), {}, "cannot be read .*CSV in UTF-8"),
        (lambda root: None, {"val_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(change: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    change(tmp_path / "raw")
    with pytest.raises(GraftError, match=message):
        run_ingest(tmp_path / "raw", tmp_path / "out", {**COLUMNS, **CLASSES, **options})


def test_every_wrong_line_is_listed(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    for old, new in (
        ("pictures/0.png,", "../0.png,"),
        ("pictures/1.png,malign", "pictures/1.png,"),
        ("drawn/2.png,test", "drawn/2.png,tset"),
        (",p1,clinic 1\n", ",,clinic 1\n"),
        ("pictures/9.png", "pictures/8.png"),
    ):
        change_of(old, new)(tmp_path / "raw")
    (tmp_path / "raw/pictures/39.png").write_bytes(b"x")
    source = {**GIVEN, "group_column": "patient"}
    with pytest.raises(GraftError) as refused:
        run_ingest(tmp_path / "raw", tmp_path / "out", source, "classification")
    for line in (
        "data.csv line 2: ../0.png is not there",
        "data.csv line 3: pictures/1.png has no label",
        "data.csv line 4: 'tset' is no split: train, val, test or unlabelled",
        "data.csv line 6: pictures/4.png has no patient",
        "data.csv line 11: pictures/8.png is listed twice",
        "pictures/39.png: not an image of a known kind",
    ):
        assert line in str(refused.value)
    change_of("drawn/12.png", "nowhere/12.png")(tmp_path / "raw")
    change_of("drawn/13.png", "")(tmp_path / "raw")
    with pytest.raises(GraftError, match=r"(?s)line 14: nowhere/12.png is not there.*pictures/13.png has no mask"):
        run_ingest(tmp_path / "raw", tmp_path / "masks", {**GIVEN, **CLASSES})


def test_one_label_is_not_enough(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    change_of("benign", "malign")(tmp_path / "raw")
    with pytest.raises(GraftError, match=r"csv finds 1 labels \(malign\).*two classes or more"):
        run_ingest(tmp_path / "raw", tmp_path / "out", COLUMNS, "classification")

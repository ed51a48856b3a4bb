"""Images with several labels: tables and tags, through the stage `ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graft.foundation.errors import GraftError
from tests.formats_layouts.drawn import write_cvat, write_labelme
from tests.formats_layouts.label_studio import choice, made, make_label_studio, task, write_export
from tests.formats_layouts.pictures import run_ingest, write_image
from tests.registries.test_formats import listing_of

SPLITS = ("train", "val", "test")
IN_CELLS = {"name": "csv", "label_column": "tags", "split_column": "split"}
IN_COLUMNS = {"name": "csv", "label_columns": ["rain", "night", "car"], "split_column": "split"}
SETS = (("rain", "car"), ("night",), (), ("rain", "night", "car"), ("car",), ("night", "car"))


def make_table(root: Path, header: str, lines: list[str]) -> None:
    for number in range(len(SETS)):
        write_image(root / f"{number}.png", number)
    (root / "data.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def in_cells(separator: str = "|") -> list[str]:
    return [f"{n}.png,{SPLITS[n % 3]},{separator.join(labels)}" for n, labels in enumerate(SETS)]


def in_columns() -> list[str]:
    bits = [[int(name in labels) for name in ("rain", "night", "car")] for labels in SETS]
    return [f"{n}.png,{SPLITS[n % 3]},{a},{b},{c}" for n, (a, b, c) in enumerate(bits)]


def labels_of(found: Any, folder: str = "") -> list[tuple[str, ...]]:
    """The labels of each image in order, in the order of the sets above."""
    names = found.class_map.names
    order = [name for name in ("rain", "night", "car") if name in names]
    rows = [found.rows[f"{folder}{number}.png"] for number in range(len(SETS))]
    return [tuple(name for name in order if row.mask[names.index(name)]) for row in rows]


def test_several_values_in_a_cell_and_a_column_for_each_class_say_the_same(tmp_path: Path, capsys) -> None:
    make_table(tmp_path / "cells", "image,split,tags", in_cells())
    make_table(tmp_path / "columns", "image,split,rain,night,car", in_columns())
    cells = run_ingest(tmp_path / "cells", tmp_path / "out", IN_CELLS, "multilabel")
    columns = run_ingest(tmp_path / "columns", tmp_path / "out2", IN_COLUMNS, "multilabel")
    assert labels_of(cells) == labels_of(columns) == [*SETS]
    assert cells.class_map.names == ("car", "night", "rain")  # of the alphabet
    assert columns.class_map.names == ("rain", "night", "car")  # of the option
    assert cells.class_map.task == columns.class_map.task == "multilabel"
    row = columns.rows["0.png"]
    assert (row.mask, row.label) == (bytes([1, 0, 1]), None)
    assert columns.facts["0.png"]["mask_counts"] == [1, 0, 1]
    assert "without any label, which count as having none of the classes: 1" in capsys.readouterr().err


def test_another_separator_and_the_order_of_classes(tmp_path: Path) -> None:
    make_table(tmp_path, "image,split,tags", in_cells(" ; "))
    source = {**IN_CELLS, "separator": ";", "classes": ["night", "rain", "car", "snow"]}
    found = run_ingest(tmp_path, tmp_path / "out", source, "multilabel")
    assert labels_of(found) == [*SETS]
    assert found.class_map.names == ("night", "rain", "car", "snow")


def test_unlabelled_lines_are_no_images_without_labels(tmp_path: Path) -> None:
    lines = in_columns()
    lines[0] = "0.png,unlabelled,,,"
    make_table(tmp_path, "image,split,rain,night,car", lines)
    row = run_ingest(tmp_path, tmp_path / "out", IN_COLUMNS, "multilabel").rows["0.png"]
    assert (row.split, row.mask) == ("unlabelled", None)


def test_all_that_is_wrong_with_a_table_is_listed_at_once(tmp_path: Path) -> None:
    lines = in_columns()
    lines[1], lines[2] = "1.png,val,0,yes,2", "2.png,test,,0,0"
    lines += ["0.png,train,1,0,1", "4.png,val,1,1,1", "9.png,val,1,0,0"]
    make_table(tmp_path, "image,split,rain,night,car", lines)
    with pytest.raises(GraftError) as error:
        run_ingest(tmp_path, tmp_path / "out", IN_COLUMNS, "multilabel")
    for told in (
        "data.csv line 3: 'yes' in column 'night' is not 0 or 1",
        "data.csv line 3: '2' in column 'car' is not 0 or 1",
        "data.csv line 4: '' in column 'rain' is not 0 or 1",
        "data.csv line 8: 0.png is listed twice\n",
        "data.csv line 9: 4.png is listed twice, with another set of labels than in line 6",
        "data.csv line 10: 9.png is not there",
    ):
        assert told in f"{error.value}\n"


def test_labels_outside_the_classes_are_listed(tmp_path: Path) -> None:
    lines = in_cells()
    lines[0], lines[3] = "0.png,train,rain|hail", "3.png,train,fog"
    make_table(tmp_path, "image,split,tags", lines)
    with pytest.raises(GraftError) as error:
        run_ingest(tmp_path, tmp_path / "out", {**IN_CELLS, "classes": ["rain", "night", "car"]}, "multilabel")
    assert "data.csv line 2: 'hail' is none of the classes" in str(error.value)
    assert "data.csv line 5: 'fog' is none of the classes" in str(error.value)


def test_cells_of_another_separator_are_asked_about(tmp_path: Path) -> None:
    make_table(tmp_path, "image,split,tags", in_cells(";"))
    with pytest.raises(GraftError, match="no cell holds") as error:
        run_ingest(tmp_path, tmp_path / "out", IN_CELLS, "multilabel")
    assert "set separator" in str(error.value)


def test_columns_and_classes_go_together(tmp_path: Path) -> None:
    make_table(tmp_path, "image,split,rain,night,car", in_columns())
    with pytest.raises(GraftError, match="classes names 2 and label_columns 3"):
        run_ingest(tmp_path, tmp_path / "out", {**IN_COLUMNS, "classes": ["a", "b"]}, "multilabel")
    found = run_ingest(tmp_path, tmp_path / "o", {**IN_COLUMNS, "classes": ["wet", "dark", "cars"]}, "multilabel")
    assert found.class_map.names == ("wet", "dark", "cars")


def test_a_table_of_several_labels_for_one_label_an_image_names_the_task(tmp_path: Path) -> None:
    make_table(tmp_path, "image,split,tags", [line for line in in_cells() if not line.endswith(",")])
    with pytest.raises(GraftError, match="several values in one label") as error:
        run_ingest(tmp_path, tmp_path / "out", IN_CELLS, "classification")
    assert "set task: multilabel" in str(error.value)


def test_tags_of_cvat_are_labels(tmp_path: Path) -> None:
    tagged = {
        f"{n}.png": "".join(f'<tag label="{name}" source="manual"/>' for name in labels)
        for n, labels in enumerate(SETS)
    }
    write_cvat(tmp_path / "raw", tagged)
    source = {"name": "cvat", "splits": {}, "val_fraction": 0.3, "test_fraction": 0.3}
    found = run_ingest(tmp_path / "raw", tmp_path / "out", source, "multilabel")
    assert labels_of(found, "images/") == [*SETS]


def test_choices_of_label_studio_and_flags_of_labelme_are_labels(tmp_path: Path) -> None:
    make_label_studio(tmp_path / "studio")
    write_image(tmp_path / "studio/images/one.png", seed=99)
    both = task(99, "/data/upload/1/one.png", made(choice("van"), choice("rain", "weather")))
    write_export(tmp_path / "studio", both, name="more.json")
    listing = listing_of(tmp_path / "studio", "label_studio", "multilabel")
    assert listing.class_map.names == ("car", "rain", "van")
    assert {entry.labels for entry in listing.entries if entry.id.endswith("one.png")} == {bytes([0, 1, 1])}
    for number, flags in enumerate([{"car": True, "van": True}, {"car": False, "van": True}, {"car": False}]):
        write_labelme(tmp_path / f"flags/{number}.png", [], flags=flags)
    source = {"name": "labelme", "splits": {}, "val_fraction": 0.3, "test_fraction": 0.0, "background": "none"}
    listing = listing_of(tmp_path / "flags", source, "multilabel")
    assert sorted(entry.labels or b"" for entry in listing.entries) == [bytes([0, 0]), bytes([0, 1]), bytes([1, 1])]


def test_sources_of_one_target_refuse_the_task(tmp_path: Path) -> None:
    source = {"name": "scenes", "domain": "day", "num_train": 1, "num_val": 1, "num_test": 1}
    with pytest.raises(GraftError, match="scenes is not for multilabel") as error:
        run_ingest(tmp_path, tmp_path / "out", {**source, "width_px": 64, "height_px": 48}, "multilabel")
    assert "one of csv, cvat, label_studio, labelme" in str(error.value)

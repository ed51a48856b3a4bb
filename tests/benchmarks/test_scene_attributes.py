"""The table of drawn streets says in every column what is in the picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from benchmarks.scene_attributes import ATTRIBUTES, TABLE, attributes_of, write_scenes
from graft.scenes import CLASSES, DOMAINS, Scene


def test_attributes_are_light_weather_and_things_of_half_a_percent() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[0, :2], mask[1, 0] = CLASSES.index("car"), CLASSES.index("tree")  # 2 and 1 of 400 pixels
    scene = Scene(np.zeros((20, 20, 3), np.uint8), mask, np.zeros((20, 20), np.float32))
    assert attributes_of("night_rain", scene) == ["night", "rain", "car"]
    assert attributes_of("day", scene) == ["car"]


def test_both_forms_of_the_table_say_the_same(tmp_path: Path) -> None:
    write_scenes(tmp_path, 12, 64, 48, 3)
    with (tmp_path / TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    assert [row["domain"] for row in rows] == [*DOMAINS]
    for row in rows:
        assert (tmp_path / row["image"]).is_file()
        assert [name for name in ATTRIBUTES if row[name] == "1"] == [name for name in row["labels"].split("|") if name]
        assert row["night"] == str(int(row["domain"].startswith("night")))

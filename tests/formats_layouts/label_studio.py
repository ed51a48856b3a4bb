"""Exports as Label Studio writes them, with regions whose pixels can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats_layouts.drawn import NUM_IMAGES, SQUARE
from tests.formats_layouts.pictures import SIZE, write_image

HEIGHT, WIDTH = SIZE


def percent(points: list[list[float]]) -> list[list[float]]:
    """Points of an image of the usual size in percent of its sides."""
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]


def region(kind: str, label: str, **value: Any) -> dict[str, Any]:
    """A result of a labelling control."""
    return {
        "id": f"{kind}{label}",
        "type": kind,
        "from_name": "regions",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, kind: [label]},
    }


def polygon_region(label: str, points: list[list[float]]) -> dict[str, Any]:
    return region("polygonlabels", label, points=percent(points), closed=True)


def choice(label: str, control: str = "kind") -> dict[str, Any]:
    return {"type": "choices", "from_name": control, "to_name": "image", "value": {"choices": [label]}}


def brush(pixels: np.ndarray) -> list[int]:
    """Pixels (bool [H, W]) as run lengths, a piece for each value and none longer than 2 to the 16."""
    values = np.repeat(pixels.ravel(), 4) * 255
    ends = np.append(np.flatnonzero(np.diff(values)) + 1, len(values))
    lengths = np.diff(ends, prepend=0)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "".join(f"111{length - 1:016b}{values[end - 1]:08b}" for length, end in zip(lengths, ends, strict=True))
    return np.packbits(np.array(list(bits), np.uint8)).tolist()


def made(*results: dict[str, Any], by: Any = 1, **more: Any) -> dict[str, Any]:
    """An annotation."""
    return {"id": 7, "completed_by": by, "was_cancelled": False, "ground_truth": False, "result": [*results], **more}


def task(number: int, address: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "annotations": [*annotations],
        "predictions": [],
        "data": {"image": address, "text": "a street"},
        "meta": {},
        "project": 1,
    }


def write_export(root: Path, *tasks: dict[str, Any], name: str = "project-1.json") -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps([*tasks]), encoding="utf-8")


def make_label_studio(root: Path) -> None:
    """Polygons and choices of 40 images, uploaded and kept under their own names."""
    tasks = []
    for number in range(NUM_IMAGES):
        label, name = ("car", "van")[number % 2], f"{number:02d}.png"
        write_image(root / "images" / name, seed=number)
        address = f"/data/upload/1/0a1b2c{number:02d}-{name}"
        tasks.append(task(number, address, made(polygon_region(label, SQUARE), choice(label))))
    write_export(root, *tasks)

"""Tables of paths, and folders of several data sets side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.formats_layouts.pictures import stripes, write_image, write_mask
from tests.formats_layouts.published import make_cityscapes

STREETS = {"name": "scenes", "domain": "night", "num_train": 2, "num_val": 1, "num_test": 1} | {
    "width_px": 64,
    "height_px": 48,
}
JOINED: dict[str, Any] = {
    "name": "joined",
    "classes": ["street", "car", "else"],
    "sources": [
        {
            "source": {"name": "cityscapes", "test_from": "none"},
            "root": "day/cityscapes",
            "domain": "day",
            "classes": {"road": "street", "sidewalk": "street", "car": "car", "sky": None, "*": "else"},
        },
        {"source": STREETS, "classes": {"road": "street", "sky": None, "*": "else"}},
    ],
}


def make_csv(root: Path, num: int = 40) -> None:
    """A table of pictures with a label, a mask, a split, a patient and a site each."""
    lines = ["\ufefffile,diagnosis,annotation,part,patient,site"]
    for number in range(num):
        write_image(root / f"pictures/{number}.png", number)
        write_mask(root / f"drawn/{number}.png", stripes(0, 7, 255))
        part = ("training", "Validation", "test", "train")[number % 4]
        label = ("benign", "malign")[number % 2]
        lines.append(f"pictures/{number}.png,{label},drawn/{number}.png,{part},p{number // 4},clinic {number % 3}")
    (root / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_joined(root: Path) -> None:
    """Cityscapes in a folder of its own; scenes need none."""
    make_cityscapes(root / "day/cityscapes")

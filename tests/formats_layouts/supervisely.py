"""Projects as Supervisely writes them, with objects whose pixels can be counted by hand."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.formats_layouts.drawn import NUM_IMAGES, SQUARE
from tests.formats_layouts.pictures import SIZE, write_image

CLASSES = {"car": "polygon", "van": "any", "a": "bitmap", "track": "line"}


def figure(kind: str, label: str, exterior: list[list[float]], interior: Any = (), **more: Any) -> dict[str, Any]:
    """An object with points."""
    points = {"exterior": exterior, "interior": list(interior)}
    return {"id": 1, "classId": 2, "geometryType": kind, "classTitle": label, "tags": [], "points": points, **more}


def bitmap(label: str, pixels: np.ndarray, origin: Sequence[int], **changed: Any) -> dict[str, Any]:
    """An object with pixels, packed as the SDK packs them: a PNG whose first colour is transparent."""
    image = Image.fromarray(pixels.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    stream = io.BytesIO()
    image.save(stream, "png", transparency=0)
    data = base64.b64encode(zlib.compress(stream.getvalue())).decode()
    content = {"data": data, "origin": list(origin)} | changed
    return {"id": 1, "classId": 2, "geometryType": "bitmap", "classTitle": label, "tags": [], "bitmap": content}


def write_annotated(dataset: Path, name: str, *objects: dict[str, Any], **changed: Any) -> None:
    """An image and its annotation."""
    write_image(dataset / "img" / name, seed=sum(map(ord, name)))
    content = {"description": "", "tags": [], "size": {"height": SIZE[0], "width": SIZE[1]}, "objects": [*objects]}
    file = dataset / "ann" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content | changed), encoding="utf-8")


def write_meta(project: Path, classes: dict[str, str]) -> None:
    listed = [{"title": name, "shape": shape, "color": "#FF0000", "id": 7} for name, shape in classes.items()]
    content = {"classes": listed, "tags": [], "projectType": "images"}
    (project / "meta.json").write_text(json.dumps(content), encoding="utf-8")


def make_supervisely(root: Path) -> None:
    """A project with one dataset, and the folders that other downloads put beside it."""
    for number in range(NUM_IMAGES):
        write_annotated(root / "ds0", f"{number:02d}.png", figure("polygon", ("car", "van")[number % 2], SQUARE))
    write_meta(root, {"car": "polygon", "van": "any"})
    write_image(root / "ds0/masks_human/00.png", seed=1)

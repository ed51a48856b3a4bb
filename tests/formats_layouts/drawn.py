"""Folders as annotation tools write them, with shapes whose pixels can be counted by hand."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image

from tests.formats_layouts.pictures import SIZE, write_image

NUM_IMAGES = 40
SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5]]


def shape(label: str, points: list[list[float]], kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    """A shape as labelme writes it."""
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def encoded(pixels: np.ndarray) -> str:
    """The pixels of a mask as labelme writes them: a PNG in base64."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


def write_labelme(image: Path, shapes: list[dict[str, Any]], **changed: Any) -> None:
    """An image and its JSON file."""
    write_image(image, seed=len(image.name))
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image.name,
        "imageData": None,
        "imageHeight": SIZE[0],
        "imageWidth": SIZE[1],
    }
    image.with_suffix(".json").write_text(json.dumps(content | changed), encoding="utf-8")


def make_labelme(root: Path) -> None:
    for number in range(NUM_IMAGES):
        label = ("car", "van")[number % 2]
        write_labelme(
            root / f"{number:02d}.png", [shape(label, SQUARE)], flags={"car": number % 2 == 0, "van": number % 2 == 1}
        )


def write_cvat(root: Path, images: dict[str, str], *, attributes: str = "") -> None:
    """`annotations.xml` with the elements of each image, by its name, and the images."""
    elements = []
    for number, (name, content) in enumerate(images.items()):
        write_image(root / "images" / name, seed=number)
        place = f'id="{number}" name={quoteattr(name)} width="{SIZE[1]}" height="{SIZE[0]}" {attributes}'
        elements.append(f"<image {place}>{content}</image>")
    text = f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{"".join(elements)}</annotations>'
    (root / "annotations.xml").write_text(text, encoding="utf-8")


def drawn(tag: str, label: str, order: int = 0, **attributes: object) -> str:
    """An element of a shape as CVAT writes it."""
    rest = " ".join(f"{name}={quoteattr(str(value))}" for name, value in attributes.items())
    return f'<{tag} label="{label}" source="manual" occluded="0" z_order="{order}" {rest}></{tag}>'


def polygon(label: str, points: list[list[float]], order: int = 0) -> str:
    return drawn("polygon", label, order, points=";".join(f"{x:.2f},{y:.2f}" for x, y in points))


def make_cvat(root: Path) -> None:
    labels = [("car", "van")[number % 2] for number in range(NUM_IMAGES)]
    content = [f'{polygon(label, SQUARE)}<tag label="{label}" source="manual"></tag>' for label in labels]
    write_cvat(root, {f"{number:02d}.png": one for number, one in enumerate(content)})


def write_yolo(root: Path, lines: dict[str, str], yaml: str = "names: [car, van]\n") -> None:
    """`data.yaml`, and images with the lines of their labels, by their place below `images/`."""
    for number, (name, text) in enumerate(lines.items()):
        write_image(root / "images" / name, seed=number)
        labels = (root / "labels" / name).with_suffix(".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text(text)
    (root / "data.yaml").write_text(yaml)


def normalised(number: int, points: list[list[float]]) -> str:
    """A line of labels: a class number, and points of an image of the usual size as shares of its sides."""
    return " ".join([str(number), *(f"{x / SIZE[1]} {y / SIZE[0]}" for x, y in points)]) + "\n"


def make_yolo(root: Path) -> None:
    write_yolo(root, {f"{number:02d}.png": normalised(number % 2, SQUARE) for number in range(NUM_IMAGES)})

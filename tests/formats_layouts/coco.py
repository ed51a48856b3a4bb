"""COCO as it lies on disk, with every kind of segmentation it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_masks

from tests.formats_layouts.pictures import SIZE, write_image

CATEGORIES = [
    {"supercategory": "person", "id": 1, "name": "person"},
    {"supercategory": "animal", "id": 18, "name": "dog"},
    {"supercategory": "accessory", "id": 27, "name": "caf\u00e9 chair"},
]
PANOPTIC_CATEGORIES = [{"id": 18, "name": "dog", "isthing": 1}, {"id": 187, "name": "sky-other", "isthing": 0}]


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    """A rectangle as a polygon."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def pixels(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """The same rectangle as uint8 [H, W]."""
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths down the columns, as a crowd has them."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel(order="F")])))
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return {"size": list(mask.shape), "counts": [int(count) for count in counts]}


def compressed(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths as a string."""
    encoded = coco_masks.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def annotations_of(image: int) -> list[dict[str, Any]]:
    """A dog as a polygon, a small person on it compressed, a crowd of people below all; every fourth image is empty."""
    if image % 4 == 3:
        return []
    regions = [(18, box(4, 4, 20, 20), 0), (1, compressed(pixels(8, 8, 12, 12)), 0)]
    regions += [(1, uncompressed(pixels(0, 0, 32, 6)), 1), (27, box(24, 18, 30, 22), 0)]
    return [
        {"id": 10 * image + n, "image_id": image, "category_id": category, "segmentation": region, "iscrowd": crowd}
        | {"area": 1.0, "bbox": [0, 0, 1, 1]}
        for n, (category, region, crowd) in enumerate(regions)
    ]


def make_coco(root: Path, change: Any = lambda content: None) -> None:
    """12 training and 4 validation images; `change` alters the content of both annotation files."""
    (root / "annotations").mkdir(parents=True)
    for split, numbers in (("train2017", range(12)), ("val2017", range(100, 104))):
        images = []
        for number in numbers:
            write_image(root / split / f"{number:012d}.jpg", number)
            size = {"height": SIZE[0], "width": SIZE[1]}
            images.append({"id": number, "file_name": f"{number:012d}.jpg", "license": 3, **size})
        content = {
            "info": {"description": "COCO 2017 Dataset", "year": 2017},
            "licenses": [{"id": 3, "name": "Attribution"}],
            "images": images,
            "annotations": [annotation for number in numbers for annotation in annotations_of(number)],
            "categories": CATEGORIES,
        }
        change(content)
        text = json.dumps(content, ensure_ascii=False)
        (root / f"annotations/instances_{split}.json").write_text(text, encoding="utf-8")


def segments_of(image: int) -> list[dict[str, Any]]:
    """The segments of the masks of `make_panoptic`: sky, and two dogs whose ids take two and three bytes."""
    numbers = ((5, 187), (300, 18), (70003, 18))
    return [
        {"id": id, "category_id": category, "area": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0} for id, category in numbers
    ]


def make_panoptic(root: Path, change: Any = lambda content: None) -> None:
    """12 training and 4 validation images: sky above, two dogs below, and a corner that nobody labelled."""
    ids = np.full(SIZE, 5, np.int32)
    ids[12:, :16], ids[12:, 16:], ids[:2, :3] = 300, 70003, 0
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
    for split, numbers in (("train2017", range(12)), ("val2017", range(100, 104))):
        masks = root / f"annotations/panoptic_{split}"
        masks.mkdir(parents=True)
        images, annotations = [], []
        for number in numbers:
            name = f"{number:012d}"
            write_image(root / split / f"{name}.jpg", number)
            Image.fromarray(colours).save(masks / f"{name}.png")
            images.append({"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]})
            annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments_of(number)})
        content = {"images": images, "annotations": annotations, "categories": PANOPTIC_CATEGORIES}
        content = json.loads(json.dumps(content))
        change(content)
        (root / f"annotations/panoptic_{split}.json").write_text(json.dumps(content), encoding="utf-8")

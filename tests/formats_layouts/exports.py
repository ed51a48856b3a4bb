"""Exports of mask files with a list of their classes, with pixels that can be counted by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.formats_layouts.pictures import stripes, write_image, write_mask

ROBOFLOW_CLASSES = "Pixel Value, Class\n0, background\n1, crack\n2, hole\n"


def make_roboflow_masks(root: Path) -> None:
    """The form of Roboflow's export: a folder for each split, names with digests, a list of classes in each."""
    for split, num in {"train": 12, "valid": 4, "test": 3}.items():
        for number in range(num):
            stem = f"{split}{number // 2}_jpg.rf.{hashlib.md5(bytes([number]), usedforsecurity=False).hexdigest()}"
            write_image(root / f"{split}/{stem}.jpg", number)
            write_mask(root / f"{split}/{stem}_mask.png", stripes(0, 1, 2, 0))
        (root / f"{split}/_classes.csv").write_text(ROBOFLOW_CLASSES)
    (root / "README.roboflow.txt").write_text("Dataset - v1")


LABEL_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncrack:250,50,83::\nwater hole:51,221,255::\n"
COLOURS = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)


def make_cvat_masks(root: Path) -> None:
    """The form of CVAT's export "Segmentation mask 1.1": colours, `labelmap.txt`, and one list for all images."""
    names = [f"street {number // 10}/{number:02d}" for number in range(30)]
    for number, name in enumerate(names):
        write_image(root / f"JPEGImages/{name}.{('jpg', 'png')[number % 2]}", number)
        (root / f"SegmentationClass/{name}.png").parent.mkdir(parents=True, exist_ok=True)
        for kind in ("Class", "Object"):
            (root / f"Segmentation{kind}/{name}.png").parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(COLOURS[stripes(0, 1, 2, 0)]).save(root / f"Segmentation{kind}/{name}.png")
    (root / "labelmap.txt").write_text(LABEL_MAP)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/default.txt").write_text("\n".join(names) + "\n")


def make_labelme_masks(root: Path) -> None:
    """The form of labelme's labelme2voc.py as older versions write it: arrays, pictures beside them, no lists."""
    palette = [channel for index in range(256) for channel in (index, 255 - index, 7)]
    for number in range(30):
        write_image(root / f"JPEGImages/{number:02d}.jpg", number)
        write_mask(root / f"SegmentationClassPNG/{number:02d}.png", stripes(0, 1, 2, 255), palette)
        (root / "SegmentationClass").mkdir(exist_ok=True)
        np.save(root / f"SegmentationClass/{number:02d}.npy", stripes(0, 1, 2, 255).astype(np.int8).astype(np.int32))
        write_image(root / f"SegmentationClassVisualization/{number:02d}.jpg", number)
    (root / "class_names.txt").write_text("_background_\ncrack\nhole\n")

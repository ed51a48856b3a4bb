"""Folders whose images have several mask files each, with pixels that can be counted by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.formats_layouts.pictures import SIZE, write_image, write_mask

NUM_IMAGES = 30
NUCLEI = {"name": "mask_layers", "images": "*/images/*.png", "masks": "{1}/masks/*.png", "classes": ["nucleus"]}
BY_CLASS = {"name": "mask_layers", "images": "images/*.jpg", "masks": "masks/{stem}/{class}.png"}


def box(top: int, left: int, bottom: int, right: int, value: int = 255) -> np.ndarray:
    """A mask of one box, uint8 [24, 32]."""
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = value
    return mask


def make_nuclei(root: Path) -> None:
    """The form of the Data Science Bowl 2018: names are digests, images have a fourth band, a mask is one nucleus."""
    for number in range(NUM_IMAGES):
        name = hashlib.sha256(bytes([number])).hexdigest()
        write_image(root / f"{name}/images/{name}.png", number)
        Image.open(root / f"{name}/images/{name}.png").convert("RGBA").save(root / f"{name}/images/{name}.png")
        for place in range(1 + number % 3):
            digest = hashlib.sha256(bytes([number, place])).hexdigest()
            write_mask(root / f"{name}/masks/{digest}.png", box(2, 8 * place, 6, 8 * place + 5))


def make_by_class(root: Path, hole: int = 255) -> None:
    """A folder of masks for each image, a file for each class that is in it: cracks in all, holes in every third."""
    for number in range(NUM_IMAGES):
        write_image(root / f"images/{number:02d}.jpg", number)
        write_mask(root / f"masks/{number:02d}/crack.png", box(0, 0, 10, 10))
        if number % 3 == 0:
            write_mask(root / f"masks/{number:02d}/hole.png", box(5, 5, 12, 12, hole))

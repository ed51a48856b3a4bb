"""Cityscapes, PASCAL VOC and ADE20K as they lie on disk after they were unpacked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from graft.data.formats.cityscapes import CLASSES
from graft.data.formats.voc_classes import NAMES
from tests.formats_layouts.pictures import SIZE, stripes, write_image, write_mask

CITIES = {
    "train": {"aachen": 3, "bochum": 2, "bremen": 2, "zurich": 3},
    "val": {"frankfurt": 2, "munster": 2},
    "test": {"berlin": 2},
}
LABEL_IDS = tuple(id for _, id, _ in CLASSES)


def make_cityscapes(
    root: Path,
    *,
    train_ids: bool = False,
    size: tuple[int, int] = SIZE,
    values: tuple[int, ...] = (3, *LABEL_IDS),
    painted: bool = False,
) -> None:
    """Each city's frames with the four files gtFine has for one; the masks of test know nothing but the car itself.

    Args:
        root: Made where it does not exist.
        train_ids: Whether the masks are there in train ids, too.
        size: Of every image.
        values: Label ids, in stripes from left to right.
        painted: Whether images show the colours of their labels, in another order each, and not noise alone.
    """
    seed = 0
    for split, cities in CITIES.items():
        for city, num in cities.items():
            for number in range(num):
                seed += 1
                stem = f"{city}_{number:06d}_000019"
                folder = root / "gtFine" / split / city
                image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
                mask = stripes(*values, size=size) if split != "test" else stripes(0, 1, 3, size=size)
                write_image(image, seed, size)
                if painted:
                    mask = stripes(*np.random.default_rng(seed).permutation(values), size=size)
                    write_painted(image, mask, seed)
                write_mask(folder / f"{stem}_gtFine_labelIds.png", mask)
                write_mask(folder / f"{stem}_gtFine_instanceIds.png", mask)
                write_mask(folder / f"{stem}_gtFine_color.png", np.repeat(mask[..., None], 3, axis=2))
                (folder / f"{stem}_gtFine_polygons.json").write_text(json.dumps({"objects": []}))
                if train_ids:
                    table = np.full(256, 255, np.uint8)
                    table[list(LABEL_IDS)] = range(len(LABEL_IDS))
                    write_mask(folder / f"{stem}_gtFine_labelTrainIds.png", table[mask])


def write_painted(path: Path, mask: np.ndarray, seed: int) -> None:
    """Labels in the colours of their classes, with noise."""
    colors = np.zeros((256, 3), np.int64)
    for _, id, color in CLASSES:
        colors[id] = color
    noise = np.random.default_rng(seed).integers(-12, 13, (*mask.shape, 3))
    Image.fromarray(np.clip(colors[mask] + noise, 0, 255).astype(np.uint8)).save(path)


def make_voc(root: Path) -> None:
    """Images of which some are only for detection, palette masks with the rim 255, and the lists."""
    palette = [channel for index in range(256) for channel in (index, 255 - index, 7)]
    stems = [f"2007_{number:06d}" for number in range(12)]
    for number, stem in enumerate([*stems, "2008_000001"]):
        write_image(root / f"JPEGImages/{stem}.jpg", number)
        (root / "Annotations").mkdir(parents=True, exist_ok=True)
        (root / f"Annotations/{stem}.xml").write_text("<annotation/>")
        if stem in stems:
            mask = stripes(0, number % len(NAMES), 20, 255)
            write_mask(root / f"SegmentationClass/{stem}.png", mask, palette)
            write_mask(root / f"SegmentationObject/{stem}.png", mask, palette)
    lists = {"train": stems[:8], "val": stems[8:], "trainval": stems}
    for kind in ("Main", "Segmentation"):
        (root / "ImageSets" / kind).mkdir(parents=True)
    for split, listed in lists.items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("".join(f"{stem}\n" for stem in listed))


def make_ade20k(root: Path) -> None:
    """The two folders of each kind, and the two text files of the archive."""
    for split, short, num in (("training", "train", 8), ("validation", "val", 3)):
        for number in range(1, num + 1):
            stem = f"ADE_{short}_{number:08d}"
            write_image(root / f"images/{split}/{stem}.jpg", number + 100 * num)
            write_mask(root / f"annotations/{split}/{stem}.png", stripes(0, 1, number, 150))
    lines = ["Idx\tRatio\tTrain\tVal\tStuff\tName", *(f"{k}\t0.1\t9\t1\t0\tthing {k}, synonym" for k in range(1, 151))]
    (root / "objectInfo150.txt").write_text("\n".join(lines) + "\n")
    (root / "sceneCategories.txt").write_text("ADE_train_00000001 airport_terminal\n")


def make_stuff(root: Path, maps: str = "annotations") -> None:
    """8 training and 4 validation photographs whose maps are stripes of person, road, wood and unlabelled."""
    for split, first, number in (("train2017", 0, 8), ("val2017", 50, 4)):
        for n in range(first, first + number):
            write_image(root / f"images/{split}/{n:012d}.jpg", n)
            write_mask(root / maps / split / f"{n:012d}.png", stripes(0, 148, 181, 255))

"""Thousands of small street images with masks, no two with the same bytes, cut out of a few hundred scenes."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np

from graft.foundation.progress import progress
from graft.foundation.workers import map_in_order
from graft.scenes import DOMAINS, render

SCENE_PX, IMAGE_PX = (320, 240), (256, 192)


def write_images(folder: Path, num_images: int, num_scenes: int) -> None:
    """Writes `00000.png` or `00001.jpg` in turn, and `00000.mask.png`, up to a thousand to a folder.

    Each is a window of one of `num_scenes` scenes, perhaps mirrored, darker or brighter.
    """
    per_scene = -(-num_images // num_scenes)
    write = functools.partial(_write_windows, folder, per_scene, num_images)
    written = map_in_order(write, range(num_scenes), num_items=num_scenes)
    for _ in progress(written, "Writing images", total=num_scenes, unit="scene"):
        pass


def _write_windows(folder: Path, per_scene: int, num_images: int, number: int) -> None:
    scene = render(7, list(DOMAINS)[number % len(DOMAINS)], number, width=SCENE_PX[0], height=SCENE_PX[1])
    generator = np.random.default_rng(number)
    for place in range(number * per_scene, min((number + 1) * per_scene, num_images)):
        left, top = (int(generator.integers(whole - part + 1)) for whole, part in zip(SCENE_PX, IMAGE_PX, strict=True))
        window = np.s_[top : top + IMAGE_PX[1], left : left + IMAGE_PX[0]]
        image, mask = scene.image[window][..., ::-1], scene.mask[window]
        if generator.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        image = cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=float(generator.uniform(0.7, 1.3)))
        path = folder / f"{place // 1000:03d}"
        path.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path / f"{place:05d}.{('png', 'jpg')[place % 2]}"), image)
        cv2.imwrite(str(path / f"{place:05d}.mask.png"), np.ascontiguousarray(mask))

"""Pictures that are made once per process and mapped onto the world: noise, house fronts."""

from __future__ import annotations

from functools import cache
from typing import cast

import cv2
import numpy as np

from graft.scenes.canvas import BUILDING, LIT, Colour

PIXELS_PER_METRE = 22
NUM_FACADES = 36
_MATERIALS: dict[str, tuple[Colour, ...]] = {
    "brick": ((150, 96, 72), (128, 78, 60), (168, 132, 96), (186, 158, 112), (118, 84, 70)),
    "stone": ((186, 172, 142), (160, 150, 130), (134, 124, 106), (200, 188, 156)),
    "render": ((226, 222, 212), (214, 200, 170), (190, 196, 204), (232, 226, 196), (176, 160, 150), (205, 170, 160)),
    "concrete": ((150, 148, 144), (120, 118, 116), (172, 168, 160)),
    "glass": ((92, 108, 122), (70, 84, 94), (110, 128, 138)),
}
_SHOP_COLOURS = (
    (160, 24, 28),
    (24, 60, 130),
    (20, 84, 54),
    (30, 30, 34),
    (225, 215, 195),
    (200, 120, 20),
    (70, 78, 76),
    (235, 235, 235),
)


@cache
def noise_tile(cells: int, size_px: int = 256, octaves: int = 4) -> np.ndarray:
    """Tiling noise, float32 [size, size], mean 0 and deviation 1."""
    rng = np.random.default_rng([77, cells, size_px])
    total = np.zeros((size_px, size_px), np.float32)
    for octave in range(octaves):
        count = cells * 2**octave
        grid = rng.standard_normal((count, count)).astype(np.float32)
        grid = np.pad(grid, 1, mode="wrap")
        step = size_px / count
        at = (np.arange(size_px, dtype=np.float32) / step + 0.5).astype(np.float32)
        xs, ys = np.meshgrid(at, at)
        total += cv2.remap(grid, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) * 0.6**octave
    return (total - total.mean()) / total.std()


def _wall(rng: np.random.Generator, material: str, height: int, width: int) -> np.ndarray:
    """The bare wall of a material, float32 [h, w, 3]."""
    colours = _MATERIALS[material]
    wall = np.empty((height, width, 3), np.float32)
    wall[:] = colours[rng.integers(len(colours))]
    coarse = cv2.resize(noise_tile(4), (width, height))
    fine = rng.standard_normal((height, width)).astype(np.float32)
    wall *= (1 + 0.06 * coarse + (0.06 if material in ("brick", "stone") else 0.02) * fine)[:, :, None]
    if material in ("brick", "stone"):
        step = 3 if material == "brick" else 9
        wall[::step] *= 0.88
        for row in range(0, height, step * 2):
            wall[row : row + step, :: step * 3] *= 0.9
    return wall


def _window(
    front: np.ndarray,
    lit: np.ndarray,
    rng: np.random.Generator,
    box: tuple[int, int, int, int],
    frame: Colour,
    glow: Colour | None,
) -> None:
    """Draw one window with frame, glazing bars and a reflection; `glow` is the colour of its light at night."""
    x0, y0, x1, y1 = box
    cv2.rectangle(front, (x0 - 1, y0 - 1), (x1 + 1, y1 + 1), frame, -1)
    pane = np.array(rng.choice(((40, 44, 50), (62, 70, 80), (96, 112, 128), (30, 30, 34))), float) * rng.uniform(
        0.7, 1.2
    )
    cv2.rectangle(front, (x0, y0), (x1, y1), tuple(glow or pane), -1)
    if glow is None:
        cv2.line(front, (x0, y1), (x1, y0), tuple(pane * 1.35), 1)
        front[y0 : y0 + max(1, (y1 - y0) // 6), x0:x1] *= 0.75
    else:
        lit[y0 : y1 + 1, x0 : x1 + 1] = LIT
        front[y0 : y0 + max(1, (y1 - y0) // 3), x0:x1] *= rng.uniform(0.6, 1.0)
    if rng.random() < 0.7:
        cv2.line(front, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), frame, 1)
        cv2.line(front, (x0, (y0 + y1) // 2), (x1, (y0 + y1) // 2), frame, 1)
    cv2.rectangle(front, (x0 - 2, y1 + 1), (x1 + 2, y1 + 2), darken_downwards(frame), -1)


def darken_downwards(colour: Colour) -> Colour:
    """A shadowed version of a colour."""
    return cast(Colour, tuple(c * 0.72 for c in colour))


def _glow(rng: np.random.Generator, night: bool, share: float) -> Colour | None:
    if not night or rng.random() > share:
        return None
    warm = np.array(((255, 205, 130), (255, 226, 170), (225, 232, 245))[rng.integers(3)], float)
    return tuple(warm * rng.uniform(0.35, 1.0))


def _shop(front: np.ndarray, lit: np.ndarray, rng: np.random.Generator, night: bool) -> None:
    """Turn the ground floor into a shop with a fascia, a window and a door."""
    height, width = front.shape[:2]
    colour = np.array(_SHOP_COLOURS[rng.integers(len(_SHOP_COLOURS))], float) * rng.uniform(0.8, 1.1)
    top, sill = height - int(3.6 * PIXELS_PER_METRE), height - int(0.5 * PIXELS_PER_METRE)
    board = top + int(0.75 * PIXELS_PER_METRE)
    cv2.rectangle(front, (2, top), (width - 3, height), tuple(colour * 0.75), -1)
    cv2.rectangle(front, (2, top), (width - 3, board), tuple(colour), -1)
    letter = (240, 236, 220) if colour.mean() < 140 else (40, 36, 36)
    left = int(width * rng.uniform(0.1, 0.3))
    for x in range(left, int(width * rng.uniform(0.6, 0.9)), 7):
        if rng.random() < 0.85:
            cv2.rectangle(front, (x, top + 5), (x + int(rng.integers(2, 5)), board - 5), letter, -1)
    if night and rng.random() < 0.4:
        lit[top:board, 2 : width - 3] = LIT
    door = int(width * rng.uniform(0.1, 0.8))
    glow = _glow(rng, night, 0.65)
    for x0 in range(8, width - 20, int(1.9 * PIXELS_PER_METRE)):
        _window(
            front,
            lit,
            rng,
            (x0, board + 4, min(x0 + int(1.7 * PIXELS_PER_METRE), width - 8), sill),
            tuple(colour * 0.6),
            glow,
        )
        for _ in range(3):
            at = (int(x0 + rng.integers(4, 34)), int(rng.integers(board + 14, sill - 4)))
            cv2.circle(
                front,
                at,
                int(rng.integers(2, 6)),
                tuple(rng.uniform(70, 180) * rng.uniform(0.75, 1.25, 3) * (1.0 if not night else 0.7)),
                -1,
            )
    cv2.rectangle(front, (door, board + 4), (door + PIXELS_PER_METRE, height), tuple(colour * 0.4), -1)


def _upper_floors(
    front: np.ndarray, lit: np.ndarray, rng: np.random.Generator, material: str, bottom_m: float, night: bool
) -> None:
    """Draw rows of windows above `bottom_m`."""
    height, width = front.shape[:2]
    storey = rng.uniform(2.7, 3.5)
    pitch = rng.uniform(1.6, 3.4) if material != "glass" else rng.uniform(1.2, 1.6)
    size = (
        (rng.uniform(0.45, 0.65) * pitch, rng.uniform(1.2, 1.9)) if material != "glass" else (pitch * 0.9, storey * 0.8)
    )
    dark = rng.random() < 0.3
    frame = (235, 232, 226) if not dark else (60, 56, 54)
    count = max(1, int((width / PIXELS_PER_METRE - 0.6) / pitch))
    margin = (width / PIXELS_PER_METRE - count * pitch) / 2
    level = bottom_m + 0.9
    while level + size[1] + 0.3 < height / PIXELS_PER_METRE:
        for i in range(count):
            x0 = (margin + i * pitch + (pitch - size[0]) / 2) * PIXELS_PER_METRE
            box = (
                int(x0),
                int(height - (level + size[1]) * PIXELS_PER_METRE),
                int(x0 + size[0] * PIXELS_PER_METRE),
                int(height - level * PIXELS_PER_METRE),
            )
            _window(front, lit, rng, box, frame, _glow(rng, night, 0.3))
        level += storey
    if rng.random() < 0.5:
        course = int(height - (bottom_m + 0.3) * PIXELS_PER_METRE)
        front[max(0, course - 3) : course] *= 1.15


@cache
def facade(index: int, night: bool) -> tuple[list[np.ndarray], tuple[float, float], Colour, Colour]:
    """One house front: a texture pyramid of [h, w, 4], its size in metres, the wall colour and the roof colour."""
    rng = np.random.default_rng([41, index])
    material = ("brick", "render", "brick", "stone", "brick", "concrete", "render", "glass", "stone")[index % 9]
    tall = material in ("concrete", "glass") or rng.random() < 0.15
    width_m, height_m = rng.uniform(5, 15), rng.uniform(9, 17) if tall else rng.uniform(5.6, 10.5)
    height, width = int(height_m * PIXELS_PER_METRE), int(width_m * PIXELS_PER_METRE)
    front = _wall(rng, material, height, width)
    wall = cast(Colour, tuple(float(c) for c in front.mean((0, 1))))
    lit = np.zeros((height, width), np.uint8)
    shop = rng.random() < 0.5
    _upper_floors(front, lit, rng, material, 3.9 if shop else 0.2, night)
    if shop:
        _shop(front, lit, rng, night)
    else:
        door = int(rng.uniform(0.1, 0.8) * width)
        colour = tuple(rng.uniform(30, 90) * rng.uniform(0.7, 1.3, 3))
        cv2.rectangle(
            front, (door, height - int(2.2 * PIXELS_PER_METRE)), (door + PIXELS_PER_METRE, height), colour, -1
        )
    front[:4] *= 0.7
    front[-10:] *= np.linspace(0.95, 0.65, 10, dtype=np.float32)[:, None, None]
    picture = np.dstack([np.clip(front, 0, 255).astype(np.uint8), BUILDING + lit])
    roof = ((84, 80, 84), (110, 70, 56), (96, 90, 84), (70, 66, 66))[rng.integers(4)]
    return _pyramid(picture), (width_m, height_m), wall, roof


def _pyramid(picture: np.ndarray) -> list[np.ndarray]:
    levels = [np.ascontiguousarray(picture)]
    while min(levels[-1].shape[:2]) >= 16:
        last = levels[-1]
        size = (last.shape[1] // 2, last.shape[0] // 2)
        smaller = cv2.resize(last, size, interpolation=cv2.INTER_AREA)
        smaller[:, :, 3] = cv2.resize(last[:, :, 3], size, interpolation=cv2.INTER_NEAREST)
        levels.append(smaller)
    return levels

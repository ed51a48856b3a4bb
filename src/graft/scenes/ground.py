"""The ground and the sky: road, kerbs, pavements, markings, crossings, clouds."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from graft.scenes.camera import Camera
from graft.scenes.canvas import PAVEMENT, ROAD, SKY, TREE, Canvas, Colour, shade
from graft.scenes.layout import END_M, Street
from graft.scenes.lighting import Lighting
from graft.scenes.textures import noise_tile

KERB_M = 0.12


def strip(
    camera: Camera, x0: float, x1: float, z0: float, z1: float, y: float = 0.0, step_m: float = 9.0
) -> np.ndarray | None:
    """Outline [N, 3] of a strip along the road from z0 to z1, cut at the near plane; None when behind the camera."""
    starts = [max(z0, camera.first_visible_z(x)) for x in (x0, x1)]
    if min(z1 - s for s in starts) < 0.05:
        return None
    count = 2 + int((z1 - starts[0]) / step_m)
    outline = np.full((2 * count, 3), y)
    along = np.arange(count) / (count - 1)
    outline[:count, 0], outline[count:, 0] = x0, x1
    outline[:count, 2] = starts[0] + (z1 - starts[0]) * along
    outline[count:, 2] = z1 + (starts[1] - z1) * along
    return outline


def paint_sky(canvas: Canvas, lighting: Lighting, rng: np.random.Generator) -> None:
    """Fill the whole canvas with sky: a gradient and clouds."""
    camera = canvas.camera
    height, width = camera.height_px // 2, camera.width_px // 2
    height = int(np.clip(camera.horizon_px // 2 + 2, 2, height))
    rise = np.clip(1 - np.arange(height) / max(camera.horizon_px / 2, 1), 0, 1).astype(np.float32)[:, None] ** 0.7
    clear = (lighting.sky_low * (1 - rise) + lighting.sky_top * rise).astype(np.float32)
    tile = np.roll(noise_tile(3), tuple(rng.integers(256, size=2)), (0, 1))
    part = tile[: int(rng.integers(100, 256)), : int(rng.integers(90, 200))]
    cover = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    amount = np.clip((cover + 2.2 * lighting.cloudiness - 0.9) * 0.6, 0, 1) * (0.75 if not lighting.night else 0.3)
    base = (lighting.sky_low * (1.08 if lighting.light == "day" else 0.85)).astype(np.float32)
    cloud = 1 - np.float32(rng.uniform(0.0, 0.22)) * np.clip(cover, -1, 1.5)
    planes = [low + (tone * cloud - low) * amount for low, tone in zip(clear.T[:, :, None], base, strict=True)]
    coded = np.clip(cv2.merge([*planes, np.full_like(cover, SKY)]), 0, 255).astype(np.uint8)
    rows = min(2 * height, camera.height_px)
    full = cv2.resize(coded, (camera.width_px, 2 * height), interpolation=cv2.INTER_LINEAR)
    canvas.pixels[:rows] = full[:rows]


def paint_ground(canvas: Canvas, street: Street, lighting: Lighting, rng: np.random.Generator) -> None:
    """Paint road, pavements and markings, and set the ground's depth."""
    camera = canvas.camera
    row = int(np.clip(np.ceil(camera.horizon_px), 0, camera.height_px))
    ground = camera.ground_depth()[row:]
    canvas.depth[row:] = np.minimum(ground, 900.0)
    light = lighting.shade((0, 1, 0))
    tarmac = rng.uniform(54, 108) * np.array((1.0, 1.0, rng.uniform(0.98, 1.08)))
    slabs = rng.uniform(110, 168) * np.array((1.0, rng.uniform(0.94, 1.0), rng.uniform(0.86, 1.0)))
    flat = np.array((*shade(tuple(slabs * 0.9), light), PAVEMENT)).astype(np.uint8)
    canvas.pixels[row:].view(np.uint32)[:] = flat.view(np.uint32)
    _paint_strips(canvas, street, tuple(tarmac), tuple(slabs), light, rng)
    _paint_marks(canvas, street, light, rng)
    _paint_signs_on_road(canvas, street, light, rng)
    if street.crossing_z > 0:
        _paint_crossing(canvas, street, light, rng)


def _lay(canvas: Canvas, bounds: tuple[float, float, float, float], colour: Colour, code: int) -> None:
    _lay_all(canvas, [bounds], colour, code)


def _lay_all(canvas: Canvas, bounds: list[tuple[float, float, float, float]], colour: Colour, code: int) -> None:
    outlines = [strip(canvas.camera, *b) for b in bounds]
    canvas.paint_ground([o for o in outlines if o is not None], colour, code)


def _paint_strips(
    canvas: Canvas, street: Street, tarmac: Colour, slabs: Colour, light: float, rng: np.random.Generator
) -> None:
    half = street.half_width
    far = END_M + 60
    _lay(canvas, (-half, half, -8, far), shade(tarmac, light), ROAD)
    for front in street.fronts:
        if front.kind == "side_street":
            outer = front.side * 60.0
            _lay(
                canvas,
                (min(0, outer), max(0, outer), front.z0 + 1.2, front.z1 - 1.2),
                shade(tarmac, light),
                ROAD,
            )
        elif front.kind == "garden" and front.variant % 3 == 0:
            lawn = shade((86, 108, 52), light)
            left, right = sorted((front.x, front.x + front.side * 14))
            _lay(canvas, (left, right, front.z0, front.z1), lawn, TREE)
    for _ in range(rng.integers(0, 4)):
        x, z = rng.uniform(-half, half - 1), rng.uniform(3, 40)
        patch = shade(tarmac, light * rng.choice((0.8, 0.88, 1.12)))
        _lay(canvas, (x, min(half, x + rng.uniform(0.6, 2)), z, z + rng.uniform(1, 9)), patch, ROAD)
    for side in (-1, 1):
        inner, kerb = side * half, side * (half + KERB_M)
        gaps = [f for f in street.fronts if f.kind == "side_street" and f.side == side]
        bounds = [-8.0, *(z for f in gaps for z in (f.z0 + 1.2, f.z1 - 1.2)), far]
        for z0, z1 in zip(bounds[::2], bounds[1::2], strict=True):
            left, right = sorted((inner, kerb))
            _lay(canvas, (left, right, z0, z1), shade(slabs, light * 1.12), PAVEMENT)
            left, right = sorted((inner - side * 0.35, inner))
            _lay(canvas, (left, right, z0, z1), shade(tarmac, light * 0.8), ROAD)


def _paint_marks(canvas: Canvas, street: Street, light: float, rng: np.random.Generator) -> None:
    """Centre line, edge lines, yellow lines at the kerb, now and then hatching or an arrow box."""
    white, yellow = shade((226, 226, 220), light), shade((208, 176, 66), light)
    half, dash, gap = street.half_width, rng.uniform(1.5, 4), rng.uniform(2, 6)
    wear = rng.uniform(0.75, 1.0)
    white, yellow = shade(white, wear), shade(yellow, wear)
    if street.marking == 3:
        for x in (-0.17, 0.07):
            _lay(canvas, (x, x + 0.1, -4, END_M), white, ROAD)
    else:
        centre = yellow if rng.random() < 0.12 else white
        starts = np.arange(rng.uniform(-2, 4), 70, dash + gap).tolist()
        _lay_all(canvas, [(-0.07, 0.07, z, z + dash) for z in starts], centre, ROAD)
    if street.marking in (1, 2):
        for side in (-1, 1):
            for offset in (0.45, 0.65)[: street.marking]:
                x = side * (half - offset)
                _lay(canvas, (x - 0.05, x + 0.05, -4, END_M), yellow if street.marking == 2 else white, ROAD)
    if rng.random() < 0.35:
        _paint_hatching(canvas, half, white, rng)


def _paint_hatching(canvas: Canvas, half: float, white: Colour, rng: np.random.Generator) -> None:
    """A box with bars across it, in one lane."""
    side, z, length = rng.choice((-1, 1)), rng.uniform(4, 25), rng.uniform(6, 20)
    for x in (half - 2.2, half - 0.5):
        _lay(canvas, (side * x - 0.06, side * x + 0.06, z, z + length), white, ROAD)
    left, right = sorted((side * (half - 2.2), side * (half - 0.5)))
    for at in np.arange(z, z + length + 0.1, length / 3):
        _lay(canvas, (left, right, float(at), float(at) + 0.14), white, ROAD)


def _paint_signs_on_road(canvas: Canvas, street: Street, light: float, rng: np.random.Generator) -> None:
    """An arrow in a lane, zigzag lines at the kerb, or the yellow net of a junction box."""
    half, white = street.half_width, shade((216, 216, 210), light)
    kind, z = int(rng.choice((0, 0, 1, 1, 2, 3, 3, 3, 3, 3, 3))), rng.uniform(5, 14)
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    if kind == 0:
        x = rng.choice((-0.5, 0.5)) * half
        lines = [((x, z), (x, z + 3.2)), ((x - 0.5, z + 2.2), (x, z + 3.4)), ((x + 0.5, z + 2.2), (x, z + 3.4))]
    elif kind == 1:
        side = rng.choice((-1, 1))
        turns = [(side * (half - 0.5 - 0.6 * (i % 2)), z + 2.0 * i) for i in range(9)]
        lines = list(pairwise(turns))
    elif kind == 2:
        white = shade((206, 172, 60), light)
        for i in range(-2, 5):
            start = z + i * 2.2
            lines += [((-half, start), (half, start + 2 * half)), ((half, start), (-half, start + 2 * half))]
    outlines = []
    for (x0, z0), (x1, z1) in lines:
        if min(z0, z1) > canvas.camera.first_visible_z(x0) + 1.5 and z0 > 1.5:
            outlines.append(np.array([(x0 - 0.09, 0, z0), (x0 + 0.09, 0, z0), (x1 + 0.09, 0, z1), (x1 - 0.09, 0, z1)]))
    canvas.paint_ground(outlines, white, ROAD)


def _paint_crossing(canvas: Canvas, street: Street, light: float, rng: np.random.Generator) -> None:
    """A zebra crossing, or the stop line of a signalled one."""
    half, z = street.half_width, street.crossing_z
    white = shade((222, 222, 216), light)
    if rng.random() < 0.6:
        starts = np.arange(-half + 0.3, half - 0.5, 1.1).tolist()
        _lay_all(canvas, [(x, x + 0.55, z, z + 3) for x in starts], white, ROAD)
    else:
        starts = np.arange(-half + 0.2, half - 0.3, 0.7).tolist()
        _lay_all(canvas, [(x, x + 0.35, at, at + 0.2) for at in (z, z + 3) for x in starts], white, ROAD)
    _lay(canvas, (-half, half, z - 2.2, z - 1.9), white, ROAD)


def ground_texture(camera: Camera, scale: float) -> np.ndarray:
    """Noise on the ground plane, float32 [H, W], deviation about 1 near the camera and fading with distance."""
    row = int(np.clip(camera.horizon_px, 0, camera.height_px - 1))
    depth = np.minimum(camera.ground_depth()[row:], 200.0)
    columns = (np.arange(camera.width_px, dtype=np.float32) + 0.5 - camera.width_px / 2) / np.float32(camera.focal_px)
    across = depth * columns[None, :].astype(np.float32)
    cos, sin = np.float32(camera.turn[0]), np.float32(camera.turn[1])
    x, z = across * cos + depth * sin, depth * cos - across * sin
    tile, wrap = noise_tile(32), cv2.BORDER_WRAP
    near = cv2.remap(tile, x * np.float32(scale * 60), z * np.float32(scale * 55), cv2.INTER_LINEAR, borderMode=wrap)
    broad = cv2.remap(tile, x * 11 + 40, z * np.float32(1.6), cv2.INTER_LINEAR, borderMode=wrap)
    texture = np.zeros((camera.height_px, camera.width_px), np.float32)
    texture[row:] = near * np.exp(depth * np.float32(-1 / 14)) + broad * (
        np.float32(0.6) * np.exp(depth * np.float32(-1 / 60))
    )
    return texture

"""Houses, gardens and side streets along the road."""

from __future__ import annotations

import numpy as np

from graft.scenes.canvas import BUILDING, LIT, Canvas, Colour, shade
from graft.scenes.ground import strip
from graft.scenes.layout import END_M, Front, Street
from graft.scenes.lighting import Lighting
from graft.scenes.textures import NUM_FACADES, PIXELS_PER_METRE, facade

SNOW = (236.0, 240.0, 246.0)


def paint_front(canvas: Canvas, front: Front, lighting: Lighting) -> None:
    """Paint one stretch of a side: its house, or what lies behind a side street."""
    if front.kind == "house":
        _paint_house(canvas, front, lighting)
    elif front.kind == "side_street":
        _paint_end_wall(canvas, front, lighting)


def _paint_house(canvas: Canvas, front: Front, lighting: Lighting) -> None:
    """The front, the gable that faces the camera, and the roof."""
    camera = canvas.camera
    levels, _, wall, roof = facade(front.variant % NUM_FACADES, lighting.night)
    height = levels[0].shape[0] / PIXELS_PER_METRE * front.height_scale
    z0 = max(front.z0, camera.first_visible_z(front.x) + 0.02)
    if z0 >= front.z1 - 0.1:
        return
    x, deep = front.x, front.x + front.side * 9.0
    columns = [camera.column_of(x, z0), camera.column_of(x, front.z1), camera.column_of(deep, front.z1)]
    if max(columns) < 0 or min(columns) > camera.width_px:
        return
    gable = front.z0 > camera.first_visible_z(deep) and front.z0 > camera.first_visible_z(x)
    light = lighting.shade((-front.side, 0, 0))
    if gable:
        _paint_gable(canvas, front, deep, height, shade(wall, lighting.shade((0, 0, -1)) * 0.92))
    slope = 0.0 if front.variant % 5 == 0 else 2.4 + front.variant % 3 * 0.5
    if slope:
        colour = SNOW if lighting.weather == "snow" else roof
        ridge = (x + deep) / 2
        if gable:
            triangle = [(x, height, z0), (ridge, height + slope, z0), (deep, height, z0)]
            canvas.fill3d(triangle, shade(wall, lighting.shade((0, 0, -1)) * 0.9), BUILDING)
        slab = [(x, height, z0), (x, height, front.z1), (ridge, height + slope, front.z1), (ridge, height + slope, z0)]
        canvas.fill3d(slab, shade(colour, lighting.shade((-front.side * 0.5, 0.85, 0))), BUILDING)
        if z0 < 60:
            _paint_chimney(canvas, front, ridge, height + slope, shade(wall, light * 0.8))
    share = (z0 - front.z0) / (front.z1 - front.z0)
    if share > 0.02:
        levels = [level[:, int(level.shape[1] * share) :] for level in levels[: max(1, len(levels) - 2)]]
    near, far = (x, z0), (x, front.z1)
    corners = [(near[0], height, near[1]), (far[0], height, far[1]), (far[0], 0, far[1]), (near[0], 0, near[1])]
    canvas.texture(corners, levels, light)


def _paint_gable(canvas: Canvas, front: Front, deep: float, height: float, colour: Colour) -> None:
    quad = [(front.x, height, front.z0), (deep, height, front.z0), (deep, 0, front.z0), (front.x, 0, front.z0)]
    canvas.fill3d(quad, colour, BUILDING)


def _paint_chimney(canvas: Canvas, front: Front, x: float, y: float, colour: Colour) -> None:
    if front.variant % 4 == 1:
        return
    for at in (front.z0 + 0.4, front.z1 - 1.4):
        if canvas.camera.depth_of(x, at) > 2:
            quad = [(x - 0.4, y + 1.1, at), (x + 0.4, y + 1.1, at), (x + 0.4, y - 0.6, at), (x - 0.4, y - 0.6, at)]
            canvas.fill3d(quad, colour, BUILDING)


def _paint_end_wall(canvas: Canvas, front: Front, lighting: Lighting) -> None:
    """The house at the far corner of a side street, which shows its whole side to the camera."""
    camera = canvas.camera
    if camera.depth_of(front.x, front.z1) < 1.5:
        return
    levels, size, _, _ = facade(front.variant % NUM_FACADES, lighting.night)
    height = size[1] * front.height_scale
    for i in range(3):
        near, far = front.x + front.side * size[0] * i, front.x + front.side * size[0] * (i + 1)
        if camera.depth_of(far, front.z1) < 1.5:
            return
        left, right = sorted((near, far))
        corners = [(left, height, front.z1), (right, height, front.z1), (right, 0, front.z1), (left, 0, front.z1)]
        canvas.texture(corners, levels, lighting.shade((0, 0, -1)))


def paint_skyline(canvas: Canvas, street: Street, lighting: Lighting, rng: np.random.Generator) -> None:
    """Low distant houses across the horizon, so that the world does not end where the street does."""
    camera, x, z = canvas.camera, -170.0, END_M + 55
    while x < 170:
        width, height, grey = rng.uniform(8, 24), rng.uniform(4, 13), rng.uniform(90, 150)
        beside = camera.depth_of(x, z) <= 5 or camera.column_of(x, z) > camera.width_px + 4
        if beside or camera.column_of(x + width, z) < -4:
            x += width
            continue
        colour = shade((grey, grey * 0.96, grey * 0.94), lighting.shade((0, 0, -1)))
        quad = [(x, height, z), (x + width, height, z), (x + width, -2, z), (x, -2, z)]
        canvas.fill3d(quad, colour, BUILDING)
        if lighting.night:
            px, depth = canvas.camera.project([(x + width / 2, height * 0.5, z)])
            canvas.disc(px[0], (1.5, 1.5), (220, 180, 110), BUILDING | LIT, float(depth[0]))
        x += width


def cast_shadows(canvas: Canvas, street: Street, lighting: Lighting) -> None:
    """Shadows of the houses on the ground, on the side of the sun."""
    if lighting.direct < 0.3:
        return
    for front in street.fronts:
        if front.kind != "house" or front.side * lighting.sun[0] <= 0.05:
            continue
        length = min(7.5 * front.height_scale / lighting.sun[1], 40.0)
        reach_x, reach_z = -lighting.sun[0] * length, -lighting.sun[2] * length
        left, right = sorted((front.x, front.x + reach_x))
        outline = strip(canvas.camera, left, right, front.z0 + reach_z * 0.5, front.z1 + reach_z * 0.5)
        if outline is not None:
            canvas.shade_ground(outline)

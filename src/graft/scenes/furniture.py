"""Furniture of the pavement: poles, lamps, traffic lights, signs, fences, trees."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from graft.scenes.canvas import FENCE, LIT, POLE, SIGN, TREE, Canvas, Colour, shade
from graft.scenes.layout import Front, Thing
from graft.scenes.lighting import Lighting
from graft.scenes.tree_pictures import NUM_TREES, tree

_GREYS: tuple[Colour, ...] = ((120, 124, 126), (60, 64, 66), (36, 40, 42), (92, 104, 96), (150, 152, 152))
_RED, _BLUE, _WHITE, _INK = (190, 30, 34), (28, 74, 160), (236, 236, 232), (30, 30, 30)


def _post(canvas: Canvas, x: float, z: float, bottom: float, top: float, width_m: float, colour: Colour) -> float:
    """An upright post that is at least a pixel wide; returns its depth in metres."""
    ends, depth = canvas.camera.project([(x, bottom, z), (x, top, z)])
    away, ((foot, low), (head, high)) = float(depth[0]), ends.tolist()
    width = max(2.4, width_m * canvas.camera.focal_px / away)
    half = width / 2
    box = np.array([(foot - half, low), (foot + half, low), (head + half, high), (head - half, high)])
    canvas.fill(box, colour, POLE, away)
    if width > 5:
        box[::3, 0] += width * 0.62
        canvas.fill(box, shade(colour, 0.72), POLE, away)
    return away


def _flat(canvas: Canvas, x: float, y: float, z: float, outline: np.ndarray, colour: Colour, code: int) -> None:
    """A flat shape [N, 2] (metres) that faces the camera."""
    (centre,), (depth,) = canvas.camera.project([(x, y, z)])
    scale = canvas.camera.focal_px / depth
    canvas.fill(centre + outline * (scale, -scale), colour, code, float(depth))


def _regular(corners: int, radius: float, start: float = np.pi / 2) -> np.ndarray:
    turn = start + np.linspace(0, 2 * np.pi, corners + 1)[:-1]
    return radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _box(half_width: float, half_height: float) -> np.ndarray:
    return np.array(
        [(-half_width, -half_height), (half_width, -half_height), (half_width, half_height), (-half_width, half_height)]
    )


_ARROW = np.array([(-0.06, -0.2), (0.06, -0.2), (0.06, 0.05), (0.16, 0.05), (0, 0.24), (-0.16, 0.05), (-0.06, 0.05)])
_EMBLEMS: tuple[tuple[tuple[np.ndarray, Colour], ...], ...] = (
    ((_regular(14, 0.38), _RED), (_regular(14, 0.28), _WHITE), (_box(0.13, 0.1), _INK)),
    ((_regular(3, 0.5), _RED), (_regular(3, 0.32), _WHITE), (_box(0.04, 0.12), _INK)),
    ((_regular(14, 0.38), _BLUE), (_ARROW, _WHITE)),
    ((_box(0.34, 0.46), _WHITE), (_box(0.28, 0.4), _BLUE), (_box(0.12, 0.2), _WHITE)),
)


def paint_lamp(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A lamp post with an arm over the road, or a wooden pole with a cross piece."""
    light = lighting.shade((0, 0, -1))
    wooden = thing.kind == "wooden_pole"
    colour = shade((98, 78, 58) if wooden else _GREYS[thing.variant % 5], light)
    height = 6.0 + thing.variant % 4
    depth = _post(canvas, thing.x, thing.z, 0, height, 0.24 if wooden else 0.15, colour)
    width = max(2.0, 0.1 * canvas.camera.focal_px / depth)
    if wooden:
        ends, _ = canvas.camera.project(
            [(thing.x - 0.7, height - 0.5, thing.z), (thing.x + 0.7, height - 0.5, thing.z)]
        )
        canvas.limb(ends, width, colour, POLE, depth)
        return
    reach = -thing.heading * (1.4 if thing.variant % 3 else 0.3)
    ends, _ = canvas.camera.project([(thing.x, height, thing.z), (thing.x + reach, height + 0.25, thing.z)])
    canvas.limb(ends, width, colour, POLE, depth)
    lit = lighting.lamps_on
    tone = (255, 206, 130) if lit else shade((150, 152, 150), light)
    _flat(canvas, thing.x + reach, height + 0.2, thing.z, _box(0.34, 0.1), tone, POLE | (LIT if lit else 0))
    if lit:
        canvas.lights.append((thing.x + reach, height, thing.z, tone, 1.3))


def paint_sign(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A sign on a post: round, triangular, rectangular, or a direction board."""
    light = lighting.shade((0, 0, -1))
    rng = np.random.default_rng([7, thing.variant])
    kind, size = int(rng.choice((0, 0, 1, 1, 2, 2, 3, 3, 4))), thing.size_m
    height = rng.uniform(2.1, 2.9)
    _post(canvas, thing.x, thing.z, 0, height + 0.25, 0.08, shade(_GREYS[thing.variant % 5], light))
    if kind == 4:
        _paint_board(canvas, thing, height + 0.15, light, rng)
        return
    for outline, colour in _EMBLEMS[kind]:
        _flat(canvas, thing.x, height, thing.z, outline * size, shade(colour, light), SIGN)


def _paint_board(canvas: Canvas, thing: Thing, height: float, light: float, rng: np.random.Generator) -> None:
    """A direction board with three lines of writing."""
    size = thing.size_m
    ground = ((26, 92, 62), _BLUE, _WHITE, (214, 180, 40), (120, 30, 90))[rng.integers(5)]
    _flat(canvas, thing.x, height, thing.z, _box(0.95 * size, 0.55 * size), shade(_WHITE, light), SIGN)
    _flat(canvas, thing.x, height, thing.z, _box(0.9 * size, 0.5 * size), shade(ground, light), SIGN)
    ink = shade(_WHITE if sum(ground) < 500 else (30, 30, 34), light)
    for line in (0.22, -0.02, -0.26):
        words = np.add(_box(0.3 * size, 0.05 * size), (rng.uniform(-0.45, -0.2) * size, 0))
        _flat(canvas, thing.x, height + line * size, thing.z, words, ink, SIGN)


def paint_traffic_light(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A signal head on a post; one of three lamps shines."""
    light = lighting.shade((0, 0, -1))
    _post(canvas, thing.x, thing.z, 0, 3.6, 0.12, shade((50, 54, 56), light))
    _flat(canvas, thing.x, 3.0, thing.z, _box(0.26, 0.58), shade((24, 24, 26), light), SIGN)
    colours = ((255, 50, 40), (255, 180, 40), (60, 255, 130))
    for i, colour in enumerate(colours):
        on = i == thing.variant
        tone = colour if on else shade(colour, 0.22)
        _flat(canvas, thing.x, 3.36 - 0.36 * i, thing.z, _regular(10, 0.13), tone, SIGN | (LIT if on else 0))
    if lighting.lamps_on:
        canvas.lights.append((thing.x, 3.36 - 0.36 * thing.variant, thing.z - 0.1, colours[thing.variant], 0.5))


def paint_bollard(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A black bollard with a white band."""
    light = lighting.shade((0, 0, -1))
    _post(canvas, thing.x, thing.z, 0, 1.0, 0.16, shade((34, 34, 36), light))
    _post(canvas, thing.x, thing.z, 0.75, 0.85, 0.16, shade((220, 220, 214), light))


def paint_fence(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A fence along the road: railings, boards, or a wall with railings on it."""
    camera = canvas.camera
    z0, z1 = max(thing.z, camera.first_visible_z(thing.x) + 0.4), thing.z + thing.size_m
    if z1 - z0 < 0.5:
        return
    rng = np.random.default_rng([8, thing.variant])
    light = lighting.shade((-np.sign(thing.x), 0, 0))
    kind, height = int(rng.integers(4)), rng.uniform(0.95, 1.5)
    colour = shade(((44, 46, 50), (136, 104, 74), (140, 90, 70), (150, 152, 150))[kind], light)
    edges = np.linspace(z0, z1, 2 + int((z1 - z0) / (3.0 if z0 < 15 else 6.0)))
    edges = edges if z0 < 40 else np.array((z0, z1))
    for a, b in list(pairwise(edges.tolist()))[::-1]:
        low, high = ((0, height), (0, height), (0, 0.6), (0, height))[kind]
        if kind in (1, 2):
            panel = [(thing.x, high, a), (thing.x, high, b), (thing.x, low, b), (thing.x, low, a)]
            canvas.fill3d(panel, shade(colour, rng.uniform(0.88, 1.08)), FENCE)
        if kind != 1:
            _railing(
                canvas,
                thing.x,
                (a, b),
                (0.6 if kind == 2 else 0.1, height),
                shade((60, 62, 64), light) if kind == 2 else colour,
            )
        else:
            canvas.fill3d(
                [
                    (thing.x, height, a),
                    (thing.x, height + 0.1, a),
                    (thing.x, height + 0.1, a + 0.1),
                    (thing.x, 0, a + 0.1),
                    (thing.x, 0, a),
                ],
                shade(colour, 0.6),
                FENCE,
            )


def _railing(canvas: Canvas, x: float, span: tuple[float, float], rise: tuple[float, float], colour: Colour) -> None:
    """One bay of a railing. Its gaps show what lies behind but count as fence, as in CamVid."""
    (z0, z1), (low, high) = span, rise
    middle = canvas.camera.depth_of(x, (z0 + z1) / 2)
    num_bars = min(max(int((z1 - z0) * 5 * min(1.0, 10 / max(middle, 1.0))), 1), 14)
    step = (z1 - z0) / num_bars
    bars = [(x, y, i * step + z0) for i in range(num_bars) for y in (low - 0.1, high)]
    pixels, _ = canvas.camera.project([(x, high, z0), (x, high, z1), (x, low, z1), (x, low, z0), *bars])
    width = max(1.6, 0.05 * canvas.camera.focal_px / middle)
    if pixels[:, 0].max() < -width or pixels[:, 0].min() > canvas.camera.width_px + width:
        return
    canvas.relabel(pixels[:4], FENCE, middle)
    lines = [pixels[i : i + 2] for i in range(0, len(pixels), 2)]
    canvas.limbs(lines, width, colour, FENCE, middle)


def paint_tree(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A tree that faces the camera; in snow it is bare and white."""
    (foot,), (depth,) = canvas.camera.project([(thing.x, 0.0, thing.z)])
    if canvas.camera.depth_of(thing.x, thing.z) < 3.0:
        return
    index = thing.variant % NUM_TREES
    index = index - index % 2 if lighting.weather == "snow" and thing.kind == "tree" else index
    picture = tree(index)
    size = thing.size_m * canvas.camera.focal_px / depth
    light = lighting.shade((0.4 * np.sign(lighting.sun[0]), 0.3, -0.6)) * (
        2.0 if lighting.weather == "snow" and index % 2 == 0 else 1.0
    )
    if thing.kind == "bush":
        picture = tree(1 + 2 * (thing.variant % 2))[20:230]
    canvas.sprite(picture, TREE, foot, (size * (1.6 if thing.kind == "bush" else 1.0), size), float(depth), light)
    if lighting.direct > 0.3 and depth > thing.size_m:
        around = np.linspace(0, 2 * np.pi, 11)[:-1]
        blot = np.stack([np.cos(around), np.zeros(10), np.sin(around)], axis=1) * (0.3 * thing.size_m)
        canvas.shade_ground(np.add(blot, (thing.x - lighting.sun[0] * 3, 0, thing.z - lighting.sun[2] * 3)))


def garden_things(front: Front) -> list[Thing]:
    """Trees, bushes and the fence of a garden."""
    rng = np.random.default_rng([9, front.variant])
    things = (
        [Thing("fence", front.x, front.z0, front.variant, size_m=front.z1 - front.z0)] if front.variant % 10 < 5 else []
    )
    bare = rng.random() < 0.62
    for _ in range(max(2, int((front.z1 - front.z0) / 4))):
        x = front.x + front.side * rng.uniform(1.5, 8)
        variant = int(rng.integers(5000)) * 2 + (0 if bare and rng.random() < 0.8 else int(rng.random() < 0.8))
        things.append(
            Thing("tree", x, rng.uniform(front.z0, front.z1), variant, size_m=rng.uniform(6, 14) * front.height_scale)
        )
    for at in np.arange(front.z0 + 0.5, front.z1, 2.4):
        if at < 60 and rng.random() < 0.75:
            things.append(
                Thing(
                    "bush",
                    front.x + front.side * rng.uniform(0.8, 2.5),
                    float(at),
                    int(rng.integers(100)),
                    size_m=rng.uniform(1.2, 2.6),
                )
            )
    return things

"""Vehicles on the road: which colour, which faces the camera sees, their shadow and their lamps."""

from __future__ import annotations

import numpy as np

from graft.scenes.canvas import CAR, LIT, Canvas, Colour, shade
from graft.scenes.layout import Thing
from graft.scenes.lighting import Lighting
from graft.scenes.vehicle_shapes import OUTLINES, Face, solid

_WHITE, _SILVER = (224, 226, 226), (168, 172, 176)
PAINTS: tuple[Colour, ...] = (
    *(_WHITE, _SILVER, _SILVER, (40, 42, 46), (30, 32, 36), (96, 100, 106), (150, 24, 28), (26, 48, 104)),
    *((60, 88, 140), (36, 70, 54), (178, 172, 150), (120, 20, 30), (200, 120, 30), (70, 74, 80)),
)
_KINDS = ("hatchback",) * 7 + ("saloon",) * 4 + ("estate",) * 4 + ("van",) * 3 + ("bus", "truck")


def _colours(variant: int, kind: str, lamps_on: bool) -> dict[str, tuple[Colour, int]]:
    """Colour and class code of each material."""
    paint = (170, 30, 30) if kind == "bus" and variant % 3 else PAINTS[variant // 20 % len(PAINTS)]
    paint = _WHITE if kind == "van" and variant % 5 < 3 else paint
    shine = CAR | LIT if lamps_on else CAR
    return {
        "paint": (paint, CAR),
        "glass": ((44, 52, 60), CAR),
        "sheen": ((92, 104, 116), CAR),
        "dark": ((26, 26, 28), CAR),
        "seam": (shade(paint, 0.55), CAR),
        "tyre": ((22, 22, 23), CAR),
        "hub": ((136, 138, 140), CAR),
        "head": ((255, 250, 232) if lamps_on else (206, 214, 220), shine),
        "tail": ((255, 44, 30) if lamps_on else (168, 24, 22), shine),
        "plate": ((230, 230, 226), CAR),
        "plate_rear": ((226, 196, 60) if variant % 2 else (230, 230, 226), CAR),
    }


def paint_vehicle(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """Paint a vehicle with its shadow, faces far to near, and note its lamps."""
    camera = canvas.camera
    kind = _KINDS[thing.variant % len(_KINDS)]
    reach = 3.0 if kind not in ("bus", "truck") else 5.5
    if camera.depth_of(thing.x, thing.z) < reach + 1.0:
        return
    cos, sin = np.cos(thing.heading), np.sin(thing.heading)
    turn = np.array(((cos, 0, sin), (0, 1, 0), (-sin, 0, cos)))
    place = np.array((thing.x, 0, thing.z))
    _ground_shadow(canvas, kind, turn, place)
    faces, points, ends, centres, normals = solid(kind)
    eye = np.array((camera.x - camera.bend * thing.z**2, camera.y, 0.0)) - place
    facing = (((eye @ turn) - centres) * normals).sum(1) > 0
    spread = np.array((1.0, 0.94 + thing.variant % 7 * 0.02, 0.93 + thing.variant % 11 * 0.014))
    points = (points * spread) @ turn.T + place
    pixels, depth = camera.project(points)
    small = camera.focal_px / camera.depth_of(thing.x, thing.z) < 22
    groups: dict[int, list[tuple[Face, slice]]] = {}
    for face, seen, end in zip(faces, facing.tolist(), ends.tolist(), strict=True):
        if seen and not (small and face.material in ("seam", "hub", "sheen")):
            groups.setdefault(face.group, []).append((face, slice(end - len(face.points), end)))
    colours = _colours(thing.variant, kind, lighting.lamps_on)
    for group in sorted(groups.values(), key=lambda g: (not 10 <= g[0][0].group < 15, -float(depth[g[0][1]].max()))):
        light = lighting.shade(tuple(turn @ group[0][0].normal))
        for face, part in group:
            colour, code = colours[face.material]
            tone = colour if code & LIT else shade(colour, light if face.material != "glass" else 0.6 + 0.5 * light)
            canvas.fill(pixels[part], tone, code, float(depth[part][0]))
            if face.material in ("head", "tail") and lighting.lamps_on:
                canvas.lights.append((*points[part].mean(0), colour, 1.0 if face.material == "head" else 0.45))


def _ground_shadow(canvas: Canvas, kind: str, turn: np.ndarray, place: np.ndarray) -> None:
    half, _, outline = OUTLINES[kind]
    rear, front = outline[0][0], outline[-1][0]
    for grow, strength in ((0.25, 120), (0.0, 235)):
        box = [
            (-half - grow, 0, rear - grow),
            (half + grow, 0, rear - grow),
            (half + grow, 0, front + grow),
            (-half - grow, 0, front + grow),
        ]
        canvas.shade_ground(np.array(box) @ turn.T + place, strength)

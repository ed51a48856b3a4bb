"""Vehicles: an outline seen from the side, extruded, with glass, wheels, lights and plates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from graft.scenes.canvas import CAR, LIT, Canvas, Colour, shaded
from graft.scenes.layout import Thing
from graft.scenes.lighting import Lighting

_WHITE, _SILVER = (224, 226, 226), (168, 172, 176)
PAINTS: tuple[Colour, ...] = (
    *(_WHITE, _SILVER, _SILVER, (40, 42, 46), (30, 32, 36), (96, 100, 106), (150, 24, 28), (26, 48, 104)),
    *((60, 88, 140), (36, 70, 54), (178, 172, 150), (120, 20, 30), (200, 120, 30), (70, 74, 80)),
)
# Outlines run over the top from the rear to the front: (length, height, material of the strip that follows).
OUTLINES: dict[str, tuple[float, float, tuple[tuple[float, float, str], ...]]] = {
    "hatchback": (
        0.86,
        1.0,
        (
            (-1.95, 0.28, "rear"),
            (-1.98, 0.92, "glass"),
            (-1.5, 1.44, "paint"),
            (0.15, 1.48, "glass"),
            (1.0, 0.98, "paint"),
            (1.8, 0.8, "front"),
            (1.98, 0.28, ""),
        ),
    ),
    "saloon": (
        0.88,
        0.98,
        (
            (-2.2, 0.28, "rear"),
            (-2.22, 0.9, "paint"),
            (-1.6, 0.98, "glass"),
            (-0.95, 1.4, "paint"),
            (0.3, 1.43, "glass"),
            (1.1, 0.96, "paint"),
            (2.1, 0.78, "front"),
            (2.25, 0.26, ""),
        ),
    ),
    "estate": (
        0.9,
        1.05,
        (
            (-2.2, 0.32, "rear"),
            (-2.25, 1.0, "glass"),
            (-2.0, 1.55, "paint"),
            (0.3, 1.6, "glass"),
            (1.1, 1.06, "paint"),
            (2.05, 0.9, "front"),
            (2.2, 0.32, ""),
        ),
    ),
    "van": (
        0.97,
        1.15,
        (
            (-2.5, 0.36, "rear"),
            (-2.5, 1.2, "back"),
            (-2.42, 2.0, "paint"),
            (1.1, 2.02, "glass"),
            (1.8, 1.15, "paint"),
            (2.4, 0.95, "front"),
            (2.45, 0.35, ""),
        ),
    ),
    "bus": (
        1.22,
        1.2,
        (
            (-5.0, 0.35, "rear"),
            (-5.0, 1.5, "glass"),
            (-4.95, 2.7, "paint"),
            (-4.9, 3.1, "paint"),
            (4.9, 3.1, "paint"),
            (5.0, 2.7, "glass"),
            (5.05, 1.1, "front"),
            (5.05, 0.35, ""),
        ),
    ),
    "truck": (
        1.2,
        1.3,
        (
            (-4.0, 0.6, "rear"),
            (-4.0, 1.1, "back"),
            (-4.0, 3.2, "paint"),
            (1.6, 3.2, "paint"),
            (1.7, 2.5, "paint"),
            (2.4, 2.5, "glass"),
            (2.9, 1.4, "front"),
            (3.0, 0.45, ""),
        ),
    ),
}
_KINDS = ("hatchback",) * 7 + ("saloon",) * 4 + ("estate",) * 4 + ("van",) * 3 + ("bus", "truck")


@dataclass(frozen=True)
class Face:
    """A flat piece: its points [N, 3], its outward normal, its material; details lie on top of the faces before them."""

    points: np.ndarray
    normal: np.ndarray
    material: str
    group: int


def _quad(
    points: list[tuple[float, float, float]], normal: tuple[float, float, float], material: str, group: int
) -> Face:
    return Face(np.array(points, float), np.array(normal, float), material, group)


@cache
def shape(kind: str) -> tuple[Face, ...]:
    """The faces of a kind of vehicle. Axes: x to its right, y up, z forward, in metres."""
    half, belt, outline = OUTLINES[kind]
    faces: list[Face] = []
    tuck = 0.8 if kind in ("hatchback", "saloon", "estate") else 0.95

    def wide(y: float) -> float:
        return half * (tuck if y > belt + 0.25 else 1.0)

    for group, ((z0, y0, material), (z1, y1, _)) in enumerate(zip(outline, outline[1:], strict=False)):
        normal = np.array((0, z1 - z0, -(y1 - y0)), float)
        normal /= np.linalg.norm(normal)
        w0, w1 = wide(y0), wide(y1)
        body = "paint" if material in ("rear", "front", "glass", "back") else material
        faces.append(_quad([(-w0, y0, z0), (w0, y0, z0), (w1, y1, z1), (-w1, y1, z1)], tuple(normal), body, group))
        faces += _end_details(material, (z0, y0, w0), (z1, y1, w1), normal, group)
    for side in (-1, 1):
        faces += _side_faces(kind, side, 20 + side)
        faces += _tyre_ends(kind, side)
    return tuple(faces)


@cache
def solid(kind: str) -> tuple[tuple[Face, ...], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The faces with all points [P, 3] in one array, where each face's points end [F], and centres and normals [F, 3]."""
    faces = shape(kind)
    ends = np.cumsum([len(f.points) for f in faces])
    centres = np.array([f.points.mean(0) for f in faces])
    return faces, np.concatenate([f.points for f in faces]), ends, centres, np.array([f.normal for f in faces])


def _end_details(
    material: str, low: tuple[float, float, float], high: tuple[float, float, float], normal: np.ndarray, group: int
) -> list[Face]:
    """Windows, lamps, grille, bumper and plate of one strip."""
    (z0, y0, w0), (z1, y1, w1) = low, high

    def piece(u0: float, u1: float, v0: float, v1: float, name: str) -> Face:
        def at(u: float, v: float) -> tuple[float, float, float]:
            return (u * (w0 * (1 - v) + w1 * v), y0 + (y1 - y0) * v, z0 + (z1 - z0) * v)

        return Face(np.array([at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)]), normal, name, group)

    if material == "glass":
        return [piece(-0.88, 0.88, 0.1, 0.9, "glass"), piece(-0.5, 0.2, 0.5, 0.85, "sheen")]
    if material == "back":
        return [
            piece(-0.8, -0.08, 0.3, 0.85, "glass"),
            piece(0.08, 0.8, 0.3, 0.85, "glass"),
            piece(-0.02, 0.02, 0, 1, "dark"),
        ]
    if material == "rear":
        lamps = [piece(-0.98, -0.7, 0.55, 0.92, "tail"), piece(0.7, 0.98, 0.55, 0.92, "tail")]
        return [
            piece(-1, 1, 0, 0.3, "dark"),
            piece(-0.95, 0.95, 0.32, 0.38, "dark"),
            *lamps,
            piece(-0.3, 0.3, 0.42, 0.62, "plate_rear"),
        ]
    if material == "front":
        lamps = [piece(-0.95, -0.58, 0.12, 0.5, "head"), piece(0.58, 0.95, 0.12, 0.5, "head")]
        return [
            piece(-0.5, 0.5, 0.15, 0.45, "dark"),
            piece(-1, 1, 0.78, 1, "dark"),
            *lamps,
            piece(-0.27, 0.27, 0.56, 0.72, "plate"),
        ]
    return []


def _side_faces(kind: str, side: int, group: int) -> list[Face]:
    """Body side, greenhouse, side windows, sill and wheels."""
    half, belt, outline = OUTLINES[kind]
    tuck = 0.8 if kind in ("hatchback", "saloon", "estate") else 0.95
    normal = (float(side), 0.0, 0.0)
    lower = [(z, min(y, belt)) for z, y, _ in outline]
    upper = _above([(z, y) for z, y, _ in outline], belt)
    faces = [_quad([(half * side, y, z) for z, y in lower], normal, "paint", group)]
    top = max(y for _, y in upper)
    faces.append(
        _quad([(half * side * (tuck if y > belt + 0.25 else 1.0), y, z) for z, y in upper], normal, "paint", group)
    )
    for z0, z1, y0, y1 in _windows(kind, belt, top):
        slant = 0.12 * (kind != "bus")
        points = [(z0, y0), (z0 + slant, y1), (z1 - slant * 3, y1), (z1, y0)]
        reach = [half * side * (0.99 if y < belt + 0.25 else tuck + 0.01) for _, y in points]
        faces.append(_quad([(w, y, z) for w, (z, y) in zip(reach, points, strict=True)], normal, "glass", group))
    for z in (-0.1, outline[0][0] * 0.3):
        faces.append(
            _quad(
                [
                    (half * side, 0.4, z),
                    (half * side, belt, z),
                    (half * side, belt, z + 0.03),
                    (half * side, 0.4, z + 0.03),
                ],
                normal,
                "seam",
                group,
            )
        )
    turn = np.linspace(0, 2 * np.pi, 13)[:-1]
    radius = 0.31 if half < 0.95 else 0.45
    for z in (outline[0][0] * 0.64, outline[-1][0] * 0.66):
        for scale, material in ((1.2, "dark"), (1.0, "tyre"), (0.6, "hub")):
            ring = np.stack(
                [
                    np.full(12, (half + 0.01) * side),
                    radius + radius * scale * np.sin(turn),
                    z + radius * scale * np.cos(turn),
                ],
                axis=1,
            )
            ring[:, 1] = np.maximum(ring[:, 1], 0.0)
            faces.append(Face(ring, np.array(normal), material, group))
    return faces


def _above(outline: list[tuple[float, float]], belt: float) -> list[tuple[float, float]]:
    """The part of an outline above the belt line."""
    kept = []
    for (z0, y0), (z1, y1) in zip(outline, [*outline[1:], outline[0]], strict=True):
        kept += [(z0, y0)] if y0 >= belt else []
        if (y0 - belt) * (y1 - belt) < 0:
            kept.append((z0 + (z1 - z0) * (belt - y0) / (y1 - y0), belt))
    return kept


def _tyre_ends(kind: str, side: int) -> list[Face]:
    """What shows of the wheels below the bumpers, from the front and from behind."""
    half, _, outline = OUTLINES[kind]
    faces = []
    radius = 0.31 if half < 0.95 else 0.45
    for z, direction, group in ((outline[0][0] * 0.64 - radius, -1.0, 10), (outline[-1][0] * 0.66 + radius, 1.0, 11)):
        outer, inner = half * side * 0.99, half * side - 0.2 * side
        quad = [(outer, 0, z), (inner, 0, z), (inner, outline[0][1] + 0.1, z), (outer, outline[0][1] + 0.1, z)]
        faces.append(_quad(quad, (0, 0, direction), "tyre", group + 2 * (side > 0)))
    return faces


def _windows(kind: str, belt: float, top: float) -> list[tuple[float, float, float, float]]:
    """Side windows as (z0, z1, y0, y1)."""
    if kind == "bus":
        return [(z, z + 1.1, 1.45, 2.55) for z in np.arange(-4.7, 4.5, 1.25)]
    if kind in ("van", "truck"):
        return [(0.55, 1.75, belt + 0.08, top - 0.15)] if kind == "van" else [(1.8, 2.6, 1.5, 2.3)]
    rear = {"hatchback": -1.6, "saloon": -1.2, "estate": -2.0}[kind]
    return [(rear, -0.35, belt + 0.02, top - 0.09), (-0.28, 0.85, belt + 0.02, top - 0.09)]


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
        "seam": (shaded(paint, 0.55), CAR),
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
    small = camera.focal_px / camera.depth_of(thing.x, thing.z) < 14
    groups: dict[int, list[tuple[Face, slice]]] = {}
    for face, seen, end in zip(faces, facing.tolist(), ends.tolist(), strict=True):
        if seen and not (small and face.material in ("seam", "hub", "sheen")):
            groups.setdefault(face.group, []).append((face, slice(end - len(face.points), end)))
    colours = _colours(thing.variant, kind, lighting.lamps_on)
    for group in sorted(groups.values(), key=lambda g: (not 10 <= g[0][0].group < 15, -float(depth[g[0][1]].max()))):
        light = lighting.shade(tuple(turn @ group[0][0].normal))
        for face, part in group:
            colour, code = colours[face.material]
            tone = colour if code & LIT else shaded(colour, light if face.material != "glass" else 0.6 + 0.5 * light)
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

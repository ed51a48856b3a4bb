"""The bodies of vehicles: an outline seen from the side, extruded into faces with glass, lamps, wheels and plates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

# Outlines run over the top from the rear to the front: (length, height, material of the strip that follows).
# fmt: off
OUTLINES: dict[str, tuple[float, float, tuple[tuple[float, float, str], ...]]] = {
    "hatchback": (0.86, 1.0, (
        (-1.95, 0.28, "rear"), (-1.98, 0.92, "glass"), (-1.5, 1.44, "paint"), (0.15, 1.48, "glass"),
        (1.0, 0.98, "paint"), (1.8, 0.8, "front"), (1.98, 0.28, ""),
    )),
    "saloon": (0.88, 0.98, (
        (-2.2, 0.28, "rear"), (-2.22, 0.9, "paint"), (-1.6, 0.98, "glass"), (-0.95, 1.4, "paint"),
        (0.3, 1.43, "glass"), (1.1, 0.96, "paint"), (2.1, 0.78, "front"), (2.25, 0.26, ""),
    )),
    "estate": (0.9, 1.05, (
        (-2.2, 0.32, "rear"), (-2.25, 1.0, "glass"), (-2.0, 1.55, "paint"), (0.3, 1.6, "glass"),
        (1.1, 1.06, "paint"), (2.05, 0.9, "front"), (2.2, 0.32, ""),
    )),
    "van": (0.97, 1.15, (
        (-2.5, 0.36, "rear"), (-2.5, 1.2, "back"), (-2.42, 2.0, "paint"), (1.1, 2.02, "glass"),
        (1.8, 1.15, "paint"), (2.4, 0.95, "front"), (2.45, 0.35, ""),
    )),
    "bus": (1.22, 1.2, (
        (-5.0, 0.35, "rear"), (-5.0, 1.5, "glass"), (-4.95, 2.7, "paint"), (-4.9, 3.1, "paint"),
        (4.9, 3.1, "paint"), (5.0, 2.7, "glass"), (5.05, 1.1, "front"), (5.05, 0.35, ""),
    )),
    "truck": (1.2, 1.3, (
        (-4.0, 0.6, "rear"), (-4.0, 1.1, "back"), (-4.0, 3.2, "paint"), (1.6, 3.2, "paint"),
        (1.7, 2.5, "paint"), (2.4, 2.5, "glass"), (2.9, 1.4, "front"), (3.0, 0.45, ""),
    )),
}
# fmt: on


@dataclass(frozen=True)
class Face:
    """A flat piece: points [N, 3], outward normal, material; details lie on top of the faces before them."""

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

    for group, ((z0, y0, material), (z1, y1, _)) in enumerate(pairwise(outline)):
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
    """The faces, all their points [P, 3], where each face's points end [F], their centres and normals [F, 3]."""
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
    return faces + _wheel_faces(kind, side, group)


def _wheel_faces(kind: str, side: int, group: int) -> list[Face]:
    """Arch, tyre and hub of the two wheels of a side."""
    half, _, outline = OUTLINES[kind]
    normal, faces = (float(side), 0.0, 0.0), []
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
    """The part of the wheels that shows below the bumpers, from the front and from behind."""
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

"""The layout of a random street as plain facts. Each domain has streets of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from graft.scenes.camera import Camera

END_M = 110.0


@dataclass(frozen=True)
class Thing:
    """Something on the ground. `variant` chooses its looks, `heading` is its turn about the vertical in radians."""

    kind: str
    x: float
    z: float
    variant: int = 0
    heading: float = 0.0
    size_m: float = 1.0


@dataclass(frozen=True)
class Front:
    """A stretch of one side of the street, from z0 to z1: a house, a garden, or the mouth of a side street."""

    kind: str
    side: int
    x: float
    z0: float
    z1: float
    variant: int = 0
    height_scale: float = 1.0


@dataclass
class Street:
    """The whole scene: the road (half width and the two pavements, in metres), what lines it and what is on it."""

    half_width: float
    pavement: tuple[float, float]
    marking: int
    driving_side: int
    crossing_z: float
    fronts: list[Front] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)

    def edge(self, side: int) -> float:
        """Lateral position of the building line on a side (-1 left, 1 right)."""
        return side * (self.half_width + self.pavement[(side + 1) // 2])


def plan_camera(rng: np.random.Generator, street: Street, width_px: int, height_px: int) -> Camera:
    """A camera in a lane or, one time in nine, on the pavement; sizes in pixels."""
    if rng.random() < 0.89:
        x = street.driving_side * street.half_width * rng.uniform(0.2, 0.62)
    else:
        x = street.edge(1 if rng.random() < 0.5 else -1) * 0.86
    yaw = float(np.clip(rng.normal(0, 0.11), -0.32, 0.32)) - 0.03 * np.sign(x)
    return Camera(
        width_px=width_px,
        height_px=height_px,
        focal_px=width_px * rng.uniform(0.8, 1.2),
        x=float(x),
        y=rng.uniform(1.25, 1.9),
        yaw=float(yaw),
        pitch=rng.normal(0.012, 0.045),
        bend=float(rng.normal(0, 0.0011)),
    )


def plan_street(rng: np.random.Generator) -> Street:
    """A random street without a camera."""
    street = Street(
        half_width=rng.uniform(3.1, 5.2),
        pavement=(rng.uniform(2.1, 5.0), rng.uniform(2.1, 5.0)),
        marking=int(rng.integers(4)),
        driving_side=1 if rng.random() < 0.5 else -1,
        crossing_z=rng.uniform(8, 40) if rng.random() < 0.3 else -1.0,
    )
    green = rng.uniform(0.08, 0.5) ** 1.1
    for side in (-1, 1):
        _line_side(rng, street, side, green if rng.random() < 0.7 else 0.7 * rng.random())
    _furnish(rng, street)
    return street


def _line_side(rng: np.random.Generator, street: Street, side: int, green: float) -> None:
    """Line one side with houses, gardens and side streets."""
    z, low = -6.0, rng.uniform(0.8, 1.2)
    terrace = int(rng.integers(10_000)) if rng.random() < 0.3 else -1
    setback = rng.uniform(2.5, 5) if rng.random() < 0.25 else 0.0
    while z < END_M:
        draw, edge = rng.random(), street.edge(side)
        if draw < 0.07 and z > 6:
            street.fronts.append(Front("side_street", side, edge, z, z + 8, int(rng.integers(10_000))))
            z += 8
        elif draw < 0.07 + green:
            length = rng.uniform(8, 22)
            street.fronts.append(
                Front("garden", side, edge, z, z + length, int(rng.integers(10_000)), rng.uniform(0.7, 1.2))
            )
            z += length
        else:
            back = setback + (rng.uniform(0, 0.8) if rng.random() < 0.3 else 0)
            variant = terrace if terrace >= 0 and rng.random() < 0.8 else int(rng.integers(10_000))
            length = rng.uniform(5.5, 15)
            front = Front("house", side, edge + side * back, z, z + length, variant, low * rng.uniform(0.85, 1.25))
            street.fronts.append(front)
            if back > 2 and rng.random() < 0.85:
                street.things.append(Thing("fence", edge, z, variant, size_m=length))
            z += length + (rng.uniform(1, 3) if rng.random() < 0.15 else 0)


def _furnish(rng: np.random.Generator, street: Street) -> None:
    """Lamp posts, wires' poles, signs, traffic lights, kerb railings, street trees and bollards."""
    _add_posts(rng, street)
    _add_signs(rng, street)
    _add_lights_and_railings(rng, street)
    _add_trees_and_bollards(rng, street)


def _add_posts(rng: np.random.Generator, street: Street) -> None:
    spacing, start = rng.uniform(18, 32), rng.uniform(5, 16)
    kind = "lamp" if rng.random() < 0.8 else "wooden_pole"
    variant = int(rng.integers(1000))
    for i in range(6):
        for side in (-1, 1):
            at = start + spacing * (i + 0.5 * (side > 0))
            if at < END_M:
                street.things.append(Thing(kind, side * (street.half_width + 0.5), at, variant, float(side)))


def _add_signs(rng: np.random.Generator, street: Street) -> None:
    for _ in range(rng.integers(3, 7)):
        side = 1 if rng.random() < 0.5 else -1
        x = side * (street.half_width + rng.uniform(0.3, 0.8))
        street.things.append(
            Thing(
                "sign", x, 7 + 45 * rng.random() ** 1.5, int(rng.integers(10_000)), float(side), rng.uniform(0.8, 1.35)
            )
        )


def _add_lights_and_railings(rng: np.random.Generator, street: Street) -> None:
    if rng.random() < 0.35:
        at = rng.uniform(10, 34)
        for side in (-1, 1):
            street.things.append(
                Thing("traffic_light", side * (street.half_width + 0.4), at, int(rng.integers(3)), float(side))
            )
    for _ in range(rng.integers(0, 3)):
        side, at = (1 if rng.random() < 0.5 else -1), rng.uniform(4, 30)
        street.things.append(
            Thing("fence", side * (street.half_width + 0.25), at, int(rng.integers(10_000)), size_m=rng.uniform(6, 18))
        )


def _add_trees_and_bollards(rng: np.random.Generator, street: Street) -> None:
    if rng.random() < 0.3:
        side = 1 if rng.random() < 0.5 else -1
        for at in np.arange(rng.uniform(4, 14), 90, rng.uniform(8, 16)):
            thing = Thing(
                "tree", side * (street.half_width + 0.9), float(at), int(rng.integers(10_000)), size_m=rng.uniform(5, 9)
            )
            street.things.append(thing)
    if rng.random() < 0.25:
        side, at = (1 if rng.random() < 0.5 else -1), rng.uniform(4, 18)
        for i in range(5):
            street.things.append(Thing("bollard", side * (street.half_width + 0.35), at + 1.7 * i, 0))


def populate(rng: np.random.Generator, street: Street, camera: Camera) -> None:
    """Add the traffic and the people, most of them where the camera sees them."""
    _add_vehicles(rng, street)
    _add_people(rng, street, camera)


def _add_vehicles(rng: np.random.Generator, street: Street) -> None:
    """Rows of parked vehicles, and moving ones in both lanes or turning across."""
    things, lane = street.things, street.half_width * 0.5
    side: float
    for side in (-1, 1):
        if rng.random() < 0.5:
            z = rng.uniform(4, 26)
            for _ in range(rng.integers(1, 7)):
                heading = 0.0 if side == street.driving_side else np.pi
                x = side * (street.half_width - 1.0)
                things.append(Thing("vehicle", x, z, int(rng.integers(10_000)), heading + rng.normal(0, 0.02)))
                z += rng.uniform(5.6, 9)
    for _ in range(rng.integers(1, 5)):
        side = 1 if rng.random() < 0.5 else -1
        heading = 0.0 if side == street.driving_side else np.pi
        z = 7 + 60 * rng.random() ** 1.3
        if rng.random() < 0.12:
            heading, side = np.pi / 2 * side + rng.normal(0, 0.15), rng.uniform(-1, 1)
        x = side * lane * rng.uniform(0.85, 1.1)
        things.append(Thing("vehicle", x, z, int(rng.integers(10_000)), heading + rng.normal(0, 0.03)))
    _remove_collisions(street)


def _add_people(rng: np.random.Generator, street: Street, camera: Camera) -> None:
    """Pedestrians, most on the pavement, and bicyclists near the kerb."""
    things = street.things
    for _ in range(rng.integers(2, 9)):
        z, side = 4.5 + 32 * rng.random() ** 1.4, (1 if rng.random() < 0.5 else -1)
        x = side * (street.half_width + rng.uniform(0.3, street.pavement[(side + 1) // 2]))
        if rng.random() < 0.15:
            x = rng.uniform(-1, 1) * street.half_width
        things.append(
            _in_view(rng, camera, "pedestrian", x, z, rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else 0.0)
        )
    for _ in range(rng.integers(1, 5) if rng.random() < 0.75 else 0):
        z, side = 4.5 + 26 * rng.random() ** 1.3, (1 if rng.random() < 0.5 else -1)
        heading = (0.0 if side == street.driving_side else np.pi) + rng.normal(0, 0.2)
        if rng.random() < 0.3:
            heading = np.pi / 2 * side + rng.normal(0, 0.3)
        x = side * (street.half_width - rng.uniform(-0.8, 1.6))
        things.append(_in_view(rng, camera, "bicyclist", x, z, heading))


def _remove_collisions(street: Street) -> None:
    """Keep, of vehicles that would touch, the one that was there first."""
    kept: list[Thing] = []
    for thing in street.things:
        touching = (k for k in kept if k.kind == thing.kind == "vehicle" and _touch(k, thing))
        if next(touching, None) is None:
            kept.append(thing)
    street.things[:] = kept


def _touch(one: Thing, other: Thing) -> bool:
    across = max(abs(np.sin(one.heading)), abs(np.sin(other.heading))) > 0.5
    return abs(one.x - other.x) < (4.5 if across else 2.1) and abs(one.z - other.z) < (4.5 if across else 6.5)


def _in_view(rng: np.random.Generator, camera: Camera, kind: str, x: float, z: float, heading: float) -> Thing:
    """A person, moved further away until inside the picture."""
    for _ in range(6):
        (pixel,), (depth,) = camera.project(np.array([[x, 1.0, z]]))
        if depth > 2.5 and 0.03 < pixel[0] / camera.width_px < 0.97:
            break
        z += 3.5
    return Thing(
        kind, x, z, int(rng.integers(10_000)), heading, rng.uniform(0.92, 1.08) if rng.random() < 0.9 else 0.65
    )

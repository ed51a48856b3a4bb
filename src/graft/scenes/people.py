"""Pedestrians with moving limbs and clothes, and bicyclists from any side."""

from __future__ import annotations

import numpy as np

from graft.scenes.canvas import BICYCLIST, LIT, PEDESTRIAN, Canvas, Colour, shade
from graft.scenes.layout import Thing
from graft.scenes.lighting import Lighting

_SKIN = ((224, 180, 150), (198, 146, 112), (140, 96, 70), (96, 64, 48), (236, 196, 170))
_HAIR = ((40, 30, 24), (86, 58, 36), (170, 136, 84), (120, 118, 116), (24, 22, 22), (200, 200, 196))

_AROUND = np.linspace(0, 2 * np.pi, 9)[:-1]
_OCTAGON = np.stack([np.cos(_AROUND), np.zeros(8), np.sin(_AROUND)], axis=1)


def _clothes(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Colours of coat and trousers; most are dark, some are bright."""
    coat = rng.uniform(20, 80) * np.array((1.0, rng.uniform(0.85, 1.1), rng.uniform(0.85, 1.3)))
    if rng.random() < 0.4:
        coat = np.array(
            (
                (190, 40, 40),
                (50, 90, 160),
                (210, 205, 190),
                (60, 110, 70),
                (215, 215, 50),
                (180, 120, 150),
                (120, 80, 50),
            )[rng.integers(7)]
        )
    trousers = np.array(((36, 40, 56), (30, 30, 32), (66, 74, 100), (104, 92, 74), (60, 58, 56))[rng.integers(5)])
    return tuple(coat), tuple(trousers)


class _Figure:
    """Maps body coordinates (sideways across the picture, up; metres) to pixels."""

    def __init__(self, canvas: Canvas, thing: Thing, code: int, light: float) -> None:
        (foot,), (depth,) = canvas.camera.project([(thing.x, 0.0, thing.z)])
        self.canvas, self.foot, self.depth, self.code, self.light = canvas, foot, float(depth), code, light
        self.scale = canvas.camera.focal_px / self.depth * thing.size_m

    def at(self, points: list[tuple[float, float]]) -> np.ndarray:
        return self.foot + np.array(points) * (self.scale, -self.scale)

    def limb(self, points: list[tuple[float, float]], width_m: float, colour: Colour) -> None:
        self.canvas.limb(self.at(points), width_m * self.scale, shade(colour, self.light), self.code, self.depth)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        self.canvas.fill(self.at(points), shade(colour, self.light), self.code, self.depth)

    def disc(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
        size = (radii[0] * self.scale, radii[1] * self.scale)
        self.canvas.disc(self.at([centre])[0], size, shade(colour, self.light), self.code, self.depth)


def _visible(canvas: Canvas, thing: Thing) -> bool:
    return canvas.camera.depth_of(thing.x, thing.z) > 2.0


def _shadow(canvas: Canvas, thing: Thing, half_m: float) -> None:
    canvas.shade_ground(_OCTAGON * (half_m, 0, 0.3) + (thing.x, 0, thing.z), 150)


def paint_pedestrian(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A person who stands or walks along or across the view."""
    if not _visible(canvas, thing):
        return
    rng = np.random.default_rng([5, thing.variant])
    _shadow(canvas, thing, 0.32)
    light = lighting.shade((0.5 * np.sign(lighting.sun[0]), 0.2, -0.6))
    body = _Figure(canvas, thing, PEDESTRIAN, light)
    coat, trousers = _clothes(rng)
    skin, hair = _SKIN[rng.integers(5)], _HAIR[rng.integers(6)]
    side = abs(np.sin(thing.heading))
    stride = rng.uniform(0.05, 0.36) * (0.35 + 0.65 * side)
    broad = 0.21 - 0.06 * side
    swing = stride * 0.8
    body.limb([(broad * 0.5, 0.86), (stride * 0.6, 0.45), (stride, 0.05)], 0.16, shade(trousers, 0.85))
    body.limb([(-broad * 0.5, 0.86), (-stride * 0.35, 0.45), (-stride, 0.08)], 0.16, trousers)
    for x in (stride, -stride):
        body.limb([(x - 0.04, 0.04), (x + 0.09, 0.04)], 0.08, (30, 26, 24))
    body.limb([(broad, 1.38), (broad + swing * 0.4, 1.1), (broad * 0.7 + swing * 0.8, 0.86)], 0.11, shade(coat, 0.82))
    hem = rng.uniform(0.55, 0.9)
    half = broad * 0.5
    outline = [(-broad, 1.42), (-half, 1.48), (half, 1.48), (broad, 1.42), (broad * 0.9, hem), (-broad * 0.9, hem)]
    body.polygon(outline, coat)
    body.polygon([(0.0, 1.47), (broad * 0.6, 1.45), (broad * 0.7, hem), (broad * 0.2, hem)], shade(coat, 0.86))
    body.limb(
        [(-broad, 1.38), (-broad - swing * 0.4, 1.1), (-broad * 0.7 - swing * 0.7, 0.84)],
        0.11,
        shade(coat, 0.92),
    )
    body.disc((-broad * 0.7 - swing * 0.7, 0.82), (0.05, 0.05), skin)
    body.limb([(0, 1.44), (0, 1.56)], 0.1, skin)
    body.disc((0, 1.64), (0.1, 0.13), hair)
    if rng.random() < 0.6:
        body.disc((0.02, 1.62), (0.075, 0.1), skin)
    if rng.random() < 0.35:
        bag = tuple(rng.uniform(20, 160, 3))
        body.polygon([(broad, 0.95), (broad + 0.22, 0.95), (broad + 0.24, 0.55), (broad, 0.55)], bag)


def paint_bicyclist(canvas: Canvas, thing: Thing, lighting: Lighting) -> None:
    """A person on a bicycle, seen from the side, the front or the back."""
    if not _visible(canvas, thing):
        return
    rng = np.random.default_rng([6, thing.variant])
    _shadow(canvas, thing, 0.55)
    body = _Figure(canvas, thing, BICYCLIST, lighting.shade((0.5 * np.sign(lighting.sun[0]), 0.2, -0.6)))
    along = float(np.sin(thing.heading))
    frame = tuple(rng.uniform(20, 190, 3))
    coat, trousers = _clothes(rng)
    skin, hair = _SKIN[rng.integers(5)], _HAIR[rng.integers(6)]
    _bicycle(body, along, frame)
    _rider(body, along, rng, coat, trousers)
    head = (0.11 * along, 1.66)
    body.disc(head, (0.1, 0.13), skin if np.cos(thing.heading) < 0.3 else hair)
    body.disc((head[0], head[1] + 0.06), (0.11, 0.085), tuple(rng.uniform(20, 220, 3)) if rng.random() < 0.5 else hair)
    if lighting.lamps_on:
        colour = (255, 250, 235) if np.cos(thing.heading) < 0 else (255, 40, 30)
        radius = 0.05 * body.scale
        canvas.disc(body.at([(0.0, 0.8)])[0], (radius, radius), colour, BICYCLIST | LIT, body.depth)
        canvas.lights.append((thing.x, 0.8, thing.z, colour, 0.25))


def _bicycle(body: _Figure, along: float, frame: Colour) -> None:
    """Wheels, frame and handlebar; `along` is 1 or -1 from the side and 0 from the front or the back."""
    _wheels(body, along)
    crank, seat = (0.0, 0.34), (-0.22 * along, 0.92)
    body.limb([(-0.52 * along, 0.34), crank, (0.4 * along, 0.85), seat, crank], 0.05, frame)
    body.limb([seat, (-0.52 * along, 0.34)], 0.04, frame)
    body.limb([(0.4 * along, 0.9), (0.52 * along, 0.34)], 0.05, frame)
    half = _half_bar(along)
    body.limb([(0.42 * along - half, 1.02), (0.42 * along + half, 1.02)], 0.05, (30, 30, 32))


def _half_bar(along: float) -> float:
    return 0.09 + 0.2 * (1 - abs(along))


def _rider(body: _Figure, along: float, rng: np.random.Generator, coat: Colour, trousers: Colour) -> None:
    """Legs, trunk and arms."""
    seat, chest, bar = -0.22 * along, 0.04 * along, 0.42 * along
    knee, spread = rng.uniform(-0.1, 0.1), 0.11 * (1 - abs(along)) + 0.02
    near = [(seat + spread, 0.96), (0.16 * along + spread * 1.4, 0.72 + knee), (0.02 + spread, 0.3 + knee)]
    far = [(seat - spread, 0.96), (0.2 * along - spread * 1.4, 0.7 - knee), (0.02 - spread, 0.28 - knee)]
    body.limb(near, 0.14, shade(trousers, 0.85))
    body.limb(far, 0.14, trousers)
    broad = 0.12 + 0.09 * (1 - abs(along))
    trunk = [(seat - broad, 0.9), (chest - broad, 1.44), (chest, 1.52), (chest + broad, 1.42), (seat + broad, 0.9)]
    body.polygon(trunk, coat)
    for sign in (-1, 1):
        shoulder, hand = chest + sign * broad, bar + sign * _half_bar(along) * 0.9
        body.limb([(shoulder, 1.38), (shoulder + 0.12 * along, 1.14), (hand, 1.04)], 0.1, shade(coat, 0.9))


def _wheels(body: _Figure, along: float) -> None:
    """Two wheels: circles from the side, nearly a line from behind."""
    width = max(abs(along) * 0.34, 0.035)
    for x in (-0.52 * along, 0.52 * along):
        size = (width * body.scale, 0.34 * body.scale)
        centre = body.at([(x, 0.34)])[0]
        if abs(along) < 0.3:
            body.canvas.disc(centre, size, shade((28, 28, 30), body.light), body.code, body.depth)
        else:
            body.canvas.ring(centre, size, 0.05 * body.scale, shade((28, 28, 30), body.light), body.code, body.depth)

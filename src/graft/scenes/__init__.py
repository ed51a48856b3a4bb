"""The procedural street world: images with exact masks and depth, each a pure function of (seed, domain, index, size).

The eleven classes are CamVid's (Brostow et al. 2009, in the order of SegNet's split). Every picture is synthetic.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from graft.foundation.errors import GraftError, suggest
from graft.scenes import buildings, furniture, ground, layout, people, sensor, vehicles, weather
from graft.scenes.canvas import LIT, OVERSAMPLING, SKY, SKY_DEPTH_M, Canvas
from graft.scenes.lighting import Lighting, light_scene

CLASSES: tuple[str, ...] = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign_symbol", "fence", "car", "pedestrian", "bicyclist"),
)
CLASS_COLOURS: tuple[tuple[int, int, int], ...] = (
    *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0)),
    *((192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
)
WEATHERS: tuple[str, ...] = ("clear", "rain", "fog", "snow")
LIGHTS: tuple[str, ...] = ("day", "dusk", "night")
DOMAINS: dict[str, tuple[str, str]] = {
    **{light: (light, "clear") for light in LIGHTS},
    **{weather_: ("day", weather_) for weather_ in WEATHERS[1:]},
    **{f"{light}_{weather_}": (light, weather_) for light in LIGHTS[1:] for weather_ in WEATHERS[1:]},
}
MIN_SIZE_PX = (64, 48)

_PAINTERS = {
    "vehicle": vehicles.paint_vehicle,
    "pedestrian": people.paint_pedestrian,
    "bicyclist": people.paint_bicyclist,
    "lamp": furniture.paint_lamp,
    "wooden_pole": furniture.paint_lamp,
    "sign": furniture.paint_sign,
    "traffic_light": furniture.paint_traffic_light,
    "bollard": furniture.paint_bollard,
    "fence": furniture.paint_fence,
    "tree": furniture.paint_tree,
    "bush": furniture.paint_tree,
}


@dataclass(frozen=True)
class Scene:
    """One picture: image uint8 [H, W, 3] RGB, mask uint8 [H, W] of class ids, depth float32 [H, W] in metres."""

    image: np.ndarray
    mask: np.ndarray
    depth: np.ndarray


def render(seed: int, domain: str, index: int, *, width: int = 256, height: int = 192) -> Scene:
    """Render one picture of a domain; the same arguments give the same bytes in every process.

    Args:
        seed: Which world; not negative.
        domain: A key of `DOMAINS`.
        index: Which picture of it; not negative.
        width: Pixels, at least 64.
        height: Pixels, at least 48.

    Raises:
        GraftError: The domain is unknown, or a number is out of range.
    """
    _check(seed, domain, index, width, height)
    light, weather_ = DOMAINS[domain]
    plan = np.random.default_rng([seed, zlib.crc32(domain.encode()), index])
    looks = np.random.default_rng([seed, zlib.crc32(domain.encode()), index, 1])
    street = layout.plan_street(plan)
    camera = layout.plan_camera(plan, street, width * OVERSAMPLING, height * OVERSAMPLING)
    layout.populate(plan, street, camera)
    lighting = light_scene(looks, light, weather_)
    canvas = Canvas(camera)
    ground.paint_sky(canvas, lighting, looks)
    ground.paint_ground(canvas, street, lighting, looks)
    buildings.paint_skyline(canvas, street, lighting, looks)
    buildings.cast_shadows(canvas, street, lighting)
    _paint_things(canvas, street, lighting)
    return _develop(canvas, lighting, looks)


def _check(seed: int, domain: str, index: int, width: int, height: int) -> None:
    if domain not in DOMAINS:
        raise GraftError(
            f"unknown scenes domain '{domain}'",
            rule=f"the domains are {', '.join(DOMAINS)}",
            remedy=suggest(domain, DOMAINS),
        )
    if min(seed, index) < 0:
        raise GraftError(
            f"seed {seed}, index {index}: negative", rule="seed and index are 0 or more", remedy="use numbers from 0 on"
        )
    if width < MIN_SIZE_PX[0] or height < MIN_SIZE_PX[1]:
        raise GraftError(
            f"a scene of {width}x{height} px is too small",
            rule=f"scenes are at least {MIN_SIZE_PX[0]}x{MIN_SIZE_PX[1]} px",
            remedy="ask for a larger size",
        )


def _paint_things(canvas: Canvas, street: layout.Street, lighting: Lighting) -> None:
    """Paint houses and things from far to near."""
    camera = canvas.camera
    things = list(street.things)
    for front in street.fronts:
        things += furniture.garden_things(front) if front.kind == "garden" else []
    jobs: list[tuple[float, Callable[..., None], layout.Front | layout.Thing]] = []
    for front in street.fronts:
        if front.kind != "garden":
            jobs.append((camera.depth_of(front.x, front.z1) + 0.5, buildings.paint_front, front))
    for thing in things:
        away = camera.depth_of(thing.x, thing.z + (thing.size_m / 2 if thing.kind == "fence" else 0))
        if 1.2 < away < 130 and _near_frame(canvas, thing, away):
            jobs.append((away, _PAINTERS[thing.kind], thing))
    for _, painter, what in sorted(jobs, key=lambda job: -job[0]):
        painter(canvas, what, lighting)


def _near_frame(canvas: Canvas, thing: layout.Thing, away: float) -> bool:
    """Whether a thing may reach into the picture."""
    if thing.kind in ("fence", "vehicle"):
        return True
    margin = canvas.camera.focal_px * max(2.0, thing.size_m * 0.6) / away
    return -margin < canvas.camera.column_of(thing.x, thing.z) < canvas.camera.width_px + margin


def _develop(canvas: Canvas, lighting: Lighting, rng: np.random.Generator) -> Scene:
    """Scale the canvas down and turn it into a photograph."""
    camera = canvas.camera.scaled(1 / OVERSAMPLING)
    codes = np.ascontiguousarray(canvas.pixels[::OVERSAMPLING, ::OVERSAMPLING, 3])
    depth = np.ascontiguousarray(canvas.depth[::OVERSAMPLING, ::OVERSAMPLING])
    mask = codes & (LIT - 1)
    depth[mask == SKY] = SKY_DEPTH_M
    lit = (codes >= LIT).astype(np.float32)
    small = cv2.resize(canvas.pixels, (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA)
    image = cv2.cvtColor(small, cv2.COLOR_RGBA2RGB).astype(np.float32)
    image = weather.dress_ground(image, mask, np.maximum(canvas.shadow, canvas.contact), camera, lighting, rng)
    image = weather.darken(image, lit, depth, camera, canvas.lights, lighting, rng)
    if lighting.weather == "rain":
        image = weather.reflect_wet(image, mask, camera, rng)
    image = weather.add_fog(image, depth, lighting, rng)
    image = weather.glow(image, lit, camera, canvas.lights, mask, depth, lighting)
    if lighting.weather in ("rain", "snow"):
        image = weather.draw_falling(image, lighting, rng)
    return Scene(sensor.expose(image, lighting, rng), mask, depth)

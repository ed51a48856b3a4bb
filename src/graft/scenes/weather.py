"""From flat colours to a photograph: ground texture, shadows, lamps, fog, rain, snow and drops on the lens."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from graft.scenes.camera import Camera
from graft.scenes.canvas import PAVEMENT, ROAD, SKY_DEPTH_M, Colour, scale_image
from graft.scenes.ground import ground_texture
from graft.scenes.lighting import Lighting
from graft.scenes.textures import noise_tile

Light = tuple[float, float, float, Colour, float]


def dress_ground(
    image: np.ndarray,
    mask: np.ndarray,
    shadow: np.ndarray,
    camera: Camera,
    lighting: Lighting,
    rng: np.random.Generator,
) -> np.ndarray:
    """Texture and shadow the ground, float32 [H, W, 3] in 0..255; wet ground darkens, snow covers it."""
    ground = ((mask == ROAD) | (mask == PAVEMENT)).astype(np.float32)
    noise = ground_texture(camera, rng.uniform(0.7, 1.3))
    if lighting.weather == "snow":
        cover = np.clip(0.82 + 0.2 * noise - np.float32(rng.uniform(0.1, 0.5)) * (mask == ROAD), 0.08, 0.95) * ground
        white = np.float32(200 * lighting.shade((0, 1, 0)))
        image += scale_image(white - image, cover)
    factor = 1 + rng.uniform(0.02, 0.07) * noise * ground
    dark = cv2.GaussianBlur(shadow, (5, 5), 0).astype(np.float32) * np.float32(1 / 255)
    depth_of_shade = 0.72 * (1 - 0.42 * lighting.ambient)
    factor *= 1 - depth_of_shade * dark * ground
    if lighting.weather == "rain":
        factor *= 1 - 0.3 * ground
    return scale_image(image, factor)


def reflect_wet(image: np.ndarray, mask: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Mirror the scene in wet ground: the rows above the horizon, flipped, smeared and rippled."""
    height, width = mask.shape
    horizon = int(np.clip(camera.horizon_px, 1, height - 2))
    below = height - horizon
    rows = np.clip(horizon - 1 - (np.arange(below) * 0.8).astype(int), 0, height - 1)
    mirror = cv2.blur(image[rows], (max(3, width // 85), max(3, height // 14)))
    ripple = cv2.resize(noise_tile(16)[: min(128, below * 2), :128], (width, below))
    wet = (mask[horizon:] == ROAD) * 0.42 + (mask[horizon:] == PAVEMENT) * 0.24
    wet = np.clip(wet * (1 + 0.35 * ripple) * rng.uniform(0.8, 1.2), 0, 0.7).astype(np.float32)
    scale_image(image[horizon:], 1 - wet)
    image[horizon:] += scale_image(mirror, wet) * np.float32(1.1)
    return image


def darken(
    image: np.ndarray,
    lit: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    lights: list[Light],
    lighting: Lighting,
    rng: np.random.Generator,
) -> np.ndarray:
    """Take the daylight away and let lamps and our own head-lights shine; surfaces that shine keep their colour."""
    if lighting.light == "day":
        return image
    height, width = depth.shape
    night = lighting.light == "night"
    base = np.array((0.16, 0.165, 0.195) if night else (0.52, 0.53, 0.6), np.float32) * np.float32(
        rng.uniform(0.75, 1.35)
    )
    small = cv2.resize(depth, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
    columns = (np.arange(width // 2, dtype=np.float32) * 2 + 1 - width / 2) / camera.focal_px
    rows = (camera.horizon_px - np.arange(height // 2, dtype=np.float32) * 2 - 1) / camera.focal_px
    right, up = small * columns[None, :], small * rows[:, None] + np.float32(camera.y)
    beam = np.exp(-((columns[None, :] / 0.3) ** 2)) * np.exp(-(((rows[:, None] + 0.1) / 0.13) ** 2))
    pools = [(beam * np.float32(0.95 if night else 0.35) / (1 + (small / 22) ** 2), (1.0, 0.97, 0.88))]
    lamps = sorted((light for light in lights if light[1] > 4), key=lambda light: light[2])[:5]
    for x, y, z, colour, strength in lamps:
        local = camera.to_camera(np.array([[x, y, z]]))[0].astype(np.float32)
        distance = (right - local[0]) ** 2 + ((up - np.float32(y)) * 0.7) ** 2 + (small - local[2]) ** 2
        pool = np.float32((0.55 if night else 0.22) * strength) / np.square(1 + distance * np.float32(1 / 45))
        pools.append((pool, cast(Colour, tuple(c / 255 for c in colour))))
    planes = [sum((pool * colour[c] for pool, colour in pools), start=base[c]) for c in range(3)]
    field = cv2.resize(np.minimum(cv2.merge(planes), 1.5), (width, height), interpolation=cv2.INTER_LINEAR)
    keep = np.maximum(lit, (depth >= SKY_DEPTH_M * 0.99).astype(np.float32))
    return cv2.multiply(image, cv2.max(field, cv2.merge((keep, keep, keep))), dst=image)


def glow(
    image: np.ndarray,
    lit: np.ndarray,
    camera: Camera,
    lights: list[Light],
    mask: np.ndarray,
    depth: np.ndarray,
    lighting: Lighting,
) -> np.ndarray:
    """Bloom around what shines, and long streaks of it on wet ground."""
    if lighting.light == "day":
        return image
    height, width = mask.shape
    haze = 1.6 if lighting.weather in ("fog", "rain") else 1.0
    seen = [light for light in lights if _is_seen(light, camera, depth)]
    halo = _halos(seen, camera, haze)
    if lighting.weather == "rain":
        wet = ((mask == ROAD) | (mask == PAVEMENT)).astype(np.float32)
        image += scale_image(_streaks(seen, camera), wet)
    lamps = cv2.resize(scale_image(image.copy(), lit), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    bloom = cv2.GaussianBlur(lamps, (0, 0), max(1.0, width / 110))
    shine = cv2.addWeighted(bloom, 0.5 * haze, halo, 0.8 if lighting.night else 0.35, 0)
    return cv2.add(image, cv2.resize(shine, (width, height)), dst=image)


def _is_seen(light: Light, camera: Camera, depth: np.ndarray) -> bool:
    """Whether a lamp is inside the picture and nothing stands more than 2 m before it."""
    (spot,), (far,) = camera.project([light[:3]])
    column, row = int(spot[0]), int(spot[1])
    return 0 <= column < camera.width_px and 0 <= row < camera.height_px and depth[row, column] >= far - 2.0


def _halos(lights: list[Light], camera: Camera, haze: float) -> np.ndarray:
    """A small bright and a wide faint halo around each lamp, float32 at a quarter of the size."""
    unit = camera.width_px / 256
    height, width = camera.height_px // 4, camera.width_px // 4
    halo = np.zeros((height, width, 3), np.float32)
    for x, y, z, colour, strength in lights:
        (spot,), (far,) = camera.project([(x, y, z)])
        power = np.float32(strength * unit / (0.4 + far / 16))
        row, column = min(int(spot[1]) // 4, height - 1), min(int(spot[0]) // 4, width - 1)
        halo[row, column] += np.array(colour, np.float32) * power
    wide = cv2.GaussianBlur(halo, (0, 0), unit * 5.5 * haze) * np.float32(26 * haze)
    return cv2.GaussianBlur(halo, (0, 0), unit * 1.6) * np.float32(4) + wide


def _streaks(lights: list[Light], camera: Camera) -> np.ndarray:
    """The long reflections of lamps in wet ground, float32 [H, W, 3]."""
    height, width = camera.height_px, camera.width_px
    streaks = np.zeros((height // 2, width // 2, 3), np.float32)
    for x, y, z, colour, strength in lights:
        (spot,), (far,) = camera.project([(x, y, z)])
        foot = int(camera.horizon_px + camera.focal_px * (camera.y + y) / far)
        start = max(int(camera.horizon_px + camera.focal_px * camera.y / far), 0)
        column = int(spot[0]) // 2
        ends = ((column, start // 2), (column, min(height - 1, foot + height // 12) // 2))
        thickness = max(1, int(width / 64 * strength / (1 + far / 12)))
        cv2.line(streaks, *ends, tuple(0.8 * strength * c for c in colour), thickness)
    kernel = (max(3, width // 64) | 1, max(3, height // 20) | 1)
    return cv2.resize(cv2.GaussianBlur(streaks, kernel, 0), (width, height)) * np.float32(1.1)


def add_fog(image: np.ndarray, depth: np.ndarray, lighting: Lighting, rng: np.random.Generator) -> np.ndarray:
    """Beer-Lambert: what is left of a colour after `depth` metres, and the airlight in its place."""
    visibility = {"fog": rng.uniform(22, 75), "rain": rng.uniform(90, 220), "snow": rng.uniform(60, 180)}.get(
        lighting.weather
    )
    visibility = visibility or rng.uniform(250, 1500)
    clear = cv2.exp(np.minimum(depth, np.float32(400.0)) * np.float32(-1.0 / visibility))
    if lighting.weather != "fog":
        clear = np.where(depth >= SKY_DEPTH_M * 0.99, np.maximum(clear, np.float32(0.85)), clear)
    air = (lighting.sky_low * (1.25 if lighting.night else 0.96)).astype(np.float32)
    airlight = (*air.tolist(), 0.0)
    return cv2.add(scale_image(cv2.subtract(image, airlight), clear), airlight)  # type: ignore[call-overload]  # a scalar


def draw_falling(image: np.ndarray, lighting: Lighting, rng: np.random.Generator) -> np.ndarray:
    """Streaks of rain with drops on the lens, or flakes of snow."""
    height, width = image.shape[:2]
    veil: np.ndarray = np.zeros((height, width), np.uint8)
    unit = width / 256
    if lighting.weather == "rain":
        slant = rng.normal(0, 0.16)
        starts = rng.uniform((0, -0.1), (1, 1), (int(rng.integers(90, 320)), 2)) * (width, height)
        lengths = rng.uniform(4, 20, len(starts)) * unit
        ends = starts + np.stack([slant * lengths, lengths], axis=1)
        lines = np.rint(np.stack([starts, ends], axis=1) * 16).astype(np.int32)
        cv2.polylines(veil, list(lines), False, 255, max(1, int(0.7 * unit)), cv2.LINE_AA, 4)
        veil = cv2.blur(veil, (1, max(1, int(5 * unit))))
        opacity = rng.uniform(0.12, 0.38)
    else:
        flakes = rng.uniform(0, 1, (int(rng.integers(140, 520)), 2)) * (width, height)
        for x, y in (flakes * 16).astype(int).tolist():
            cv2.circle(veil, (x, y), int((5 + (x * 7919 + y) % 17) * unit), 255, -1, cv2.LINE_8, 4)
        veil = cv2.GaussianBlur(veil, (3, 3), 0)
        opacity = rng.uniform(0.55, 0.9)
    alpha = veil.astype(np.float32) * np.float32(opacity / 255)
    bright = np.float32({"day": 226, "dusk": 150, "night": 92}[lighting.light])
    image += scale_image(bright - image, alpha)
    return _lens_drops(image, rng) if lighting.weather == "rain" and rng.random() < 0.6 else image


def _lens_drops(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drops on the lens show the scene blurred and upside down."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    blurred = cv2.blur(small, (max(1, width // 56), max(1, height // 56)))
    for _ in range(rng.integers(2, 11)):
        column, row = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        radius = max(2.0, width * rng.uniform(0.006, 0.028))
        reach = int(radius * 1.6) + 1
        x0, x1, y0, y1 = (
            max(column - reach, 0),
            min(column + reach, width),
            max(row - reach, 0),
            min(row + reach, height),
        )
        across, down = np.arange(x0, x1) - column, np.arange(y0, y1) - row
        away = np.hypot(across[None, :], down[:, None] * rng.uniform(0.7, 1.0)) / radius
        alpha = (0.55 * np.clip(3 - 2.5 * away, 0, 1)).astype(np.float32)[:, :, None]
        rows, columns = (height - 1 - np.arange(y0, y1)) // 4, np.arange(x0, x1) // 4
        seen = blurred[np.minimum(rows, len(blurred) - 1)[:, None], np.minimum(columns, blurred.shape[1] - 1)]
        image[y0:y1, x0:x1] += (seen * np.float32(1.05) + 6 - image[y0:y1, x0:x1]) * alpha
    return image

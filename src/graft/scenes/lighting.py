"""The light of a scene: one choice of sun, sky and exposure per image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Lighting:
    """The light of a scene. `sun` is a unit vector towards the sun; `ambient` and `direct` weigh the two lights."""

    light: str
    weather: str
    sun: np.ndarray
    ambient: float
    direct: float
    sky_top: np.ndarray
    sky_low: np.ndarray
    cloudiness: float
    tint: np.ndarray
    _shades: dict[tuple[float, float, float], float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def night(self) -> bool:
        """Whether lamps are lit and windows glow."""
        return self.light == "night"

    @property
    def lamps_on(self) -> bool:
        """Whether vehicles and street lamps shine."""
        return self.light != "day"

    def shade(self, normal: tuple[float, float, float]) -> float:
        """Brightness of a surface with this outward normal; most of a scene's surfaces share a few normals."""
        known = self._shades.get(normal)
        if known is None:
            facing = max(0.0, float(np.dot(self.sun, normal)))
            known = self._shades[normal] = self.ambient * (0.9 + 0.1 * normal[1]) + self.direct * facing
        return known


def light_scene(rng: np.random.Generator, light: str, weather: str) -> Lighting:
    """Draw the light for a domain."""
    sunny = light == "day" and weather in ("clear", "snow") and rng.random() < (0.6 if weather == "clear" else 0.3)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.95)
    sun = np.array((np.cos(azimuth) * np.cos(elevation), np.sin(elevation), np.sin(azimuth) * np.cos(elevation)))
    low_sun = sunny and elevation < 0.45
    direct = rng.uniform(0.5, 0.95) if sunny else rng.uniform(0.0, 0.12) * (light == "day")
    ambient = rng.uniform(0.4, 0.66) if sunny else rng.uniform(0.72, 0.98)
    tint = np.array((1.05, 1.0, 0.92)) if low_sun else np.array((1.0, 1.0, 1.0)) + rng.normal(0, 0.015, 3)
    cloudiness = rng.uniform(0.0, 0.6) if sunny else rng.uniform(0.6, 1.0)
    top, low = _sky_colours(rng, light, weather, sunny)
    return Lighting(light, weather, sun, ambient, direct, top, low, cloudiness, tint)


def _sky_colours(rng: np.random.Generator, light: str, weather: str, sunny: bool) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the zenith and of the horizon, 0..255."""
    if light == "night":
        glow = rng.uniform(0.6, 1.5)
        return np.array((9, 11, 20)) * glow, np.array((40, 33, 30)) * glow
    if light == "dusk":
        warm = rng.uniform(0, 1) if weather == "clear" else 0.12
        low = np.array((150, 142, 148)) * (1 - warm) + np.array((240, 160, 100)) * warm
        return np.array((58, 70, 104)) * rng.uniform(0.8, 1.4), low * rng.uniform(0.8, 1.0)
    if weather in ("rain", "fog", "snow") and not sunny:
        grey = rng.uniform(150, 215)
        return np.array((0.93, 0.97, 1.0)) * grey * 0.9, np.array((0.98, 0.99, 1.0)) * grey * 1.05
    if sunny:
        return np.array((90, 142, 208)) * rng.uniform(0.85, 1.25), np.array((214, 228, 240)) * rng.uniform(0.92, 1.1)
    grey = rng.uniform(165, 252)
    return np.array((0.95, 0.98, 1.0)) * grey, np.array((1.0, 1.0, 0.99)) * min(255, grey * 1.08)

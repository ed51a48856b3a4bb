"""A pinhole camera that stands in a street and may look along a gently bending road."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

NEAR_M = 0.6
_LIMIT_PX = 6000.0


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how it looks. World axes: x to the right, y up, z along the road, in metres."""

    width_px: int
    height_px: int
    focal_px: float
    x: float
    y: float
    yaw: float
    pitch: float
    bend: float

    def scaled(self, factor: float) -> Camera:
        """The same view in another resolution."""
        size = (round(self.width_px * factor), round(self.height_px * factor))
        return replace(self, width_px=size[0], height_px=size[1], focal_px=self.focal_px * factor)

    @property
    def horizon_px(self) -> float:
        """Row of the horizon."""
        return self.height_px / 2 - self.focal_px * np.tan(self.pitch)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points [N, 3] to camera axes [N, 3]: right, up, forward (metres)."""
        x = points[:, 0] + self.bend * points[:, 2] ** 2 - self.x
        z = points[:, 2]
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([x * cos - z * sin, points[:, 1] - self.y, x * sin + z * cos], axis=1)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [N, 3] to pixels [N, 2] and depths [N] in metres (pitch shifts the image, verticals stay upright)."""
        local = self.to_camera(np.asarray(points, dtype=np.float64))
        depth = np.maximum(local[:, 2], NEAR_M * 0.5)
        pixels = np.empty((len(local), 2))
        pixels[:, 0] = self.width_px / 2 + self.focal_px * local[:, 0] / depth
        pixels[:, 1] = self.horizon_px - self.focal_px * local[:, 1] / depth
        return np.clip(pixels, -_LIMIT_PX, _LIMIT_PX), depth

    def depth_of(self, x: float, z: float) -> float:
        """Forward distance in metres of a point on the ground; negative behind the camera."""
        return (x + self.bend * z * z - self.x) * np.sin(self.yaw) + z * np.cos(self.yaw)

    def first_visible_z(self, x: float) -> float:
        """Smallest z at which a line along the road at lateral x lies in front of the near plane."""
        return (NEAR_M - (x - self.x) * np.sin(self.yaw)) / np.cos(self.yaw)

    def ground_depth(self) -> np.ndarray:
        """Depth in metres of the ground plane for each row [H, 1]; infinite above the horizon."""
        rows = np.arange(self.height_px, dtype=np.float32)[:, None] + 0.5 - self.horizon_px
        with np.errstate(divide="ignore"):
            return np.where(rows > 0, self.focal_px * self.y / np.maximum(rows, 1e-3), np.inf).astype(np.float32)

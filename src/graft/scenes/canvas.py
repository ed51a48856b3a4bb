"""The canvas of all painters: colour, class and depth are filled by the same polygons, at twice the final size."""

from __future__ import annotations

from itertools import accumulate

import cv2
import numpy as np

from graft.scenes.camera import Camera, Point

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
LIT = 16  # added to a class code: this surface shines by itself (windows at night, lamps)
SKY_DEPTH_M = 1000.0
OVERSAMPLING = 2
_SHIFT = 4
_SCALE = 1 << _SHIFT

Colour = tuple[float, float, float]


def shade(colour: Colour, factor: float) -> Colour:
    """The colour times a factor, kept within 0..255."""
    red, green, blue = colour
    return min(255.0, red * factor), min(255.0, green * factor), min(255.0, blue * factor)


def scale_image(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply float32 [H, W, 3] by float32 [H, W] in place: twice as fast as NumPy's broadcasting."""
    return cv2.multiply(image, cv2.merge((factor, factor, factor)), dst=image)


class Canvas:
    """Colour and class in one uint8 array [H, W, 4] (red, green, blue, class code), depth float32 [H, W] in metres."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.pixels = np.zeros((camera.height_px, camera.width_px, 4), np.uint8)
        self.depth = np.full((camera.height_px, camera.width_px), SKY_DEPTH_M, np.float32)
        self.shadow = np.zeros((camera.height_px // 2, camera.width_px // 2), np.uint8)
        self.contact = np.zeros_like(self.shadow)
        self.lights: list[tuple[float, float, float, Colour, float]] = []

    def fill(self, points_px: np.ndarray, colour: Colour, code: int, depth_m: float) -> None:
        """Fill a polygon [N, 2] in pixels."""
        polygon = (points_px * _SCALE).astype(np.int32)
        cv2.fillPoly(self.pixels, [polygon], (*colour, code), shift=_SHIFT)
        cv2.fillPoly(self.depth, [polygon], float(depth_m), shift=_SHIFT)

    def fill3d(self, points: list[Point], colour: Colour, code: int) -> None:
        """Fill a polygon [N, 3] given in world metres."""
        pixels, depth = self.camera.project(points)
        self.fill(pixels, colour, code, float(depth.sum()) / len(depth))

    def paint_ground(self, outlines: list[np.ndarray], colour: Colour, code: int) -> None:
        """Fill polygons [N, 3] that lie on the ground, whose depth is already known."""
        if not outlines:
            return
        pixels, _ = self.camera.project(np.concatenate(outlines))
        points = np.rint(pixels * _SCALE).astype(np.int32)
        for outline, end in zip(outlines, accumulate(map(len, outlines)), strict=True):
            cv2.fillPoly(self.pixels, [points[end - len(outline) : end]], (*colour, code), shift=_SHIFT)

    def limb(self, points_px: np.ndarray, width_px: float, colour: Colour, code: int, depth_m: float) -> None:
        """Draw a thick polyline [N, 2]."""
        self.limbs([points_px], width_px, colour, code, depth_m)

    def limbs(self, lines_px: list[np.ndarray], width_px: float, colour: Colour, code: int, depth_m: float) -> None:
        """Draw several thick polylines [N, 2]."""
        points = np.rint(np.concatenate(lines_px) * _SCALE).astype(np.int32)
        ends = accumulate(map(len, lines_px))
        lines = [points[end - len(line) : end] for line, end in zip(lines_px, ends, strict=True)]
        thickness = max(1, round(width_px))
        cv2.polylines(self.pixels, lines, False, (*colour, code), thickness, shift=_SHIFT)
        cv2.polylines(self.depth, lines, False, float(depth_m), thickness, shift=_SHIFT)

    def disc(
        self, centre_px: np.ndarray, radii_px: tuple[float, float], colour: Colour, code: int, depth_m: float
    ) -> None:
        """Fill an upright ellipse."""
        centre = tuple(int(c * _SCALE) for c in centre_px)
        axes = tuple(max(_SCALE // 2, int(r * _SCALE)) for r in radii_px)
        cv2.ellipse(self.pixels, centre, axes, 0, 0, 360, (*colour, code), -1, shift=_SHIFT)
        cv2.ellipse(self.depth, centre, axes, 0, 0, 360, float(depth_m), -1, shift=_SHIFT)

    def ring(
        self,
        centre_px: np.ndarray,
        radii_px: tuple[float, float],
        width_px: float,
        colour: Colour,
        code: int,
        depth_m: float,
    ) -> None:
        """Draw the outline of an upright ellipse."""
        centre = tuple(int(c * _SCALE) for c in centre_px)
        axes = tuple(max(_SCALE // 2, int(r * _SCALE)) for r in radii_px)
        thickness = max(1, round(width_px))
        cv2.ellipse(self.pixels, centre, axes, 0, 0, 360, (*colour, code), thickness, shift=_SHIFT)
        cv2.ellipse(self.depth, centre, axes, 0, 0, 360, float(depth_m), thickness, shift=_SHIFT)

    def relabel(self, points_px: np.ndarray, code: int, depth_m: float) -> None:
        """Give a polygon [N, 2] a class without painting over what shows through it."""
        low = np.clip(np.floor(points_px.min(0)), 0, (self.camera.width_px, self.camera.height_px)).astype(int)
        high = np.clip(np.ceil(points_px.max(0)) + 1, 0, (self.camera.width_px, self.camera.height_px)).astype(int)
        if (high - low).min() < 1:
            return
        inside = np.zeros((high - low)[::-1], np.uint8)
        cv2.fillPoly(inside, [np.rint((points_px - low) * _SCALE).astype(np.int32)], 1, shift=_SHIFT)
        region = (slice(low[1], high[1]), slice(low[0], high[0]))
        self.pixels[region][:, :, 3][inside > 0] = code
        self.depth[region][inside > 0] = depth_m

    def shade_ground(self, points: np.ndarray, strength: int | None = None) -> None:
        """Shade the ground in a polygon [N, 3] (metres): from the sun, or as a contact shadow of a strength 0..255."""
        polygon = np.rint(self.camera.project(np.asarray(points))[0] * (_SCALE / OVERSAMPLING)).astype(np.int32)
        plane = self.shadow if strength is None else self.contact
        cv2.fillPoly(plane, [polygon], 255 if strength is None else strength, shift=_SHIFT)

    def texture(self, corners: list[Point], levels: list[np.ndarray], light: float) -> None:
        """Map a texture pyramid of [h, w, 4] onto an upright world quad, clockwise from its top left."""
        pixels, depth = self.camera.project(corners)
        low = np.clip(np.floor(pixels.min(0)), 0, (self.camera.width_px, self.camera.height_px)).astype(int)
        high = np.clip(np.ceil(pixels.max(0)) + 1, 0, (self.camera.width_px, self.camera.height_px)).astype(int)
        if (high - low).min() < 1:
            return
        extent = max(pixels[2, 1] - pixels[1, 1], pixels[3, 1] - pixels[0, 1])
        level = levels[int(np.clip(np.floor(np.log2(levels[0].shape[0] / max(extent, 1.0)) + 0.5), 0, len(levels) - 1))]
        height, width = level.shape[:2]
        source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, (pixels - low).astype(np.float32))
        size = tuple(int(s) for s in high - low)
        painted = cv2.warpPerspective(level, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        inside: np.ndarray = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(inside, np.rint((pixels - low) * _SCALE).astype(np.int32), 255, shift=_SHIFT)
        inside = cv2.min(inside, cv2.extractChannel(painted, 3))
        painted = cv2.multiply(painted, (light, light, light, 1.0))  # type: ignore[call-overload]  # scalars will do
        region = (slice(low[1], high[1]), slice(low[0], high[0]))
        cv2.copyTo(painted, inside, self.pixels[region])
        across = np.interp(np.arange(low[0], high[0]), *_sorted_pair(pixels[:2, 0], 1 / depth[:2])).astype(np.float32)
        cv2.copyTo(cv2.repeat(1 / across[None], size[1], 1), inside, self.depth[region])

    def sprite(
        self,
        picture: np.ndarray,
        code: int,
        foot_px: np.ndarray,
        size_px: tuple[float, float],
        depth_m: float,
        light: float,
    ) -> None:
        """Paste a picture [h, w, 4] by its foot; alpha 255 is opaque, alpha 1 is the class but shows what is behind."""
        left, top = foot_px[0] - size_px[0] / 2, foot_px[1] - size_px[1]
        x0, x1 = max(int(left), 0), min(int(left + size_px[0]), self.camera.width_px)
        y0, y1 = max(int(top), 0), min(int(top + size_px[1]), self.camera.height_px)
        if x0 >= x1 or y0 >= y1:
            return
        across, down = picture.shape[1] / size_px[0], picture.shape[0] / size_px[1]
        matrix = np.array([(across, 0, (x0 - left) * across), (0, down, (y0 - top) * down)])
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        cut = cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=flags)
        alpha = cv2.extractChannel(cut, 3)
        cut = cv2.multiply(cut, (light, light, light, 0.0))  # type: ignore[call-overload]  # scalars will do
        region = (slice(y0, y1), slice(x0, x1))
        opaque = cv2.compare(alpha, 255, cv2.CMP_EQ)  # type: ignore[call-overload]  # scalars will do
        cut = cv2.add(cut, (0, 0, 0, code))  # type: ignore[call-overload]  # scalars will do
        cv2.copyTo(cut, cv2.merge((opaque, opaque, opaque, alpha)), self.pixels[region])
        np.copyto(self.depth[region], np.float32(depth_m), where=alpha > 0)


def _sorted_pair(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(at)
    return at[order], values[order]

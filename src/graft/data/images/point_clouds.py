"""Point clouds of a laser scanner, projected into the image of a camera: depth, intensity, height, where they fell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graft.foundation.errors import GraftError

CLOUD_ENDING, CALIBRATION_ENDINGS = ".bin", (".txt", ".yaml", ".yml")
BYTES_A_POINT = 16  # x, y, z and intensity as float32
NEAREST_M = 0.1
MILLIMETRES_A_METRE, FARTHEST_MM = 1000, 65535
# Heights from 4 m below the scanner to nearly 12 m above, in sixteenths of a metre.
LOWEST_M, STEPS_A_METRE = -4.0, 16
KITTI_CAMERA, KITTI_RECTIFIED, KITTI_SCANNER = ("P2",), ("R0_rect", "R_rect"), ("Tr_velo_to_cam", "Tr_velo_cam", "Tr")
RULE = (
    "a calibration is KITTI's calib.txt (P2, R0_rect, Tr_velo_to_cam), or YAML with intrinsics, 3 rows of 3, and "
    "extrinsics from scanner to camera, 3 rows of 4"
)


@dataclass(frozen=True)
class ProjectedPoints:
    """A point cloud as channels of an image.

    Attributes:
        depth: Millimetres along the axis of the camera, uint16 [H, W, 1]; 0 where no point fell.
        others: Intensity (0 to 255), height above the scanner ((m + 4) · 16), 255 where a point fell: uint8 [H, W, 3].
        num_points: Number of points in the cloud.
        num_left_out: Number of those that lie behind the camera, beside the image, or are no numbers.
        where: Name of the cloud in errors.
    """

    depth: np.ndarray
    others: np.ndarray
    num_points: int
    num_left_out: int
    where: object = ""


class PointFiles:
    """The two files that follow an image and make its channels of points: a point cloud, then its calibration."""

    def __init__(self) -> None:
        self._cloud: tuple[bytes, object] | None = None

    def takes(self, filename: str) -> bool:
        """Whether a file is one of the two, by its ending."""
        return filename.endswith((CLOUD_ENDING, *CALIBRATION_ENDINGS))

    def add(self, filename: str, data: bytes, where: object, size: tuple[int, int]) -> ProjectedPoints | None:
        """Keeps a cloud until its calibration comes; returns both, projected into an image of `size`, then.

        Raises:
            GraftError: One of them is damaged, or does not follow what it belongs to.
        """
        cloud = self._cloud
        if filename.endswith(CLOUD_ENDING):
            self.check_complete()
            if not all(size):
                raise GraftError("a point cloud follows the image that it is projected into", where=where)
            _checked(read_points, data, where)
            self._cloud = data, where
            return None
        if cloud is None:
            raise GraftError("a calibration follows the point cloud that it belongs to", where=where)
        self._cloud = None
        projection = _checked(read_calibration, data, where)
        return replace(project_points(read_points(cloud[0]), projection, size), where=cloud[1])

    def check_complete(self) -> None:
        """Refuses a cloud without a calibration.

        Raises:
            GraftError: One was added, and nothing after it.
        """
        if self._cloud is not None:
            raise GraftError("no calibration follows this point cloud", where=self._cloud[1])


def project_points(points: np.ndarray, projection: np.ndarray, size: tuple[int, int]) -> ProjectedPoints:
    """Projects a point cloud into an image: w · (u, v, 1) = P · R · T · (x, y, z, 1), of which w is the depth.

    The pixel is the one whose centre is nearest to (u, v); of several points in a pixel the nearest to the camera wins
    (Geiger et al. 2013, "Vision meets robotics: the KITTI dataset", equations 3 to 8).

    Args:
        points: x, y, z of the scanner in metres, z upwards, and intensity from 0 to 1: float32 [N, 4].
        projection: P · R · T, from scanner to pixels, float64 [3, 4].
        size: Rows and columns of the image.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        seen = np.column_stack([points[:, :3], np.ones(len(points))]) @ projection.T
        columns, rows = (np.floor(seen[:, axis] / seen[:, 2] + 0.5) for axis in (0, 1))
        inside = np.isfinite(seen).all(axis=1) & (seen[:, 2] >= NEAREST_M)
        inside &= (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    nearest_last = np.argsort(-seen[inside, 2], kind="stable")
    place = tuple(axis[inside][nearest_last].astype(np.intp) for axis in (rows, columns))
    shown, away = points[inside][nearest_last], seen[inside, 2][nearest_last]
    depth, others = np.zeros((*size, 1), np.uint16), np.zeros((*size, 3), np.uint8)
    depth[(*place, 0)] = np.clip(np.rint(away * MILLIMETRES_A_METRE), 1, FARTHEST_MM)
    others[(*place, 0)] = np.rint(255 * shown[:, 3])
    others[(*place, 1)] = np.clip(np.rint((shown[:, 2] - LOWEST_M) * STEPS_A_METRE), 0, 255)
    others[(*place, 2)] = 255
    return ProjectedPoints(depth, others, len(points), len(points) - int(inside.sum()))


def read_points(cloud: bytes) -> np.ndarray:
    """The points of KITTI's `.bin`: float32 [N, 4], x, y, z in metres and intensity from 0 to 1.

    Raises:
        GraftError: There are none, bytes are left over, or intensities are of another range.
    """
    if not cloud or len(cloud) % BYTES_A_POINT:
        raise GraftError(
            f"{len(cloud):,} bytes are no point cloud" if cloud else "the point cloud is empty (zero bytes)",
            rule="KITTI's .bin has 16 bytes a point: x, y, z and intensity as float32",
        )
    points = np.frombuffer(cloud, "<f4").reshape(-1, 4)
    intensity = points[:, 3]
    if not ((intensity >= 0) & (intensity <= 1)).all():
        raise GraftError(
            f"intensities go from {intensity.min():g} to {intensity.max():g}",
            rule="KITTI's intensities go from 0 to 1",
            remedy="divide them by their largest value",
        )
    return points


def read_calibration(text: bytes) -> np.ndarray:
    """The projection from scanner to pixels, float64 [3, 4]: P · R · T.

    Raises:
        GraftError: A matrix is missing, or has not as many numbers as it needs.
    """
    try:
        lines = text.decode("utf-8")
    except UnicodeDecodeError:
        raise GraftError("the calibration is no text", rule=RULE) from None
    if re.search(r"^intrinsics:", lines, re.MULTILINE):
        return _of_yaml(lines)
    # In the tracking set of KITTI some names have no colon.
    found = dict(re.findall(r"^(\w+)(?::[ \t]*|[ \t]+)(.*)$", lines, re.MULTILINE))
    camera, scanner = _matrix(found, KITTI_CAMERA, 3, 4), _matrix(found, KITTI_SCANNER, 3, 4)
    rectified = _matrix(found, KITTI_RECTIFIED, 3, 3) if any(name in found for name in KITTI_RECTIFIED) else np.eye(3)
    return camera @ _square(rectified) @ _square(scanner)


def _of_yaml(text: str) -> np.ndarray:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(text)
    except YAMLError:
        found = None
    if not isinstance(found, dict):
        raise GraftError("the calibration is no valid YAML", rule=RULE)
    intrinsics, extrinsics = _matrix(found, ("intrinsics",), 3, 3), _matrix(found, ("extrinsics",), 3, 4)
    return intrinsics @ extrinsics


def _matrix(found: Mapping[str, Any], names: tuple[str, ...], rows: int, columns: int) -> np.ndarray:
    """The matrix that has one of the names: numbers in a text, or a list of rows."""
    name = next((name for name in names if name in found), None)
    if name is None:
        raise GraftError(f"the calibration has no {' or '.join(names)}", rule=RULE)
    value = found[name]
    try:
        numbers = np.array(value.split() if isinstance(value, str) else value, np.float64).ravel()
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.size != rows * columns or not np.isfinite(numbers).all():
        raise GraftError(f"{name} of the calibration is not a matrix of {rows} x {columns} numbers", rule=RULE)
    return numbers.reshape(rows, columns)


def _checked(read: Callable[[bytes], np.ndarray], data: bytes, where: object) -> np.ndarray:
    try:
        return read(data)
    except GraftError as error:
        raise error.at(where) from None


def _square(matrix: np.ndarray) -> np.ndarray:
    """A rotation, or a rotation and a translation, as [4, 4]."""
    square = np.eye(4)
    square[: matrix.shape[0], : matrix.shape[1]] = matrix
    return square

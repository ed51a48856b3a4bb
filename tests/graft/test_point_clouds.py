"""Point clouds beside pictures: projected by hand and from drawn scenes, counted, and refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.data.formats.stacks import zip_files
from graft.data.images.codec import decode_mask, encode_png
from graft.data.images.point_clouds import project_points, read_calibration, read_points
from graft.data.images.stacks import decode
from graft.data.shards import read_rows
from graft.deployment.prediction_files import predict_files
from graft.foundation.choices import resolve
from graft.foundation.class_map import RGB, ClassMap
from graft.foundation.content import write_json
from graft.foundation.errors import GraftError
from graft.params.sections import Ingest
from graft.scenes import CLASSES, SKY, render
from pipeline.ingest import ingest
from tests.graft.small_export import small_export

# The axes of KITTI: the camera looks along x of the scanner, its x goes to the right and its y down.
KITTI = b"""P0: 1 0 0 0 0 1 0 0 0 0 1 0
P2: 100 0 20 0 0 100 10 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0
"""
ODOMETRY = b"P2: 100 0 20 0 0 100 10 0 0 0 1 0\nTr: 0 -1 0 0 0 0 -1 0 1 0 0 0\n"
TRACKING = KITTI.replace(b"R0_rect:", b"R_rect").replace(b"Tr_velo_to_cam:", b"Tr_velo_cam")  # as it stands there
YAML = (
    b"intrinsics: [[100, 0, 20], [0, 100, 10], [0, 0, 1]]\nextrinsics: [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]\n"
)
PROJECTION = [[20, -100, 0, 0], [10, 0, -100, 0], [1, 0, 0, 0]]
SIZE = 20, 40
CHANNELS = ("point_depth", "point_intensity", "point_height", "point_hit")


def cloud(*points: tuple[float, float, float, float]) -> bytes:
    return np.array(points, "<f4").tobytes()


def stack_kind(max_value: int) -> ClassMap:
    about = ("segmentation", ("a", "b"), ((0, 0, 0), (9, 9, 9)), (0, 1), False, False, "stacks")
    return ClassMap(*about, channels=(*RGB, *CHANNELS), max_value=max_value)


def test_points_fall_where_they_are_computed_by_hand_and_the_nearest_wins() -> None:
    points = read_points(
        cloud(
            (10, 1, 0.5, 0.5),  # u = 20 - 100 · 1 / 10 = 10, v = 10 - 100 · 0.5 / 10 = 5
            (5, 0.5, 0.25, 1),  # on the same ray, nearer
            (20, 2, 1, 0),  # and farther
            (100, 0, -7, 0.2),  # u = 20, v = 17; beyond what 16 bits hold, and below all heights
            (10, -1.946, 0, 0.1),  # u = 39.46, nearest to the centre of column 39
            (10, -1.96, 0, 0.1),  # u = 39.6, beside the image
            (-5, 0, 0, 0),  # behind
            (0.05, 0, 0, 0),  # within the camera
            (10, 30, 0, 0),  # to the left
            (float("nan"), 0, 0, 0),
        )
    )
    found = project_points(points, np.array(PROJECTION, float), SIZE)
    assert (found.num_points, found.num_left_out) == (10, 5)
    assert found.depth[5, 10, 0] == 5000
    assert found.others[5, 10].tolist() == [255, 68, 255]  # (0.25 + 4) · 16
    assert found.depth[17, 20, 0] == 65535
    assert found.others[17, 20].tolist() == [51, 0, 255]
    assert found.others[10, 39].tolist() == [26, 64, 255]
    assert np.count_nonzero(found.depth) == np.count_nonzero(found.others[..., 2]) == 3


@pytest.mark.parametrize("text", [KITTI, ODOMETRY, TRACKING, YAML], ids=["KITTI", "odometry", "tracking", "YAML"])
def test_every_calibration_is_the_same_projection(text: bytes) -> None:
    np.testing.assert_allclose(read_calibration(text), PROJECTION)


def test_a_rotation_that_rectifies_comes_between() -> None:
    turned = KITTI.replace(b"R0_rect: 1 0 0 0 1 0 0 0 1", b"R0_rect: 0 1 0 -1 0 0 0 0 1")
    np.testing.assert_allclose(read_calibration(turned), [[20, 0, -100, 0], [10, 100, 0, 0], [1, 0, 0, 0]])


POINT = cloud((10, 1, 0.5, 0.5))
PICTURE = encode_png(np.zeros((*SIZE, 3), np.uint8))
REFUSED: dict[str, tuple[list[tuple[str, bytes]], str]] = {
    "empty": ([("a.png", PICTURE), ("a.bin", b""), ("c.txt", KITTI)], r"1\.bin\): the point cloud is empty"),
    "half a point": ([("a.png", PICTURE), ("a.bin", POINT + b"1"), ("c.txt", KITTI)], "17 bytes are no point cloud"),
    "intensity": ([("a.png", PICTURE), ("a.bin", cloud((1, 1, 1, 77))), ("c.txt", KITTI)], "go from 77 to 77"),
    "no camera": ([("a.png", PICTURE), ("a.bin", POINT), ("c.txt", b"P0: 1")], r"2\.txt\): the calibration has no P2"),
    "no scanner": (
        [("a.png", PICTURE), ("a.bin", POINT), ("c.txt", KITTI[:80])],
        "no Tr_velo_to_cam or Tr_velo_cam or",
    ),
    "short": ([("a.png", PICTURE), ("a.bin", POINT), ("c.txt", KITTI.replace(b"20", b""))], "P2 .*3 x 4 numbers"),
    "words": (
        [("a.png", PICTURE), ("a.bin", POINT), ("c.yaml", b"intrinsics: a\nextrinsics: b")],
        "intrinsics .*3 x 3",
    ),
    "half YAML": ([("a.png", PICTURE), ("a.bin", POINT), ("c.yml", b"intrinsics: [1,")], "no valid YAML"),
    "bytes": ([("a.png", PICTURE), ("a.bin", POINT), ("c.txt", b"\xff\xfe")], "the calibration is no text"),
    "alone": ([("a.bin", POINT), ("c.txt", KITTI)], "a point cloud follows the image"),
    "without calibration": ([("a.png", PICTURE), ("a.bin", POINT)], "no calibration follows this point cloud"),
    "without cloud": ([("a.png", PICTURE), ("c.txt", KITTI)], "a calibration follows the point cloud"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_cloud_or_calibration_is_named(name: str) -> None:
    files, message = REFUSED[name]
    with pytest.raises(GraftError, match=message) as caught:
        decode(zip_files(files), stack_kind(65535), where="stack.zip")
    assert "\n" not in str(caught.value)


def make_scenes(root: Path, num: int, every_px: int = 3) -> None:
    """Drawn streets, and what a scanner in the place of the camera would see of each third pixel, the sky left out."""
    height, width, focal = 96, 128, 110.0
    for number in range(num):
        scene = render(7, "night_rain", number, width=width, height=height)
        rows, columns = np.mgrid[0:height:every_px, 0:width:every_px].reshape(2, -1)
        seen = scene.mask[rows, columns] != CLASSES.index("sky")
        rows, columns = rows[seen], columns[seen]
        depth = scene.depth[rows, columns]
        right, down = (columns - width / 2) * depth / focal, (rows - height / 2) * depth / focal
        points = np.column_stack([depth, -right, -down, np.full(len(depth), 0.5)]).astype("<f4")
        behind = points[:50] * [-1, 1, 1, 1]
        for path, data in (
            (f"images/{number}.png", encode_png(scene.image)),
            (f"masks/{number}.png", encode_png(scene.mask)),
            (f"velodyne/{number}.bin", np.concatenate([points, behind]).astype("<f4").tobytes()),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
    camera = f"P2: {focal} 0 {width / 2} 0 0 {focal} {height / 2} 0 0 0 1 0"
    (root / "calib.txt").write_text(f"{camera}\nTr: 0 -1 0 0 0 0 -1 0 1 0 0 0\n")


PAIRS = {
    "name": "mask_folder",
    "images": "images/*.png",
    "masks": "masks/{stem}.png",
    "classes": {name: [number] for number, name in enumerate(CLASSES)},
    "val_fraction": 0.3,
    "test_fraction": 0.3,
}
SOURCE: dict[str, Any] = {
    "name": "stacks",
    "source": PAIRS,
    "channels": [*RGB],
    "points": "velodyne/{stem}.bin",
    "calibration": "calib.txt",
    "max_value": 40_000,
}


def listing_of(root: Path, source: dict[str, Any]) -> Listing:
    return resolve(FORMATS, source, where="ingest.source")("segmentation", 7, root)


def test_the_depth_of_drawn_scenes_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, num = tmp_path / "raw", tmp_path / "out", 8
    make_scenes(raw, num)
    out.mkdir()
    section = Ingest(
        root=str(raw), source=SOURCE, unlabelled=None, split_seed=7, batch="first", max_pixels=10**6, deliveries={}
    )
    ingest(task="segmentation", ingest=section, root=raw, out=out)
    num_points = sum((raw / f"velodyne/{number}.bin").stat().st_size // 16 for number in range(num))
    assert f"Left aside: {50 * num} of {num_points:,} points, which lie behind" in capsys.readouterr().err
    kind = ClassMap.read(out / "class_map.json")
    assert kind.channels == (*RGB, *CHANNELS)
    rows = [row for split in ("train", "val", "test") for row in read_rows(out / split)]
    assert len(rows) == num
    for row in rows:
        scene = render(7, "night_rain", int(Path(row.id).stem), width=128, height=96)
        image = decode(row.image, kind)
        seen = np.zeros(scene.mask.shape, bool)
        seen[::3, ::3] = scene.mask[::3, ::3] != SKY
        np.testing.assert_array_equal(image[..., :3], scene.image)
        np.testing.assert_array_equal(image[..., 6] == 255, seen)
        np.testing.assert_array_equal(image[..., 4][seen], 128)
        truth = np.minimum(scene.depth[seen] * 1000, 40_000) * 255 / 40_000
        assert np.abs(image[..., 3][seen] - truth).max() <= 0.51


def test_points_and_calibration_belong_together_and_are_all_there(tmp_path: Path) -> None:
    make_scenes(tmp_path, 8, 20)
    for left_out in ("points", "calibration"):
        source = {name: value for name, value in SOURCE.items() if name != left_out}
        with pytest.raises(GraftError, match="points and calibration belong together"):
            listing_of(tmp_path, source)
    (tmp_path / "velodyne/2.bin").unlink()
    assert listing_of(tmp_path, SOURCE).problems == [
        "images/2.png: image without points (expected velodyne/2.bin)",
    ]
    with pytest.raises(GraftError, match=r"ingest\.source\.points: .*leads out of the root"):
        listing_of(tmp_path, SOURCE | {"points": "../{stem}.bin"})


def test_predict_takes_the_same_files_beside_an_image(tmp_path: Path) -> None:
    make_scenes(tmp_path, 1)
    folder = small_export(tmp_path / "model")
    model = onnx.load(folder / "model.onnx")
    (planes,) = (node for node in model.graph.node if node.op_type == "Identity")
    model.graph.node.remove(planes)
    bounds = {"starts": 4, "ends": 7, "axes": 1}  # intensity, height, and where a point fell, as logits
    for name, value in bounds.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
    model.graph.node.append(onnx.helper.make_node("Slice", ["planes", *bounds], ["logits"]))
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 7
    onnx.save(model, str(folder / "model.onnx"))
    spec = {"task": "segmentation", "num_classes": 3, "resize": {"name": "none"}, "padding_multiple": 8}
    write_json(folder / "spec.json", spec | {"channels": [*RGB, *CHANNELS], "max_value": 40_000})
    beside = ["{dir}/../velodyne/{stem}.bin", "{dir}/../calib.txt"]
    predict_files([str(tmp_path / "images/0.png")], folder, tmp_path / "out", beside)
    mask = decode_mask((tmp_path / "out/masks/0.png").read_bytes())
    scene = render(7, "night_rain", 0, width=128, height=96)
    seen = np.zeros(scene.mask.shape, bool)
    seen[::3, ::3] = scene.mask[::3, ::3] != SKY
    np.testing.assert_array_equal(mask > 0, seen)  # intensity is 128 of 255 there, and 0 elsewhere

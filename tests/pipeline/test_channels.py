"""Images of other channels than red, green and blue, from ingest to predictions."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from graft.data.images.stacks import decode
from graft.data.shards import read_rows
from graft.deployment.prediction_files import predict_files
from graft.deployment.serving.predictor import Predictor
from graft.deployment.serving.signature import describe
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.models.saved_model import load_model
from graft.params.sections import Params
from tests.seven_stages import run_stages, small_params

SIZE = (48, 64)
PAIRS = {"name": "mask_folder", "masks": "masks/{stem}.png", "classes": {"soil": [0], "plants": [1]}}
FOUR = ["red", "green", "blue", "nir"]
TILES = {
    "name": "stacks",
    "channels": FOUR,
    "max_value": 10000,
    "source": {**PAIRS, "images": "tiles/*.tif"},
}
# Seconds are exporting: this model has few operations.
PLAIN = {"model": {"name": "plain_fcn", "width": 16, "depth": 2}, "pretrain_load.source": "none"}
DEPTHS = {
    "name": "stacks",
    "channels": ["red", "green", "blue"],
    "extra": {"depth": "depth/{stem}.png"},
    "max_value": 5000,
    "source": {**PAIRS, "images": "rgb/*.png"},
}


def field(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Four bands in 0…1, float [H, W, 4], and a mask that only the fourth of them shows."""
    generator = np.random.default_rng(number)
    mask = np.zeros(SIZE, np.uint8)
    cv2.circle(mask, (int(generator.integers(16, 48)), 24), 14, 1, -1)
    bands = generator.uniform(0.2, 0.6, (*SIZE, 4))
    bands[..., 3] = 0.15 + 0.7 * mask + generator.uniform(0, 0.1, SIZE)
    return bands, mask


def write_tiles(root: Path, num_images: int = 24) -> None:
    """TIFF of 16 bits, in the ways the world writes them."""
    (root / "tiles").mkdir(parents=True)
    (root / "masks").mkdir()
    ways: list[dict[str, Any]] = [
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        {
            "photometric": "minisblack",
            "compression": "zlib",
            "predictor": True,
            "tile": (32, 32),
            "planarconfig": "contig",
        },
        {"photometric": "minisblack", "planarconfig": "separate"},
    ]
    for number in range(num_images):
        bands, mask = field(number)
        values, way = (bands * 10000).astype(np.uint16), ways[number % 3]
        values = values if "planarconfig" not in way else np.moveaxis(values, 2, 0)
        tifffile.imwrite(root / f"tiles/{number:02}.tif", values, **way)
        cv2.imwrite(str(root / f"masks/{number:02}.png"), mask)


def write_depths(root: Path, num_images: int = 24) -> None:
    """Photographs, and beside them how far things are, in millimetres."""
    for folder in ("rgb", "depth", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(num_images):
        bands, mask = field(number)
        cv2.imwrite(str(root / f"rgb/{number:02}.png"), (bands[..., :3] * 255).astype(np.uint8))
        cv2.imwrite(str(root / f"depth/{number:02}.png"), (bands[..., 3] * 5000).astype(np.uint16))
        cv2.imwrite(str(root / f"masks/{number:02}.png"), mask)


def params(source: dict[str, Any], epochs: int, **changes: Any) -> Params:
    """The params of this repository, small."""
    crop = {"height_px": 48, "width_px": 64}
    return small_params(source, **{"augment.crop": crop, "fine_tune.epochs": epochs} | changes)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Folder of 4-channel GeoTIFFs, folder of what the stages made of it, metrics."""
    raw, work = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("work")
    write_tiles(raw)
    return raw, work, run_stages(raw, work, params(TILES, 8, **PLAIN))


def test_four_channels_from_ingest_to_metrics(tiles: tuple[Path, Path, dict[str, Any]]) -> None:
    raw, work, metrics = tiles
    assert ClassMap.read(work / "interim/class_map.json").channels == tuple(FOUR)
    row = next(read_rows(work / "interim/train"))
    assert row.image == (raw / row.id).read_bytes()  # stored as it was
    views = np.load(work / "augmented/images.npy", mmap_mode="r")
    assert views.shape[1:] == (48, 64, 4)
    assert metrics["mean_iou"] > 0.8  # red, green and blue are noise: the fourth channel was learnt from
    statistics, (model, spec) = read_json(work / "augmented/statistics.json"), load_model(work / "model")
    assert spec.channels == tuple(FOUR)
    assert spec.mean == (*read_json(work / "pretrained/card.json")["mean"], statistics["mean"][3])
    assert spec.std[3] == statistics["std"][3]
    assert next(iter(model.backbone.parameters())).shape[1] == 4
    assert "uint8 [B, H, W, 4] (red, green, blue, nir)" in (work / "exported/model_card.md").read_text()


def test_predict_answers_for_stacks_as_evaluate_does(tiles: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    work = tiles[1]
    inputs, classes = tmp_path / "in", ClassMap.read(work / "exported/class_map.json")
    inputs.mkdir()
    bands, mask = field(99)
    values = (bands * 10000).astype(np.uint16)
    tifffile.imwrite(inputs / "a.tif", values)
    np.save(inputs / "b.npy", values)
    np.savez(inputs / "c.npz", np.moveaxis(values, 2, 0))
    summary = predict_files([str(inputs)], work / "exported", tmp_path / "out")
    assert summary.num_written == 3
    masks = [cv2.imread(str(tmp_path / f"out/masks/{name}.png"), cv2.IMREAD_UNCHANGED) for name in "abc"]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] == masks[2]).all()
    assert (masks[0] == mask).mean() > 0.9
    colours, nir = (decode((inputs / "a.tif").read_bytes(), classes)[..., 2::-1], values[..., 3])
    for name, image in (("rgb/d.png", colours), ("nir/d.png", nir)):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), image)
    predict_files([str(tmp_path / "rgb")], work / "exported", tmp_path / "out", ["{dir}/../nir/{stem}.png"])
    assert (cv2.imread(str(tmp_path / "out/masks/d.png"), cv2.IMREAD_UNCHANGED) == masks[0]).all()
    assert cv2.imread(str(tmp_path / "out/overlays/a.png")).shape == (*SIZE, 3)
    served = Predictor(work / "exported").answers([base64.b64encode((inputs / "c.npz").read_bytes()).decode()])
    answer = cv2.imdecode(np.frombuffer(base64.b64decode(served[0]["mask"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (answer == masks[0]).all()
    assert len(describe(work / "exported")[1]) == 1  # the example of the registered model is a stack too


def test_a_picture_of_three_channels_is_refused_by_a_model_of_four(
    tiles: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "rgb.png"), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(GraftError, match=r"rgb\.png: it has 3 channels, not the 4 of red, green, blue, nir"):
        predict_files([str(tmp_path / "rgb.png")], tiles[1] / "exported", tmp_path / "out")
    with pytest.raises(GraftError, match=r"rgb\.tif: No such file or directory"):
        predict_files([str(tmp_path / "rgb.png")], tiles[1] / "exported", tmp_path / "out", ["{dir}/{stem}.tif"])
    with pytest.raises(GraftError, match=r"--beside: \{subdir\} is not known"):
        predict_files([str(tmp_path / "rgb.png")], tiles[1] / "exported", tmp_path / "out", ["{subdir}/{stem}.tif"])
    data = base64.b64encode((tmp_path / "rgb.png").read_bytes()).decode()
    with pytest.raises(GraftError, match=r"image 0: it has 3 channels, not the 4"):
        Predictor(tiles[1] / "exported").answers([data])


def test_a_photograph_and_its_depth_are_one_image_to_the_end(tmp_path: Path) -> None:
    raw, work = tmp_path / "raw", tmp_path / "work"
    write_depths(raw)
    metrics = run_stages(raw, work, params(DEPTHS, 4), exported=False)
    assert metrics["mean_iou"] > 0.7
    assert any("3 input channels to 4" in line for line in read_json(work / "pretrained/card.json")["resized"])
    row, classes = next(read_rows(work / "interim/val")), ClassMap.read(work / "interim/class_map.json")
    assert classes.channels == ("red", "green", "blue", "depth")
    image, name = decode(row.image, classes), Path(row.id).name
    assert (image[..., 2::-1] == cv2.imread(str(raw / row.id))).all()
    depth = cv2.imread(str(raw / "depth" / name), cv2.IMREAD_UNCHANGED)
    assert (image[..., 3] == (np.minimum(depth.astype(int), 5000) * 255 + 2500) // 5000).all()
    with zipfile.ZipFile(tmp_path / "by_hand.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(raw / row.id, "photograph.png")
        archive.write(raw / "depth" / name, "depth.png")
    assert (decode((tmp_path / "by_hand.zip").read_bytes(), classes) == image).all()  # what predict is given

"""Predictions of very large images: equal to those of the whole, in the right place, without seams, or not at all."""

from __future__ import annotations

import importlib.util
import resource
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import tifffile
from onnx import TensorProto, helper

from graft.data.images.large_images import LargeImage
from graft.data.images.tiff_windows import TiffWindows
from graft.deployment import large_predictions, tile_writer
from graft.deployment.export.exported_model import open_exported
from graft.deployment.large_predictions import Targets, open_large, predict_large
from graft.deployment.prediction_files import predict_files
from graft.deployment.serving.source_classes import void_value
from graft.deployment.tile_writer import TileWriter
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import predict_blocks, predict_class_ids
from graft.inference.tiles import Tiling, assemble
from tests.graft.small_export import small_export

HEIGHT, WIDTH = 700, 900  # larger than a tile of the model
# UTM zone 33 north, pixels of half a metre, as GeoTIFF writes it.
PLACE: list[Any] = [
    (33550, "d", 3, (0.5, 0.5, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]
NODATA_0 = (42113, "s", 0, "0", True)


def noise(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


def write_map(path: Path, image: np.ndarray, *tags: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    layout = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate", "metadata": None}
    tifffile.imwrite(path, image, extratags=list(tags), **layout | options)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def tags_of(path: Path) -> dict[int, Any]:
    with tifffile.TiffFile(path) as file:
        return {tag.code: tag.value for tag in file.pages.first.tags}


def test_a_map_becomes_a_mask_in_the_same_place(tmp_path: Path) -> None:
    image = noise()
    image[:300, :200] = 0
    image[500, 500] = (0, 9, 0)
    source = write_map(tmp_path / "map.tif", image, *PLACE, NODATA_0)
    model = small_export(tmp_path / "model", source_values=(3, 300, 7))
    summary = predict_files([str(source)], model, tmp_path / "out", confidence=True)
    assert summary.num_written == 1
    written = ["confidence/map.tif", "masks/classes.json", "masks/map.tif", "overlays/map.png"]
    assert files_below(tmp_path / "out") == written
    expected = np.array([3, 300, 7], np.uint16)[image.argmax(axis=2)]
    expected[(image == 0).all(axis=2)] = 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/masks/map.tif"), expected)
    tags = tags_of(tmp_path / "out/masks/map.tif")
    assert {code: tags[code] for code, *_ in PLACE} == {code: value for code, _, _, value, _ in PLACE}
    assert tags[42113] == "0"
    assert tags[322] == tags[323] == 512  # width and length of its tiles
    assert cv2.imread(str(tmp_path / "out/overlays/map.png")).shape == (HEIGHT, WIDTH, 3)
    logits = image.astype(np.float64)
    certain = np.exp(logits.max(axis=2)) / np.exp(logits).sum(axis=2)
    np.testing.assert_allclose(tifffile.imread(tmp_path / "out/confidence/map.tif"), 255 * certain, atol=0.6)


def test_rasterio_agrees_on_place_and_nodata(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed: make setup EXTRAS=geo")
    image = noise()
    image[:300, :200] = 0
    profile = {"width": WIDTH, "height": HEIGHT, "count": 3, "dtype": "uint8", "nodata": 0, "driver": "GTiff"}
    place = rasterio.Affine(0.25, 0, 4e5, 0, -0.25, 5.4e6)
    with rasterio.open(tmp_path / "map.tif", "w", crs="EPSG:25832", transform=place, tiled=True, **profile) as file:
        file.write(np.moveaxis(image, 2, 0))
    model = small_export(tmp_path / "model", source_values=(1, 2, 3))
    predict_files([str(tmp_path / "map.tif")], model, tmp_path / "out")
    with rasterio.open(tmp_path / "out/masks/map.tif") as mask:
        assert (mask.crs.to_epsg(), mask.transform, mask.nodata) == (25832, place, 0)
        np.testing.assert_array_equal(mask.read_masks(1) == 0, (image == 0).all(axis=2))


def test_a_world_file_takes_rasterio_or_is_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, model = write_map(tmp_path / "map.tif", noise()), small_export(tmp_path / "model")
    (tmp_path / "map.tfw").write_text("0.5\n0\n0\n-0.5\n500000.25\n4999999.75\n")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    predict_files([str(source)], model, tmp_path / "lost")
    assert "its georeference is in map.tfw, which takes rasterio" in capsys.readouterr().err
    assert 33550 not in tags_of(tmp_path / "lost/masks/map.tif")
    monkeypatch.undo()
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed: make setup EXTRAS=geo")
    predict_files([str(source)], model, tmp_path / "kept")
    with rasterio.open(tmp_path / "kept/masks/map.tif") as mask:
        assert mask.transform == rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 5e6)
    assert files_below(tmp_path / "kept") == ["masks/classes.json", "masks/map.tif", "overlays/map.png"]


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_what_rasterio_puts_beside_a_map_comes_through(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed: make setup EXTRAS=geo")
    image, inside = noise(), np.zeros((HEIGHT, WIDTH), np.uint8)
    inside[300:, 200:] = 255
    source, model = write_map(tmp_path / "map.tif", image), small_export(tmp_path / "model")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(source, "r+") as file:
        file.write_mask(inside)
    corners = [(0, 0, 4e5, 5.4e6), (0, WIDTH, 4.1e5, 5.4e6), (HEIGHT, 0, 4e5, 5.3e6)]
    points = "".join(f'<GCP Pixel="{c}" Line="{r}" X="{x}" Y="{y}" Z="0"/>' for r, c, x, y in corners)
    about = f'<PAMDataset><GCPList Projection="EPSG:25832">{points}</GCPList></PAMDataset>'
    (tmp_path / "map.tif.aux.xml").write_text(about)
    predict_files([str(source)], model, tmp_path / "out")
    with rasterio.open(tmp_path / "out/masks/map.tif") as mask:
        found, crs = mask.gcps
        assert [(point.row, point.col, point.x, point.y) for point in found] == corners
        assert crs.to_epsg() == 25832
        np.testing.assert_array_equal(mask.read_masks(1), inside)
        np.testing.assert_array_equal(mask.read(1), np.where(inside, image.argmax(axis=2), 255))


def test_pictures_and_small_plain_tiff_are_predicted_whole(tmp_path: Path) -> None:
    model = small_export(tmp_path / "model")
    predict_files([str(write_map(tmp_path / "plain.tif", noise(50, 60)))], model, tmp_path / "out")
    assert files_below(tmp_path / "out") == ["masks/classes.json", "masks/plain.png", "overlays/plain.png"]


def test_what_is_small_but_cannot_be_read_by_windows_becomes_a_png_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_map(tmp_path / "map.tif", noise(50, 60), *PLACE, (274, "H", 1, 3, True))
    model = small_export(tmp_path / "model")
    assert predict_files([str(source)], model, tmp_path / "out").num_written == 1
    assert (tmp_path / "out/masks/map.png").is_file()
    assert "a PNG without georeference and nodata: it is turned by its orientation (3)" in capsys.readouterr().err
    logged = predict_files([str(write_map(tmp_path / "a.tif", noise(50, 60), *PLACE))], model, tmp_path / "b",
                           log=tmp_path / "log")  # fmt: skip
    assert logged.num_written == 1
    assert "a prediction log keeps images whole" in capsys.readouterr().err


def test_with_files_beside_it_a_map_is_read_whole_and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = noise(40, 50)
    source = write_map(tmp_path / "map.tif", image[..., :2], *PLACE, photometric="minisblack", planarconfig="contig")
    write_map(tmp_path / "heat/map.tif", image[..., 2], photometric="minisblack")
    folder = small_export(tmp_path / "model")
    spec = read_json(folder / "spec.json")
    write_json(folder / "spec.json", spec | {"channels": ["red", "green", "heat"], "max_value": 255})
    classes = ClassMap.read(folder / "class_map.json")
    replace(classes, channels=("red", "green", "heat"), max_value=255).write(folder / "class_map.json")
    beside = ["{dir}/heat/{stem}.tif"]
    assert predict_files([str(source)], folder, tmp_path / "out", beside).num_written == 1
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out/masks/map.png"), -1), image.argmax(axis=2))
    said = "map.tif: its mask becomes a PNG without georeference and nodata: with --beside images are read whole"
    assert said in capsys.readouterr().err
    monkeypatch.setattr(large_predictions, "MOST_WHOLE_PIXELS", 1999)
    with pytest.raises(GraftError, match=r"map\.tif: with --beside images are read whole"):
        predict_files([str(source)], folder, tmp_path / "large", beside)
    assert files_below(tmp_path / "large") == []


def blurring_export(folder: Path) -> Path:
    """As `small_export`, but logits are means of 9 x 9 pixels, as of a network with a receptive field."""
    small_export(folder)
    model = onnx.load(folder / "model.onnx")
    (planes,) = (node for node in model.graph.node if node.op_type == "Identity")
    kernel = np.zeros((3, 3, 9, 9), np.float32)
    kernel[range(3), range(3)] = 1 / 81
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "kernel"))
    blur = helper.make_node("Conv", ["planes", "kernel"], ["logits"], pads=[4] * 4)
    model.graph.node.remove(planes)
    model.graph.node.append(blur)
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def smooth(height: int, width: int) -> np.ndarray:
    """Coloured noise that varies over tens of pixels."""
    coarse = np.random.default_rng(3).uniform(0, 255, (height // 20, width // 20, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def test_no_seam_is_visible_and_a_crop_equals_prediction_of_the_whole(tmp_path: Path) -> None:
    model = open_exported(blurring_export(tmp_path / "model"))
    image = smooth(600, 800)
    whole = assemble(predict_blocks(model.runner, image, model.spec, Tiling(10**6, 0)), image.shape[:2])

    def error_of(overlap_px: int) -> np.ndarray:
        tiling = Tiling(200 * 200, overlap_px)
        blended = assemble(predict_blocks(model.runner, image, model.spec, tiling), image.shape[:2])
        return np.abs(blended - whole).max(axis=0)[10:-10, 10:-10]

    hard, blended = error_of(0), error_of(64)
    assert hard.max() > 100  # zeros beyond the edge of a tile darken half of the mean
    assert blended.max() < 6  # next to an edge a tile counts 1 in 65, and 5 in 65 where its mean is right again
    assert (blended > 0.01).mean() < 0.25  # nothing but the strips that tiles share
    source = write_map(tmp_path / "map.tif", image, *PLACE)
    predict_files([str(source)], tmp_path / "model", tmp_path / "out")
    crop = np.s_[100:500, 150:650]
    ids = tifffile.imread(tmp_path / "out/masks/map.tif")[crop]
    alone = predict_class_ids(model.runner, image[50:550, 100:700], model.spec, Tiling(10**6, 0))[50:-50, 50:-50]
    np.testing.assert_array_equal(alone, whole.argmax(axis=0)[crop])
    second, first = np.sort(whole[(slice(None), *crop)], axis=0)[-2:]
    assert (ids != alone).mean() < 0.0005
    assert (first - second)[ids != alone].max() < 6  # where two classes are as good as equal, of 255


def test_large_images_without_georeference_go_by_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_predictions, "MOST_WHOLE_PIXELS", 100_000)
    monkeypatch.setattr(large_predictions, "OVERLAY_SIDE_PX", 100)
    monkeypatch.setattr(tile_writer, "MOST_CLASSIC_BYTES", 100_000)
    image, model = noise(), small_export(tmp_path / "model")
    source = write_map(tmp_path / "map.tif", image, rowsperstrip=50, tile=None)
    predict_files([str(source)], model, tmp_path / "out")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/masks/map.tif"), image.argmax(axis=2))
    assert (tmp_path / "out/masks/map.tif").read_bytes()[2] == 43  # BigTIFF
    assert cv2.imread(str(tmp_path / "out/overlays/map.png")).shape == (78, 100, 3)


def test_tiles_without_data_are_not_given_to_the_model(tmp_path: Path) -> None:
    image, given = noise(), []
    image[:, 300:] = 0
    opened = open_exported(small_export(tmp_path / "model"))
    source = write_map(tmp_path / "map.tif", image, *PLACE, NODATA_0)

    def run(images: np.ndarray) -> np.ndarray:
        given.append(images.any())
        return opened.runner(images)

    model = replace(opened, runner=run)
    large = open_large(source, model)
    assert large is not None
    predict_large(source, large, model, Targets(tmp_path / "mask.tif", tmp_path / "overlay.png", None))
    assert 0 < len(given) < 12  # of three rows of four tiles
    assert all(given)
    mask = tifffile.imread(tmp_path / "mask.tif")
    np.testing.assert_array_equal(mask[:, :300], image[:, :300].argmax(axis=2))
    assert (mask[:, 300:] == 255).all()


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "fax": ({}, {}, r"map\.tif: its compression \(CCITTFAX4\) cannot be read by windows"),
    "shrunk": ({"resize": {"name": "short_side", "size_px": 64}}, {}, "would be shrunk as a whole for this model"),
    "log": ({}, {"log": "log"}, "a prediction log keeps images whole"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_predicted_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(large_predictions, "MOST_WHOLE_PIXELS", 100_000)
    monkeypatch.chdir(tmp_path)
    changes, options, message = REFUSED[name]
    small_export(tmp_path / "model")
    spec = {"task": "segmentation", "num_classes": 3, "resize": {"name": "none"}, "padding_multiple": 8} | changes
    write_json(tmp_path / "model/spec.json", spec)
    source = write_map(tmp_path / "map.tif", noise())
    if name == "fax":
        with tifffile.TiffFile(source, mode="r+") as file:
            file.pages.first.tags["Compression"].overwrite(4)
    options = {key: Path(value) for key, value in options.items()}
    with pytest.raises(GraftError, match=message):
        predict_files([str(source)], tmp_path / "model", tmp_path / "out", **options)
    assert files_below(tmp_path / "out") == []


def test_damage_in_the_middle_leaves_what_was_there_and_predicts_the_rest(tmp_path: Path) -> None:
    model = small_export(tmp_path / "model")
    for name in ("a", "b"):
        write_map(tmp_path / f"in/{name}.tif", noise(), *PLACE)
    predict_files([str(tmp_path / "in")], model, tmp_path / "out")
    before = (tmp_path / "out/masks/a.tif").read_bytes()
    data = bytearray((tmp_path / "in/a.tif").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    (tmp_path / "in/a.tif").write_bytes(bytes(data))
    with pytest.raises(GraftError, match=r"(?s)1 image predicted.*could not be read.*a\.tif: the .* is damaged"):
        predict_files([str(tmp_path / "in")], model, tmp_path / "out")
    assert (tmp_path / "out/masks/a.tif").read_bytes() == before
    assert not [name for name in files_below(tmp_path / "out") if "tmp" in name]


def test_a_disk_that_fills_half_way_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.tif", noise(1500, 1500), *PLACE)
    model = small_export(tmp_path / "model")
    was, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, was[1]))
        with pytest.raises(GraftError, match=r"cannot write predictions \(File too large\)"):
            predict_files([str(source)], model, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, handler)
    assert files_below(tmp_path / "out") == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write ")]


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, model = write_map(tmp_path / "map.tif", noise(), *PLACE), small_export(tmp_path / "model")
    monkeypatch.setattr(large_predictions, "confidence_of", lambda logits: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        predict_files([str(source)], model, tmp_path / "out", confidence=True)
    assert files_below(tmp_path / "out") == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write ")]


@pytest.mark.parametrize("height", [1300, 700, 512, 100])
@pytest.mark.parametrize("width", [700, 512, 333])
@pytest.mark.parametrize(("num_bands", "dtype"), [(1, np.uint8), (3, np.uint8), (1, np.uint16)])
def test_blocks_of_any_size_become_tiles(tmp_path: Path, height: int, width: int, num_bands: int, dtype: Any) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1300, 700, num_bands)).astype(dtype)
    image = image[..., 0] if num_bands == 1 else image
    with TileWriter(tmp_path / "a.tif", image.shape, image.dtype) as writer:
        for top in range(0, 1300, height):
            for left in range(0, 700, width):
                writer.add(top, left, image[top : top + height, left : left + width])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), image)


def test_an_image_that_is_not_finished_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(InterruptedError, match="not finished"),
        TileWriter(tmp_path / "a.tif", (600, 600), np.dtype(np.uint8)) as writer,
    ):
        writer.add(0, 0, np.zeros((300, 600), np.uint8))


def test_the_void_value_is_that_of_the_image_where_no_class_has_it() -> None:
    def value(written: tuple[Any, ...], nodata: int | None, ignored: tuple[Any, ...] = ()) -> tuple[int, bool]:
        return void_value(SimpleNamespace(source_values=written, void_values=ignored), nodata)  # type: ignore[arg-type]

    assert value((1, 2), 0) == (0, True)
    assert value((0, 1), 0, (9,)) == (9, True)
    assert value((0, 1), 0) == (255, True)
    assert value((0, 255), 0) == (254, True)
    assert value((0, 300), -9999) == (255, True)
    assert value((0, 1), 60000) == (255, True)  # no value of 8 bits
    assert value(((255, 255, 255), (0, 0, 7)), 255, ((1, 1, 1),)) == (1, True)


def test_the_void_value_is_none_that_a_class_reads() -> None:
    def value(written: tuple[Any, ...], nodata: int | None, ignored: tuple[Any, ...] = ()) -> tuple[int, bool]:
        return void_value(SimpleNamespace(source_values=written, void_values=ignored), nodata)  # type: ignore[arg-type]

    ranges = ((0,), ("1-255",), (300,))
    assert value(ranges, None) == (256, True)
    assert value(ranges, 9) == (256, True)
    assert value(((0,), ("1-255",)), 9) == (256, True)  # 16 bits, where 8 have none left
    assert value(((0,), ("1-100", 200)), 200) == (255, True)
    assert value(((0,), ("1-65535",)), 9) == (9, False)
    assert value(((0,), "rest"), 9, (7, "250-255")) == (7, True)  # every other value is read as the rest
    assert value(((0,), "rest"), 251, ("250-255",)) == (251, True)
    assert value(((0,), ("rest",)), 9) == (9, False)  # which is written as 1
    assert value(((0,), (1,), (5, "rest")), 5) == (255, False)
    assert value(((0, 0, 0), ((255, 0, 0), "1-255")), 9) == (9, False)  # colours have 8 bits


def test_pixels_without_data_take_16_bits_where_8_have_no_value_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = noise(50, 60)
    image[:20] = 0
    source = write_map(tmp_path / "map.tif", image, *PLACE, NODATA_0)
    model = small_export(tmp_path / "model", source_values=((0,), ("2-255",), (1,)))
    predict_files([str(source)], model, tmp_path / "out")
    mask = tifffile.imread(tmp_path / "out/masks/map.tif")
    assert mask.dtype == np.uint16
    assert (mask[:20] == 256).all()
    np.testing.assert_array_equal(mask[20:], np.array([0, 2, 1])[image[20:].argmax(axis=2)])
    assert tags_of(tmp_path / "out/masks/map.tif")[42113] == "256"
    assert "only its nodata value" not in capsys.readouterr().err
    model = small_export(tmp_path / "other", source_values=((0,), (2,), "rest"))
    predict_files([str(source)], model, tmp_path / "rest")
    assert (tifffile.imread(tmp_path / "rest/masks/map.tif")[:20] == 255).all()
    assert "without data are 255 in the mask, and only its nodata value says" in capsys.readouterr().err


@pytest.mark.slow
def test_20_000_by_20_000_pixels_written_by_windows_come_out_right(tmp_path: Path) -> None:
    side, tile = 20_000, 512
    num_tiles = -(-side // tile)
    truth = (7 * np.arange(num_tiles)[:, None] + 3 * np.arange(num_tiles) ** 2) % 4  # 3 has no data
    colours = np.array([(200, 10, 10), (10, 200, 10), (10, 10, 200), (0, 0, 0)], np.uint8)
    tifffile.imwrite(
        tmp_path / "map.tif",
        (np.full((tile, tile, 3), colour, np.uint8) for colour in colours[truth.ravel()]),
        shape=(side, side, 3),
        dtype=np.uint8,
        photometric="rgb",
        tile=(tile, tile),
        compression="zlib",
        bigtiff=True,
        extratags=[*PLACE, NODATA_0],
    )
    model = small_export(tmp_path / "model")
    write_json(model / "predict.json", {"max_pixels": 2_000_000, "overlap_px": 64})
    assert predict_files([str(tmp_path / "map.tif")], model, tmp_path / "out").num_written == 1
    tags = tags_of(tmp_path / "out/masks/map.tif")
    assert {code: tags[code] for code, *_ in PLACE} == {code: value for code, _, _, value, _ in PLACE}
    assert tags[42113] == "255"
    mask = TiffWindows(tmp_path / "out/masks/map.tif")
    for row, of_row in enumerate(truth):
        band = mask.read(row * tile, 0, min(tile, side - row * tile), side)[..., 0]
        expected = np.repeat(np.where(of_row == 3, 255, of_row), tile)[:side]
        assert (band == expected).all()
    opened = open_exported(model)
    image = LargeImage(tmp_path / "map.tif", opened.spec)
    crop = image[9000:10_500, 9000:10_500]
    alone = np.where(
        (crop == 0).all(axis=2), 255, predict_class_ids(opened.runner, crop, opened.spec, Tiling(10**7, 0))
    )
    np.testing.assert_array_equal(mask.read(9000, 9000, 1500, 1500)[..., 0], alone)
    for each in (image, mask):
        each.close()
    if importlib.util.find_spec("rasterio"):
        import rasterio

        with rasterio.open(tmp_path / "map.tif") as source, rasterio.open(tmp_path / "out/masks/map.tif") as written:
            assert (written.crs, written.transform) == (source.crs, source.transform)

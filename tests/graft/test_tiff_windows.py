"""Windows of TIFF files: every layout gives the samples of the whole; what cannot be read is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from graft.data.images import tiff_windows
from graft.data.images.codec import decode_image
from graft.data.images.large_images import LargeImage
from graft.data.images.tiff_windows import TiffWindows
from graft.foundation.errors import GraftError

PICTURE = SimpleNamespace(channels=("red", "green", "blue"), max_value=None)
HEIGHT, WIDTH = 150, 230
WINDOWS = [(0, 0, HEIGHT, WIDTH), (0, 0, 1, 1), (149, 229, 1, 1), (63, 65, 66, 130), (64, 64, 64, 64)]
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (64, 64)},
    "deflated tiles": {"tile": (64, 64), "compression": "deflate", "predictor": True},
    "JPEG 2000 tiles": {"tile": (64, 64), "compression": "jpeg2000"},
    "bands apart": {"tile": (64, 64), "planarconfig": "separate", "compression": "zstd"},
    "one strip": {"rowsperstrip": HEIGHT},
    "strips": {"rowsperstrip": 7},
    "strips of bands apart": {"rowsperstrip": 7, "planarconfig": "separate"},
    "deflated strips": {"rowsperstrip": 7, "compression": "deflate"},
    "big-endian BigTIFF": {"tile": (64, 64), "byteorder": ">", "bigtiff": True, "compression": "lzw"},
    "big-endian strips": {"rowsperstrip": 9, "byteorder": ">"},
}


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def write(path: Path, image: np.ndarray, **options: Any) -> Path:
    if options.get("planarconfig") == "separate":
        image = np.moveaxis(image, 2, 0)
    tifffile.imwrite(path, image, **{"photometric": "rgb", "metadata": None} | options)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_is_that_of_the_whole(tmp_path: Path, layout: str, dtype: Any) -> None:
    image = noise(HEIGHT, WIDTH, 3, dtype=dtype)
    windows = TiffWindows(write(tmp_path / "a.tif", image, **LAYOUTS[layout]), max_pixels=64 * WIDTH)
    assert windows.shape == image.shape
    for top, left, height, width in WINDOWS:
        read = windows.read(top, left, height, width)
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, image[top : top + height, left : left + width])
    windows.close()


def test_of_a_pyramid_the_highest_resolution_is_read(tmp_path: Path) -> None:
    image = noise(HEIGHT, WIDTH, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as file:
        file.write(image, subifds=1, tile=(64, 64), photometric="rgb")
        file.write(image[::2, ::2], subfiletype=1, tile=(64, 64), photometric="rgb")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:  # as Cloud-optimised GeoTIFF has it: a page each
        file.write(image, tile=(64, 64), photometric="rgb")
        file.write(image[::2, ::2], subfiletype=1, tile=(64, 64), photometric="rgb")
    for name in ("a.tif", "b.tif"):
        windows = TiffWindows(tmp_path / name)
        np.testing.assert_array_equal(windows.read(0, 0, HEIGHT, WIDTH), image)
        windows.close()


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        (noise(HEIGHT, WIDTH), {"photometric": "minisblack"}),
        (noise(HEIGHT, WIDTH), {"photometric": "miniswhite"}),
        (noise(HEIGHT, WIDTH, dtype=np.uint16), {"photometric": "minisblack"}),
        (noise(HEIGHT, WIDTH, 3, dtype=np.uint16), {}),
        (noise(HEIGHT, WIDTH, 4), {"extrasamples": ["unassalpha"]}),
        (noise(HEIGHT, WIDTH, 2), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
        (noise(HEIGHT, WIDTH, 2), {"photometric": "minisblack", "extrasamples": ["assocalpha"]}),
        (noise(HEIGHT, WIDTH, 4), {"extrasamples": ["assocalpha"]}),
        (noise(HEIGHT, WIDTH, 4, dtype=np.uint16), {"extrasamples": ["assocalpha"]}),
        (noise(HEIGHT, WIDTH), {"photometric": "palette", "colormap": noise(3, 256, dtype=np.uint16)}),
        (noise(HEIGHT, WIDTH) > 99, {"photometric": "minisblack"}),
        (noise(HEIGHT, WIDTH, 3), {"compression": "deflate"}),
    ],
    ids=[
        "grey",
        "white is zero",
        "grey of 16 bits",
        "16 bits",
        "transparent",
        "transparent grey",
        "premultiplied grey",
        "premultiplied",
        "premultiplied of 16 bits",
        "palette",
        "bits",
        "deflate",
    ],
)
def test_a_picture_looks_as_it_does_when_it_is_read_whole(tmp_path: Path, stored: Any, options: Any) -> None:
    path = write(tmp_path / "a.tif", stored, **options)
    image = LargeImage(path, PICTURE)
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(image[10:90, 20:200], decode_image(path.read_bytes())[10:90, 20:200])
    image.close()


@pytest.mark.parametrize("num_colours", [1, 3])
def test_premultiplied_colours_are_laid_on_white_as_they_were(tmp_path: Path, num_colours: int) -> None:
    stored = np.array([[[40] * num_colours + [51], [0] * num_colours + [0], [90] * num_colours + [255]]], np.uint8)
    photometric = "rgb" if num_colours == 3 else "minisblack"
    options = {"photometric": photometric, "extrasamples": ["assocalpha"], "planarconfig": "contig"}
    image = LargeImage(write(tmp_path / "a.tif", stored, **options), PICTURE)
    assert image[:, :].tolist() == [[[244] * 3, [255] * 3, [90] * 3]]  # 40 + 255 · (1 - 51 / 255)
    image.close()


def test_pixels_without_data_are_found(tmp_path: Path) -> None:
    image, alpha = noise(HEIGHT, WIDTH, 3), np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    image[image == 9] = 10
    image[:40] = image[60, 60, 0] = 9
    alpha[:, :50] = 0
    tag = [(42113, "s", 0, "9", True)]
    for name, stored, options, gap in (
        ("nodata.tif", image, {"extratags": tag}, (image == 9).all(axis=2)),
        ("alpha.tif", np.dstack([image, alpha]), {"extrasamples": ["unassalpha"]}, alpha[..., 0] == 0),
    ):
        opened = LargeImage(write(tmp_path / name, stored, **options), PICTURE)
        np.testing.assert_array_equal(opened.lacks_data(np.s_[20:120, 30:200]), gap[20:120, 30:200])
        opened.close()
    opened = LargeImage(write(tmp_path / "plain.tif", image), PICTURE)
    assert opened.lacks_data(np.s_[:, :]) is None
    opened.close()
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[30:, 40:] = True
    with tifffile.TiffWriter(tmp_path / "mask.tif") as file:
        file.write(image, photometric="rgb")
        file.write(inside, subfiletype=4, photometric="mask")
    opened = LargeImage(tmp_path / "mask.tif", PICTURE)
    np.testing.assert_array_equal(opened.lacks_data(np.s_[:, :]), ~inside)
    opened.close()


def test_what_gdal_puts_beside_a_file_counts(tmp_path: Path) -> None:
    image, inside = noise(HEIGHT, WIDTH, 3) | 1, np.zeros((HEIGHT, WIDTH), np.uint8)
    image[:20] = 9
    inside[30:, 40:] = 255
    path = write(tmp_path / "a.tif", image)
    about = "<PAMDataset>\n<PAMRasterBand band='1'><NoDataValue>{}</NoDataValue></PAMRasterBand></PAMDataset>"
    (tmp_path / "a.tif.aux.xml").write_text(about.format("9.00000000000000E+00"))
    tifffile.imwrite(tmp_path / "a.tif.msk", inside, photometric="minisblack", tile=(64, 64), compression="deflate")
    opened = LargeImage(path, PICTURE)
    expected = (image == 9).all(axis=2) | (inside == 0)
    np.testing.assert_array_equal(opened.lacks_data(np.s_[:, :]), expected)
    np.testing.assert_array_equal(opened.lacks_data(np.s_[15:40, 30:99]), expected[15:40, 30:99])
    opened.close()
    tifffile.imwrite(tmp_path / "a.tif.msk", inside[1:], photometric="minisblack")
    with pytest.raises(GraftError, match=r"a\.tif\.msk: it has 230 x 149 pixels, and its image 230 x 150"):
        LargeImage(path, PICTURE)
    tifffile.imwrite(tmp_path / "a.tif.msk", inside, photometric="minisblack", compression="jpegxl")
    with pytest.raises(GraftError, match=r"compression \(JPEGXL\) cannot be read by windows"):
        LargeImage(path, PICTURE)
    (tmp_path / "a.tif.msk").unlink()
    for no_value in ("nan", "-9999", "far"):
        (tmp_path / "a.tif.aux.xml").write_text(about.format(no_value))
        opened = LargeImage(path, PICTURE)
        assert opened.lacks_data(np.s_[:, :]) is None
        opened.close()


def test_the_fourth_band_of_a_stack_is_measured_whatever_its_tag_says(tmp_path: Path) -> None:
    kind = SimpleNamespace(channels=("red", "green", "blue", "near_infrared"), max_value=255)
    image = noise(HEIGHT, WIDTH, 4) | 1
    image[:, :100, 3] = 0  # water: no near infrared comes back
    image[:10, :10] = 0
    options = {"extrasamples": ["unassalpha"]}  # as GDAL writes a fourth band of 8 bits
    opened = LargeImage(write(tmp_path / "a.tif", image, **options), kind)
    assert opened.lacks_data(np.s_[:, :]) is None
    np.testing.assert_array_equal(opened[20:40, 90:120], image[20:40, 90:120])
    opened.close()
    tags = [(42113, "s", 0, "0", True)]
    opened = LargeImage(write(tmp_path / "b.tif", image, **options, extratags=tags), kind)
    np.testing.assert_array_equal(opened.lacks_data(np.s_[:, :]), (image == 0).all(axis=2))
    opened.close()


def compression_tag_changed(path: Path, number: int) -> None:
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["Compression"].overwrite(number)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def garbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9000:-1] = bytes(8999)
    path.write_bytes(bytes(data))


RGB = noise(HEIGHT, WIDTH, 3)
REFUSED: dict[str, tuple[Any, dict[str, Any], Any, str]] = {
    "unknown compression": (
        RGB,
        {},
        lambda path: compression_tag_changed(path, 4),
        r"compression \(CCITTFAX4\) cannot",
    ),
    "JPEG XL": (RGB, {"compression": "jpegxl"}, None, r"compression \(JPEGXL\) cannot be read by windows.*DEFLATE"),
    "LERC": (RGB, {"compression": "lerc"}, None, r"compression \(LERC\) cannot be read by windows.*DEFLATE"),
    "compression of nobody": (RGB, {}, lambda path: compression_tag_changed(path, 60123), r"compression \(60123\)"),
    "floats": (RGB.astype(np.float32), {}, None, "samples are float32; only uint8 and uint16"),
    "signed": (RGB.astype(np.int16), {}, None, "samples are int16"),
    "turned": (RGB, {"extratags": [(274, "H", 1, 6, True)]}, None, r"turned by its orientation \(6\)"),
    "five bands": (noise(90, 90, 5), {"photometric": "minisblack", "planarconfig": "contig"}, None, "it has 5 bands"),
    "near infrared": (noise(90, 90, 4), {"extrasamples": [0]}, None, "4 bands, of which a picture would show 3"),
    "inks": (noise(90, 90, 4), {"photometric": "separated"}, None, r"inks \(CMYK\)"),
    "frames": (noise(2, 90, 90, 3), {}, None, "2 pages of one size"),
    "cut off": (RGB, {"tile": (64, 64)}, cut_off, r"cut off \(1 of its 12 tiles or strips lie beyond its end\)"),
    "huge strips": (RGB, {"rowsperstrip": HEIGHT, "compression": "deflate"}, None, r"strips of 230 x 150 .*TILED=YES"),
    "no image": (RGB, {}, lambda path: path.write_bytes(b"II*\0" + bytes(50)), "damaged or cut off"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named_before_a_pixel_is_read(tmp_path: Path, name: str) -> None:
    image, options, change, message = REFUSED[name]
    path = write(tmp_path / "a.tif", image, **options)
    if change:
        change(path)
    with pytest.raises(GraftError, match=message):
        LargeImage(path, PICTURE, where="a.tif", max_pixels=20_000)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", 33003, 33005, "webp"])
def test_a_tile_that_is_a_larger_picture_than_it_says_is_not_unfolded(tmp_path: Path, compression: Any) -> None:
    path = write(tmp_path / "a.tif", noise(64, 64, 3), tile=(512, 512), compression=compression)
    windows = TiffWindows(path)
    assert windows.read(0, 0, 64, 64).shape == (64, 64, 3)
    windows.close()
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages.first.tags[name].overwrite(64)
    windows = TiffWindows(path)
    with pytest.raises(GraftError, match="unfold to more than the image has room for: a decompression bomb"):
        windows.read(0, 0, 64, 64)
    windows.close()


def test_damaged_tiles_are_an_error_and_no_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB, tile=(64, 64), compression="deflate")
    garbled(path)
    windows = TiffWindows(path, where="a.tif")
    with pytest.raises(GraftError, match=r"^a\.tif: the stack is damaged") as caught:
        windows.read(0, 0, HEIGHT, WIDTH)
    assert "\n" not in str(caught.value)
    windows.close()


def test_what_is_kept_of_a_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_windows, "CACHE_BYTES", 3 * 64 * 64 * 3)
    windows = TiffWindows(write(tmp_path / "a.tif", RGB, tile=(64, 64), compression="deflate"))
    np.testing.assert_array_equal(windows.read(0, 0, HEIGHT, WIDTH), RGB)
    assert len(windows._kept) == 3
    np.testing.assert_array_equal(windows.read(0, 0, HEIGHT, WIDTH), RGB)
    windows.close()


def test_large_strips_are_measured_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tiff_windows, "CACHE_BYTES", 20_000)
    for name, options in (("deflate", {"compression": "deflate"}), ("plain", {})):
        windows = TiffWindows(write(tmp_path / f"{name}.tif", RGB, rowsperstrip=10, **options))
        windows.warn_of_large_strips(64)
        windows.close()
    told = capsys.readouterr().err
    assert "deflate.tif: its strips are 10 x 230 pixels, and every window of 64 rows unfolds 0 MB" in told
    assert "plain.tif" not in told  # of which only the window itself is read


def test_a_picture_that_pillow_wrote_is_read(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression="tiff_lzw")
    image = LargeImage(tmp_path / "a.tif", PICTURE)
    np.testing.assert_array_equal(image[5:50, 6:60], RGB[5:50, 6:60])
    image.close()

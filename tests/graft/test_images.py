"""Encoded images to arrays and back, and the facts that are found on the way."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from graft.data.facts import image_facts, mask_facts, perceptual_hash
from graft.data.formats.class_values import translation_of
from graft.data.formats.translation import Translation, identity
from graft.data.images.codec import FORMATS_READ, decode_image, decode_mask, encode_png, overlay, untinted_class
from graft.foundation.errors import GraftError

LIMIT = 10**7
WIDE_IDS = np.array([[0, 1, 2, 2]], np.uint16)
BANDS = np.random.default_rng(3).integers(20, 235, (24, 32, 4), np.uint8)
SEE_THROUGH = np.dstack([BANDS[..., :3], np.where(BANDS[..., 3] > 60, 255, 0).astype(np.uint8)])


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encode_png_16(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def photograph(width: int = 40, height: int = 24) -> Image.Image:
    """A smooth gradient with a corner that tells how it is turned."""
    rows, columns = np.mgrid[:height, :width]
    array = np.stack([columns * 200 // width, rows * 200 // height, np.full_like(rows, 60)], -1).astype(np.uint8)
    array[: height // 3, : width // 3] = 255
    return Image.fromarray(array)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_the_facts_say_so(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(photograph(), kind, exif=exif, **options)
    plain = photograph()
    plain.info["exif"] = exif.tobytes()
    expected = np.asarray(ImageOps.exif_transpose(plain))
    image, facts = decode_image(data), image_facts(data, "x", LIMIT)
    assert image.shape == expected.shape == (facts["height"], facts["width"], 3)
    assert np.abs(image.astype(int) - expected).mean() < 6
    assert facts["exif_orientation"] == orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "PNG of ImageMagick"])
def test_orientation_beside_exif_turns_the_facts_too(kind: str) -> None:
    exif, texts = Image.Exif(), PngInfo()
    exif[0x0112] = 6
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if kind == "PNG of ImageMagick":
        raw = exif.tobytes()
        texts.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True)
    else:
        texts.add_itxt("XML:com.adobe.xmp", xmp)
    options = {"pnginfo": texts} if kind.startswith("PNG") else {"xmp": xmp.encode()}
    data = encoded(photograph(), kind.split()[0], **options)
    facts = image_facts(data, "x", LIMIT)
    assert decode_image(data).shape == (facts["height"], facts["width"], 3) == (40, 24, 3)
    assert facts["exif_orientation"] == 6


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_orientation_survives_conversion(kind: str, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = photograph().convert("L")
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) << 8) if mode == "I;16" else photograph().convert(mode)
    data = encoded(image, kind, exif=exif)
    assert decode_image(data).shape == (40, 24, 3)
    assert decode_image(data)[2, -3].tolist() == [255, 255, 255]
    facts = image_facts(data, "x", LIMIT)
    assert (facts["width"], facts["height"], facts["exif_orientation"]) == (24, 40, 6)


def test_every_mode_becomes_rgb_as_a_viewer_shows_it() -> None:
    rgb = photograph()
    grey = np.asarray(rgb.convert("L"))
    wide = Image.fromarray((grey.astype(np.uint16) << 8) + 77)
    see_through = rgb.convert("RGBA")
    see_through.putalpha(Image.fromarray(np.where(grey > 120, 255, 0).astype(np.uint8)))
    assert (decode_image(encoded(rgb)) == np.asarray(rgb)).all()
    assert (decode_image(encoded(rgb.convert("L"))) == grey[..., None]).all()
    assert (decode_image(encoded(wide)) == grey[..., None]).all()
    assert (decode_image(encoded(wide, "TIFF")) == grey[..., None]).all()
    assert (decode_image(encoded(see_through))[grey <= 120] == 255).all()
    assert (decode_image(encoded(see_through))[grey > 120] == np.asarray(rgb)[grey > 120]).all()
    assert (decode_image(encoded(rgb.convert("P"), "GIF")) == np.asarray(rgb.convert("P").convert("RGB"))).all()
    assert decode_image(encoded(rgb.convert("CMYK"), "JPEG")).shape == (24, 40, 3)
    assert set(np.unique(decode_image(encoded(rgb.convert("1"))))) <= {0, 255}


def test_transparent_palette_is_laid_on_white() -> None:
    image = Image.fromarray(np.zeros((4, 4), np.uint8), "L").convert("P")
    assert (decode_image(encoded(image, "GIF", transparency=0)) == 255).all()


def test_facts_of_odd_files() -> None:
    grey = photograph().convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) << 8)
    assert image_facts(encoded(wide), "x", LIMIT)["bit_depth"] == 16
    assert image_facts(encoded(wide, "TIFF"), "x", LIMIT)["bit_depth"] == 16
    palette = image_facts(encoded(photograph().convert("P")), "x", LIMIT)
    assert (palette["mode"], palette["channels"]) == ("P", 1)
    assert image_facts(encoded(photograph().convert("RGBA")), "x", LIMIT)["channels"] == 4
    facts = image_facts(encoded(photograph(400, 300), "JPEG"), "x", LIMIT)
    assert (facts["format"], facts["mode"], facts["width"], facts["height"]) == ("JPEG", "RGB", 400, 300)


def test_luminance_and_hash_are_nearly_those_of_the_whole_image() -> None:
    image = photograph(403, 307)
    exact = np.asarray(image.convert("L"), np.float32).mean()
    png, jpeg = (image_facts(encoded(image, kind), "x", LIMIT) for kind in ("PNG", "JPEG"))
    assert png["mean_luminance"] == pytest.approx(exact, abs=0.6)
    assert jpeg["mean_luminance"] == pytest.approx(exact, abs=2)
    assert (int(png["phash"], 16) ^ int(jpeg["phash"], 16)).bit_count() <= 8
    other = perceptual_hash(np.random.default_rng(0).uniform(0, 255, (32, 32)).astype(np.float32))
    assert len(other) == 16
    assert (int(png["phash"], 16) ^ int(other, 16)).bit_count() > 12


BROKEN = {
    "zero bytes": (b"", "empty \\(zero bytes\\)"),
    "text": (b"<html>not found</html>", "not an image of a known kind .*<html>"),
    "cut PNG": (encoded(photograph())[:-40], "damaged or cut off"),
    "cut JPEG": (encoded(photograph(200, 150), "JPEG")[:-900], "damaged or cut off"),
    "header only": (encoded(photograph())[:20], "damaged or cut off|not an image"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known kind"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_decoded_is_refused(name: str) -> None:
    data, message = BROKEN[name]
    for refused in (lambda: decode_image(data, where="a.png"), lambda: image_facts(data, "a.png", LIMIT)):
        with pytest.raises(GraftError, match=f"(?s)a.png: .*({message})"):
            refused()


def test_flipped_bits_in_a_png_are_refused() -> None:
    data = bytearray(encoded(photograph(200, 150)))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(GraftError, match="damaged or cut off"):
        decode_image(bytes(data))


def test_decompression_bomb_is_refused_by_its_header() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 60_000
    for refused in (
        lambda: decode_image(bomb, where="a.png", max_pixels=LIMIT),
        lambda: image_facts(bomb, "a.png", LIMIT),
        lambda: mask_facts(bomb, identity(2), "a.png", LIMIT),
    ):
        with pytest.raises(GraftError, match=r"a.png: 20000 x 20000 pixels .*bomb.*ingest.max_pixels"):
            refused()


def test_floating_point_samples_are_refused() -> None:
    data = encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    with pytest.raises(GraftError, match=r"^a.tif: .*no agreed range"):
        decode_image(data, where="a.tif")
    with pytest.raises(GraftError, match=r"^m.tif: floating point values are no class ids"):
        mask_facts(data, identity(2), "m.tif", LIMIT)
    with pytest.raises(GraftError, match="more than 16 bits"):
        decode_image(encoded(Image.fromarray(np.full((4, 4), 10**6, np.int32)), "TIFF"))


def test_masks_survive_and_foreign_bytes_do_not() -> None:
    mask = np.random.default_rng(1).choice(np.array([0, 3, 255], np.uint8), (31, 17))
    assert (decode_mask(encode_png(mask)) == mask).all()
    image = np.random.default_rng(1).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    assert (decode_image(encode_png(image)) == image).all()
    assert encode_png(mask) == encode_png(mask.copy())
    for data in (b"", b"nothing", encode_png(image)):
        with pytest.raises(GraftError, match="not an index mask"):
            decode_mask(data)


def test_overlay_colours_classes_and_leaves_void() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    shown = overlay(image, np.array([[0, 1], [255, 1]], np.uint8), [(200, 0, 0), (0, 200, 0)])
    assert shown.tolist() == [[[150, 50, 50], [50, 150, 50]], [[100, 100, 100], [50, 150, 50]]]
    bare = overlay(image, np.array([[0, 1], [255, 1]], np.uint8), [(200, 0, 0), (0, 200, 0)], untinted=1)
    assert bare.tolist() == [[[150, 50, 50], [100, 100, 100]], [[100, 100, 100], [100, 100, 100]]]


def test_background_stays_untinted_or_the_class_that_covers_most() -> None:
    mask = np.array([[0, 1], [255, 1], [255, 255]], np.uint8)
    assert untinted_class(("road", "car"), mask) == 1
    assert untinted_class(("Background", "car"), mask) == 0


def test_mask_facts_count_what_is_there() -> None:
    values = np.array([[0, 1, 2], [9, 9, 255]], np.uint8)
    facts = mask_facts(encoded(Image.fromarray(values)), identity(3), "m", LIMIT)
    assert facts["mask_counts"] == [1, 1, 1]
    assert (facts["mask_void"], facts["mask_unknown"], facts["mask_unknown_values"]) == (1, 2, ["9"])
    assert decode_mask(facts["mask"]).tolist() == [[0, 1, 2], [255, 255, 255]]
    assert (facts["mask_width"], facts["mask_height"], facts["mask_lossy"]) == (3, 2, False)
    clean = encoded(Image.fromarray(np.zeros((3, 3), np.uint8)))
    assert mask_facts(clean, identity(3), "m", LIMIT)["mask"] == clean


def test_values_no_grey_image_can_hold_are_unknown_and_no_class() -> None:
    data = encoded(Image.fromarray(np.array([[-9999, -1, 0], [1, 65535, 70000]], np.int32)), "TIFF")
    ends = Translation((((0, 0),), ((1, 1),), ((65535, 65535),)), ((),) * 3)
    facts = mask_facts(data, ends, "m", LIMIT)
    assert decode_mask(facts["mask"]).tolist() == [[255, 255, 0], [1, 2, 255]]
    assert (facts["mask_unknown"], facts["mask_unknown_values"]) == (3, ["-9999", "-1", "70000"])
    facts = mask_facts(data, replace(ends, rest=1), "m", LIMIT)
    assert (decode_mask(facts["mask"]).tolist(), facts["mask_unknown"]) == ([[1, 1, 0], [1, 2, 1]], 0)


def test_masks_of_every_kind_are_read() -> None:
    values = np.array([[0, 1], [2, 1]], np.uint8)
    palette = Image.fromarray(values, "L").convert("P")
    palette.putpalette([9, 9, 9, 128, 64, 0, 0, 0, 77] + [0] * 759)
    by_index, ids = identity(3), values.tolist()
    by_color = Translation(((), (), ()), (((9, 9, 9),), ((128, 64, 0),), ((0, 0, 77),)))
    wide = Translation(((((0, 0),)), ((1000, 1000),), ((2000, 2000),)), ((),) * 3)
    cases = [
        (palette, by_index),
        (palette, by_color),
        (palette.convert("RGB"), by_color),
        (palette.convert("RGBA"), by_color),
        (Image.fromarray(values).convert("RGB"), by_index),
        (Image.fromarray(values).convert("LA"), by_index),
        (Image.fromarray(values.astype(np.uint16) * 1000), wide),
    ]
    for image, translation in cases:
        facts = mask_facts(encoded(image), translation, "m", LIMIT)
        assert decode_mask(facts["mask"]).tolist() == ids, (image.mode, translation)
        assert facts["mask_unknown"] == 0
    black_and_white = Translation((((0, 0),), ((255, 255),)), ((), ()))
    facts = mask_facts(encoded(Image.fromarray(values > 0)), black_and_white, "m", LIMIT)
    assert facts["mask_counts"] == [1, 3]
    strange = mask_facts(encoded(palette.convert("RGB")), by_index, "m", LIMIT)
    assert "(128, 64, 0)" in strange["mask_unknown_values"]


@pytest.mark.parametrize(
    ("kind", "options", "lossy"),
    [
        ("JPEG", {}, True),
        ("WEBP", {}, True),
        ("WEBP", {"lossless": True}, False),
        ("TIFF", {"compression": "jpeg"}, True),
        ("TIFF", {"compression": "tiff_lzw"}, False),
    ],
)
def test_lossy_masks_are_named(kind: str, options: dict[str, Any], lossy: bool) -> None:
    data = encoded(Image.fromarray(np.eye(32, dtype=np.uint8) * 255), kind, **options)
    assert mask_facts(data, identity(2), "m", LIMIT)["mask_lossy"] is lossy


def tiff(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_mask_is_turned_by_its_own_exif_as_an_image_is(kind: str, orientation: int) -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(values), kind, exif=exif)
    facts = mask_facts(data, identity(6), "m", LIMIT)
    assert (decode_mask(facts["mask"]) == decode_image(data)[..., 0]).all()
    assert facts["mask_orientation"] == orientation


@pytest.mark.parametrize(
    "data",
    [
        encode_png_16(np.dstack([WIDE_IDS] * 3)),
        encode_png_16(np.dstack([WIDE_IDS] * 4)),
        tiff(np.dstack([WIDE_IDS] * 3), photometric="rgb"),
        b"P6\n1 1\n65535\n" + bytes([0, 1] * 3),
    ],
    ids=["RGB", "RGBA", "TIFF", "PPM"],
)
def test_colours_of_16_bits_are_refused_and_lose_no_byte_in_silence(data: bytes) -> None:
    with pytest.raises(GraftError, match=r"^m.png: 16 bits a sample in [34] bands .*grey of 16 bits"):
        mask_facts(data, identity(3), "m.png", LIMIT)


@pytest.mark.parametrize("compression", [None, "zlib", "packbits", "lzw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_changes_no_mask_and_inverts_every_photograph(compression: str | None, dtype: Any) -> None:
    values = np.array([[0, 1, 2]] * 4, dtype)
    data = tiff(values, photometric="miniswhite", compression=compression)
    assert decode_mask(mask_facts(data, identity(3), "m", LIMIT)["mask"]).tolist() == values.tolist()
    bright = 0 if dtype is np.uint16 else 2  # of 65535 - 2 the upper byte is 255
    assert decode_image(data)[0, 2].tolist() == [255 - bright] * 3


def test_one_bit_whose_white_is_zero_is_a_mask_as_stored() -> None:
    black_and_white = Translation((((0, 0),), ((255, 255),)), ((), ()))
    data = tiff(np.array([[0, 1, 1]], bool))  # tifffile stores bool as white is zero
    assert mask_facts(data, black_and_white, "m", LIMIT)["mask_counts"] == [1, 2]


def test_values_nobody_wrote_are_explained() -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([9, 9, 9, 128, 64, 0] + [0] * 762)
    two_bits = b"P5\n4 1\n3\n" + bytes([0, 1, 2, 3])
    readings = [
        mask_facts(data, identity(2), "m", LIMIT)["mask_reading"]
        for data in (
            encoded(Image.new("1", (2, 2), 1)),
            encoded(palette),
            encoded(palette, "GIF"),
            two_bits,
            encoded(Image.new("L", (2, 2))),
        )
    ]
    assert readings == [
        "stored in 1 bit, read as spread over 0 to 255",
        "positions in the palette, not the colours a viewer shows",
        "positions in the palette of a GIF, which its writer orders",
        "stored as 0 to 3, read as spread over 0 to 255",
        None,
    ]


def test_palettes_are_a_fact_where_positions_are_read() -> None:
    palette = Image.fromarray(np.array([[0, 2]], np.uint8), "L").convert("P")
    palette.putpalette([9, 9, 9, 0, 0, 0, 128, 64, 0])
    assert mask_facts(encoded(palette), identity(3), "m", LIMIT)["mask_palette"] == "0=#090909 2=#804000"
    by_colour = Translation(((), ()), (((9, 9, 9),), ((128, 64, 0),)))
    assert mask_facts(encoded(palette), by_colour, "m", LIMIT)["mask_palette"] is None


def test_a_shape_in_the_transparency_is_said() -> None:
    shape, black = np.eye(8, dtype=np.uint8) * 255, np.zeros((8, 8), np.uint8)
    for picture, only in (
        (np.dstack([black, black, black, shape]), True),
        (np.dstack([black, shape]), True),
        (np.dstack([shape, shape, shape, shape]), False),
        (np.dstack([black, black, black, black + 9]), False),
    ):
        assert mask_facts(encoded(Image.fromarray(picture)), identity(1), "m", LIMIT)["mask_alpha_only"] is only


def test_signed_masks_have_void_below_zero() -> None:
    data = tiff(np.array([[-9999, 0, 1, -1]], np.int16))
    facts = mask_facts(data, translation_of({"a": [0], "b": [1]}, [-9999]), "m", LIMIT)
    assert (facts["mask_counts"], facts["mask_void"], facts["mask_unknown_values"]) == ([1, 1], 1, ["-1"])
    facts = mask_facts(data, translation_of({"a": [0], "b": "rest"}, ["-9999--1"]), "m", LIMIT)
    assert (facts["mask_counts"], facts["mask_void"], facts["mask_rest_values"]) == ([1, 1], 2, 1)
    with pytest.raises(GraftError, match=r"a: -1 is no grey value.*void alone can be negative"):
        translation_of({"a": [-1], "b": [1]}, [])


@pytest.mark.parametrize(
    ("values", "options", "is_picture"),
    [
        (BANDS, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, True),
        (BANDS, {"photometric": "rgb", "extrasamples": ["unspecified"]}, True),
        (BANDS.astype(np.uint16) * 10, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, True),
        (SEE_THROUGH, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, False),
        (BANDS[..., :3], {"photometric": "rgb"}, False),
    ],
)
def test_a_band_that_varies_as_a_picture_is_a_fact(
    values: np.ndarray, options: dict[str, Any], is_picture: bool
) -> None:
    assert image_facts(tiff(values, **options), "x", LIMIT)["further_band_is_picture"] is is_picture
    if options.get("extrasamples") == ["unassalpha"] and values.dtype == np.uint8:
        assert image_facts(encoded(Image.fromarray(values)), "x", LIMIT)["further_band_is_picture"] is is_picture


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (np.zeros((8, 8, 5), np.uint16), {"planarconfig": "contig"}, "5 bands of uint16, compression NONE"),
        (np.zeros((8, 8), np.float64), {}, "1 band of float64, compression NONE"),
        (np.zeros((8, 8), np.uint8), {"compression": "jpeg2000"}, "1 band of uint8, compression JPEG2000"),
    ],
)
def test_a_tiff_that_is_no_picture_is_described(values: np.ndarray, options: dict[str, Any], words: str) -> None:
    data = tiff(values, photometric="minisblack", **options)
    with pytest.raises(GraftError, match=rf"^a.tif: a TIFF of {words}: .*source stacks"):
        image_facts(data, "a.tif", LIMIT)


def test_every_format_named_is_known_to_pillow() -> None:
    Image.init()
    assert set(FORMATS_READ) <= set(Image.OPEN)

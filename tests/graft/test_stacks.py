"""Images of any number of channels: every kind of file, what is refused, what becomes of them."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from graft.data.augmentations import POLICIES, apply, build, carry_channels, num_carried
from graft.data.facts import stack_facts
from graft.data.images.stacks import composite, decode
from graft.data.resize import resize_image
from graft.foundation.class_map import RGB, ClassMap
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import predict_logits
from graft.inference.tiles import Tiling
from graft.training.normalisation import normalisation_of

FOUR = (*RGB, "nir")
GENERATOR = np.random.default_rng(5)
BYTES = GENERATOR.integers(0, 256, (30, 40, 4), np.uint8)
WIDE = GENERATOR.integers(0, 12000, (30, 40, 4), np.uint16)


def kind(channels: tuple[str, ...] = FOUR, max_value: int | None = 10000) -> ClassMap:
    about = ("segmentation", ("a", "b"), ((0, 0, 0), (9, 9, 9)), (0, 1), False, False, "stacks")
    return ClassMap(*about, channels=channels, max_value=max_value)


def as_tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **{"photometric": "minisblack", "planarconfig": "contig"} | options)
    return file.getvalue()


def as_npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def as_npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def as_png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def as_zip(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    return file.getvalue()


PLANES = np.moveaxis(WIDE, 2, 0)
LZW = cv2.imencode(".tif", WIDE[..., [2, 1, 0, 3]])[1].tobytes()  # as OpenCV compresses unless told not to
STACKS = {
    "TIFF, bands beside each other": as_tiff(WIDE),
    "TIFF, bands apart": as_tiff(PLANES, planarconfig="separate"),
    "TIFF, a page a band": as_tiff(PLANES, planarconfig=None, metadata=None),
    "TIFF, deflated tiles": as_tiff(WIDE, compression="zlib", predictor=True, tile=(16, 16)),
    "TIFF, big endian": as_tiff(WIDE, byteorder=">"),
    "BigTIFF": as_tiff(WIDE, bigtiff=True),
    "TIFF, LZW": LZW,
    "TIFF, LZW, five strips with a predictor": as_tiff(WIDE, compression="lzw", predictor=True, rowsperstrip=7),
    "TIFF, ZSTD": as_tiff(WIDE, compression="zstd", tile=(16, 16)),
    "TIFF, LZMA": as_tiff(PLANES, compression="lzma", planarconfig="separate"),
    "TIFF, PackBits": as_tiff(WIDE, compression="packbits"),
    "TIFF, JPEG 2000 without loss": as_tiff(PLANES, planarconfig=None, compression="jpeg2000", metadata=None),
    "npy": as_npy(WIDE),
    "npy, big endian": as_npy(WIDE.astype(">u2")),
    "PNG of 16 bits": as_png(WIDE[..., [2, 1, 0, 3]]),
    "npy, channels first, Fortran": as_npy(np.asfortranarray(PLANES)),
    "npz": as_npz(image=WIDE),
    "zip": as_zip(a_npy=as_npy(WIDE[..., :3]), b_tif=as_tiff(WIDE[..., 3])),
}


@pytest.mark.parametrize("name", STACKS)
def test_every_kind_of_stack_is_read_alike(name: str) -> None:
    image = decode(STACKS[name], kind(), max_pixels=1200)
    assert image.dtype == np.uint8
    assert (image == (np.minimum(WIDE.astype(int), 10000) * 255 + 5000) // 10000).all()
    assert (decode(STACKS[name], kind()) == image).all()
    with pytest.raises(GraftError, match=r"a\.tif( \(.*\))?: 40 x 30 pixels are more than the 1,199 allowed"):
        decode(STACKS[name], kind(), where="a.tif", max_pixels=1199)


def test_samples_of_8_bits_stay_as_they_are() -> None:
    png = as_png(BYTES[..., [2, 1, 0, 3]])
    for data in (as_tiff(BYTES), as_npy(BYTES), png, as_tiff(BYTES, photometric="rgb", extrasamples=["unassalpha"])):
        assert (decode(data, kind()) == BYTES).all()
    lzw = io.BytesIO()
    Image.fromarray(BYTES, "RGBA").save(lzw, "TIFF", compression="tiff_lzw")
    assert (decode(lzw.getvalue(), kind()) == BYTES).all()


def test_a_photograph_is_turned_upright_and_its_depth_follows() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(BYTES[..., :3]).save(file, "PNG", exif=exif)
    depth = np.rot90(WIDE[..., 3], -1)
    image = decode(as_zip(a_png=file.getvalue(), b_png=as_png(depth)), kind())
    assert (image[..., :3] == np.rot90(BYTES[..., :3], -1)).all()
    assert image.shape == (40, 30, 4)


def test_pictures_are_read_as_before_where_no_stacks_are_declared() -> None:
    data = as_png(BYTES[..., [2, 1, 0, 3]])
    assert decode(data, kind(RGB, None)).shape == (30, 40, 3)  # transparency is laid on white


def header_of(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "lzw": imagecodecs.lzw_encode,
    "zlib": lambda data: zlib.compress(data, 9),
    "zstd": imagecodecs.zstd_encode,
    "lzma": imagecodecs.lzma_encode,
    "packbits": lambda data: b"\x81\x00" * (len(data) // 128),  # a zero 128 times
    "jpeg": lambda data: imagecodecs.jpeg_encode(np.frombuffer(data, np.uint8).reshape(2_000, 2_500)),
    "jpeg2000": lambda data: imagecodecs.jpeg2k_encode(np.frombuffer(data, np.uint8).reshape(2_000, 2_500)),
    "webp": lambda data: imagecodecs.webp_encode(np.zeros((1_500, 1_500, 3), np.uint8)),
}


def tiff_with_a_bomb(compression: str) -> bytes:
    """The first strip unfolds to a thousand times the image."""
    bands = {"jpeg": BYTES[..., 0], "jpeg2000": BYTES[..., 0], "webp": BYTES[..., :3]}.get(compression, BYTES)
    photometric = "rgb" if compression == "webp" else "minisblack"
    data = bytearray(as_tiff(bands, compression=compression, photometric=photometric))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        page = file.pages.first
        tag, bomb = page.tags["StripByteCounts"], BOMBS[compression](bytes(5_000_000))
        struct.pack_into("<I", data, page.tags["StripOffsets"].valueoffset, len(data))
        struct.pack_into("<I" if tag.dtype == 4 else "<H", data, tag.valueoffset, min(len(bomb), 65_535))
    return bytes(data) + bomb


def with_compression(data: bytes, compression: int) -> bytes:
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        struct.pack_into("<H", changed, file.pages.first.tags["Compression"].valueoffset, compression)
    return bytes(changed)


def tiff_with_a_tile() -> bytes:
    data = bytearray(with_compression(as_tiff(BYTES, tile=(16, 16)), 5))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        for name in ("TileWidth", "TileLength"):
            tag = file.pages.first.tags[name]
            struct.pack_into("<HII", data, tag.offset + 2, 4, 1, 102_400)
    return bytes(data)


PICKLED = as_npy(np.array([{"a": 1}], dtype=object))
REFUSED = {
    "empty": (b"", r"x: the file is empty \(zero bytes\)"),
    "no stack": (b"hello, world", r"x: not an image of a known kind"),
    "cut off TIFF": (
        STACKS["TIFF, bands beside each other"][:-100],
        r"x: the stack is damaged or cut off \(strips lie",
    ),
    "cut off header": (STACKS["BigTIFF"][:12], r"x: the stack is damaged or cut off"),
    "broken deflate": (
        STACKS["TIFF, deflated tiles"][:600] + bytes(400) + STACKS["TIFF, deflated tiles"][1000:],
        r"x: (the stack is damaged or cut off|its strips unfold)",
    ),
    "cut off npy": (STACKS["npy"][:-1], r"x: the stack is damaged or cut off \(9599 of 9600 bytes are there\)"),
    "cut off npz": (STACKS["npz"][:-30], r"x: the stack is damaged or cut off"),
    "cut off LZW": (LZW[:2000], r"x: the stack is damaged or cut off"),
    "cut off PNG of 16 bits": (STACKS["PNG of 16 bits"][:-500], r"x: the image is damaged or cut off"),
    "pickled": (PICKLED, r"x: it holds pickled Python objects, which are never opened"),
    "pickled in an npz": (as_zip(a_npy=PICKLED), r"x \(a\.npy\): it holds pickled Python objects"),
    "floats": (as_npy(np.zeros((4, 4, 4), np.float32)), r"x: samples are float32; only uint8 and uint16"),
    "four axes": (as_npy(np.zeros((1, 4, 4, 4), np.uint8)), r"x: an array of shape \[1, 4, 4, 4\] is no image"),
    "no pixels": (as_npy(np.zeros((0, 4, 4), np.uint8)), r"x: an array of shape \[0, 4, 4\] is no image"),
    "three channels": (as_npy(BYTES[..., :3]), r"x: it has 3 channels, not the 4 of red, green, blue, nir"),
    "one channel": (as_png(BYTES[..., 0]), r"x: it has 1 channel, not the 4 of red, green, blue, nir"),
    "a header of many channels": (header_of((30, 2_000, 2_000)), r"x: .*more than the 10,000 allowed"),
    "a header of more channels": (header_of((9_000, 9_001, 9_002)), r"x: .*more than the 10,000 allowed"),
    "a header of a hundred channels": (header_of((100, 100, 100)), r"x: it has 100 channels, not the 4 of red"),
    "two sizes": (
        as_zip(a_png=as_png(BYTES[..., :3]), b_png=as_png(BYTES[:20, :, 0])),
        r"x: the files of a stack have one size, these x \(a\.png\) 40 x 30, x \(b\.png\) 40 x 20",
    ),
    "an empty zip": (as_zip(a_npy=b"")[:0] + as_zip(), r"x: "),
    "too many files": (as_zip(**{f"{n}_npy": as_npy(BYTES[..., 0]) for n in "abcde"}), r"x: 5 files in one stack of 4"),
    "a zip in a zip": (as_zip(a_zip=STACKS["npz"]), r"x \(a\.zip\): not an image of a known kind"),
    "a tile of ten billion pixels": (tiff_with_a_tile(), r"x: its tiles are many times larger than the image"),
    "a bomb in a TIFF": (tiff_with_a_bomb("zlib"), r"x: its strips unfold to more than the image has room for"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_stack_is_refused_by_name(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(GraftError, match=message):
        decode(data, kind(), where="x", max_pixels=10_000)


@pytest.mark.parametrize("start", range(0, 400, 7))
def test_a_damaged_stack_never_raises_anything_else(start: int) -> None:
    for whole in (STACKS["TIFF, deflated tiles"], LZW, STACKS["npz"], STACKS["npy"]):
        data = bytearray(whole)
        for place in range(start, min(start + 3, len(data))):
            data[place] ^= 0xA5
        with contextlib.suppress(GraftError):
            assert decode(bytes(data), kind(), max_pixels=10_000).shape[2] == 4


@pytest.mark.parametrize("compression", BOMBS)
def test_a_strip_that_unfolds_to_more_than_the_header_says_is_refused_unread(
    compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, read = tiff_with_a_bomb(compression), []
    num_channels = {"jpeg": 1, "jpeg2000": 1, "webp": 3}.get(compression, 4)
    monkeypatch.setattr("tifffile.TiffPageSeries.asarray", lambda series, **options: read.append(series))
    Image.init()  # the modules of all formats, loaded once
    tracemalloc.start()
    with pytest.raises(GraftError, match=r"x: its strips unfold to more than the image has room for"):
        decode(data, kind(FOUR[:num_channels]), where="x", max_pixels=10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not read
    assert peak < 2_000_000  # of 5,000,000 bytes


def test_a_jpeg_in_a_tiff_is_read_as_the_picture_it_is() -> None:
    smooth = cv2.resize(BYTES[:4, :5, :3], (40, 30), interpolation=cv2.INTER_CUBIC)
    data = as_tiff(smooth, photometric="rgb", compression="jpeg", compressionargs={"level": 95})
    difference = np.abs(decode(data, kind(RGB), max_pixels=1200).astype(int) - smooth)
    assert difference.max() < 24
    assert difference.mean() < 4


def test_facts_of_a_stack_are_those_of_its_composite() -> None:
    facts = stack_facts(as_tiff(WIDE), kind(), "x", 10_000)
    assert (facts["format"], facts["channels"], facts["bit_depth"], facts["mode"]) == ("TIFF", 4, 16, "stack")
    assert (facts["width"], facts["height"], facts["exif_orientation"]) == (40, 30, 1)
    other = WIDE.copy()
    other[..., 3] = 0
    assert stack_facts(as_tiff(other), kind(), "x", 10_000) == facts
    joined = stack_facts(as_zip(a_png=as_png(BYTES[..., :3]), b_png=as_png(WIDE[..., 3])), kind(), "x", 10_000)
    assert (joined["format"], joined["bit_depth"]) == ("PNG+PNG", 16)


def test_the_composite_shows_colours_by_name_or_the_first_three_or_grey() -> None:
    assert (composite(BYTES, ("nir", "blue", "green", "red")) == BYTES[..., [3, 2, 1]]).all()
    assert (composite(BYTES, ("a", "b", "c", "d")) == BYTES[..., :3]).all()
    assert (composite(BYTES[..., :2], ("vv", "vh")) == BYTES[..., [0, 0, 0]]).all()
    assert composite(BYTES[..., :3], RGB) is not None


@pytest.mark.parametrize("num_channels", [1, 2, 4, 5, 13])
def test_every_channel_is_resized_and_padded_as_if_it_were_alone(num_channels: int) -> None:
    image = GENERATOR.integers(0, 256, (50, 60, num_channels), np.uint8)
    for size in ((20, 25), (90, 70)):
        resized = resize_image(image, size)
        assert resized.shape == (*size, num_channels)
        for channel in range(num_channels):
            assert (resized[..., channel] == resize_image(np.ascontiguousarray(image[..., channel]), size)).all()

    class Spec:
        task, resize, padding_multiple, min_side_px = "segmentation", {"name": "none"}, 32, 32

    def mean(images: np.ndarray) -> np.ndarray:
        assert images.shape == (1, 64, 64, num_channels)
        return np.moveaxis(images, 3, 1).astype(np.float32)

    logits = predict_logits(mean, image, Spec(), Tiling(1_000_000, 8))
    assert (np.moveaxis(logits, 0, 2) == image).all()


@pytest.mark.parametrize("channels", [FOUR, (*RGB, *"abcd"), ("nir", *RGB), ("thermal",), tuple("abcdef")])
@pytest.mark.parametrize("name", [name for name in POLICIES if name != "compose"])
def test_measurements_only_move_with_the_view(name: str, channels: tuple[str, ...]) -> None:
    """A channel that holds what the mask holds, coarsely, lies over the mask in every view."""
    mask = np.kron(GENERATOR.integers(0, 2, (4, 5)), np.ones((20, 20))).astype(np.uint8)
    image = np.repeat((mask * 200)[..., None], len(channels), axis=2)
    plain, policy = (
        build(POLICIES[name](), 48, 64),
        carry_channels(build(POLICIES[name](), 48, 64), num_carried(channels)),
    )
    changed = 0
    for seed in range(12):
        view, view_mask = apply(policy, image, mask, seed, channels)
        assert view.shape == (48, 64, len(channels))
        measured = view[..., 3:] if channels[:3] == RGB else view
        known = view_mask != 255
        assert ((measured > 100)[known] == (view_mask == 1)[known][:, None]).mean() > 0.97
        colours, plain_mask = apply(plain, np.repeat((mask * 200)[..., None], 3, axis=2), mask, seed)
        assert (plain_mask == view_mask).all()
        if channels[:3] == RGB:
            assert (view[..., :3] == colours).all()
            changed += int((view[..., 0] != view[..., 3])[known].any())
    assert channels[:3] != RGB or name != "street" or changed > 2


def test_a_compression_that_cannot_be_read_is_named_with_the_remedy() -> None:
    message = r"x: its compression \(LERC\) cannot be read.*Remedy: save it with deflate: gdal_translate -co COMPRESS"
    with pytest.raises(GraftError, match=message):
        decode(with_compression(as_tiff(WIDE), 34887), kind(), where="x")


def lzw(segment: np.ndarray) -> bytes:
    """The samples of a strip, [rows, columns, bands], as libtiff compresses their bytes."""
    file, rows = io.BytesIO(), np.ascontiguousarray(segment).reshape(len(segment), -1).view(np.uint8)
    Image.fromarray(rows).save(file, "TIFF", compression="tiff_lzw")
    data = file.getvalue()
    with tifffile.TiffFile(io.BytesIO(data)) as written:
        ((offset, count),) = zip(written.pages.first.dataoffsets, written.pages.first.databytecounts, strict=True)
    return data[offset : offset + count]


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(16, 32), (8, 40)], ids=["tiles", "strips"])
def test_lzw_of_any_number_of_bands_is_read(height: int, width: int, predictor: int) -> None:
    """As Google Earth Engine exports; tifffile writes the places, libtiff what stands there."""
    values = GENERATOR.integers(0, 10000, (30, 40, 7), np.uint16)
    way: dict[str, Any] = {"tile": (height, width)} if width < 40 else {"rowsperstrip": height}
    data = bytearray(as_tiff(values, **way, extratags=[(316, 3, 1, predictor, True)]))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tags = file.pages.first.tags
        places, sizes = (tags[name] for name in (("TileOffsets", "TileByteCounts") if "tile" in way else (273, 279)))
        struct.pack_into("<H", data, tags[316].offset, 317)  # the predictor, which tifffile would not write here
    for number in range(places.count):
        row, column = divmod(number, -(-40 // width))
        strip = values[row * height :, column * width :][:height, :width]
        if "tile" in way:
            strip = np.pad(strip, ((0, height - strip.shape[0]), (0, width - strip.shape[1]), (0, 0)))
        if predictor == 2:
            strip = np.diff(strip, axis=1, prepend=np.zeros_like(strip[:, :1]))
        compressed = lzw(strip)
        for tag, value in ((places, len(data)), (sizes, len(compressed))):
            kind_of_tag, size = {3: ("<H", 2), 4: ("<I", 4)}[int(tag.dtype)]
            struct.pack_into(kind_of_tag, data, tag.valueoffset + size * number, value)
        data += compressed
    image = decode(with_compression(bytes(data), 5), kind(tuple("abcdefg")), max_pixels=1200)
    assert (image == (values.astype(int) * 255 + 5000) // 10000).all()


def test_samples_of_32_bits_are_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((30, 40), 1 << 20, np.int32)).save(file, "TIFF")
    with pytest.raises(GraftError, match=r"x: samples are int32; only uint8 and uint16.*save it with 8 or 16 bits"):
        decode(file.getvalue(), kind(("depth",)), where="x")


def test_a_class_map_of_before_is_one_of_pictures(tmp_path: Path) -> None:
    kind().write(tmp_path / "class_map.json")
    assert ClassMap.read(tmp_path / "class_map.json") == kind()
    stored = read_json(tmp_path / "class_map.json")
    write_json(tmp_path / "old.json", {key: stored[key] for key in stored if key not in ("channels", "max_value")})
    assert ClassMap.read(tmp_path / "old.json") == kind(RGB, None)
    for broken in ({**stored, "chanels": ["red"]}, {key: stored[key] for key in stored if key != "names"}):
        write_json(tmp_path / "broken.json", broken)
        with pytest.raises(GraftError, match=r"broken\.json: not a class map"):
            ClassMap.read(tmp_path / "broken.json")


def test_pretrained_colours_and_measured_channels_are_normalised_by_their_own() -> None:
    card = {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]}
    statistics = {"mean": [0.7, 0.8, 0.9, 0.95], "std": [0.21, 0.22, 0.23, 0.0]}
    assert normalisation_of(kind(RGB, None), card, statistics) == ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    assert normalisation_of(kind(), card, statistics) == ((0.4, 0.5, 0.6, 0.95), (0.1, 0.2, 0.3, 1 / 255))
    of_three = {name: values[:3] for name, values in statistics.items()}
    false_colours = normalisation_of(kind(("nir", "red", "green")), card, of_three)
    assert false_colours == ((0.7, 0.4, 0.5), (0.21, 0.1, 0.2))
    own = {"mean": [0.1] * 4, "std": [0.2] * 4}
    assert normalisation_of(kind(), own, statistics) == ((0.1,) * 4, (0.2,) * 4)

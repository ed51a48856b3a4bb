"""Headers of image files: orientation, depth, bands, as far as Pillow's own fields do not say them."""

from __future__ import annotations

import io

from PIL import Image

from graft.foundation.counted import counted

ORIENTATION_TAG = 0x0112
# Where Pillow looks for the orientation, and how the chunks of a PNG begin that hold it: their type and their keyword.
ORIENTED_BY = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
PNG_ORIENTED_BY = (b"eXIf", *(kind + word for kind in (b"iTXt", b"tEXt", b"zTXt") for word in (
    b"XML:com.adobe.xmp", b"Raw profile type exif")))  # fmt: skip
BITS_PER_SAMPLE_TAG, PHOTOMETRIC_TAG, SAMPLES_PER_PIXEL_TAG = 258, 262, 277
COLOURS_OF_PHOTOMETRIC = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
BITS_OF_MODE = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}
TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_plain_png(image: Image.Image, data: bytes) -> bool:
    """Whether it is a complete 8-bit grey or RGB PNG without transparency."""
    plain = image.format == "PNG" and image.mode in ("L", "RGB") and data[24] == 8
    return plain and "transparency" not in image.info and b"IEND" in data[-16:]


def orientation_of(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none. Asked before the pixels of a TIFF are read."""
    if image.format == "PNG" and _png_is_oriented(data):
        image.load()  # it may stand behind the pixels
    if image.format in ("JPEG", "MPO", "PNG", "WEBP", "AVIF") and image.info.keys().isdisjoint(ORIENTED_BY):
        return 1
    value = image.getexif().get(ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _png_is_oriented(data: bytes) -> bool:
    """Whether a chunk of a PNG holds an orientation; going from chunk to chunk is ten times faster than a search."""
    place = 8
    while place + 8 <= len(data):
        if data.startswith(PNG_ORIENTED_BY, place + 4):
            return True
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return False


def bit_depth(image: Image.Image, data: bytes) -> int:
    """Bits a sample as stored, of the deepest band."""
    if image.format == "PNG":
        return data[24]  # IHDR comes first: 8 bytes of signature, 8 of chunk header, width, height, bit depth
    if image.format == "TIFF":
        return max(image.tag_v2.get(BITS_PER_SAMPLE_TAG, (1,)))  # type: ignore[attr-defined]
    if image.format == "PPM":
        return largest_sample(image).bit_length()
    return BITS_OF_MODE.get(image.mode, 8)


def largest_sample(image: Image.Image) -> int:
    """The largest value that the header of a PGM or PPM announces; Pillow spreads the samples by it."""
    if image.mode == "1":
        return 1
    tile = getattr(image, "tile", None)
    args = tile[0].args if tile else ()
    return (
        int(args[-1])
        if image.format == "PPM" and isinstance(args, tuple)
        else 65535
        if image.mode.startswith("I")
        else 255
    )


def is_white_zero(image: Image.Image) -> bool:
    """Whether it is a TIFF that stores white as 0; Pillow inverts such samples of up to 8 bits, and deeper ones not."""
    return image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC_TAG) == 0  # type: ignore[attr-defined]


def num_further_bands(image: Image.Image) -> int:
    """Bands of a TIFF beside its colours: transparency, or whatever else they hold."""
    if image.format != "TIFF":
        return 0
    tags = image.tag_v2  # type: ignore[attr-defined]
    return int(tags.get(SAMPLES_PER_PIXEL_TAG, 1)) - COLOURS_OF_PHOTOMETRIC.get(tags.get(PHOTOMETRIC_TAG, 1), 4)


def webp_is_lossless(data: bytes) -> bool:
    """Whether the first frame of a WebP is stored without loss."""
    return b"VP8L" in data[:64]


def describe_tiff(data: bytes) -> str | None:
    """Bands, type of samples and compression of a TIFF, in words; None where it is none or its header is damaged."""
    if data[:4] not in TIFF_BEGINS:
        return None
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            bands, compression = page.samplesperpixel, getattr(page.compression, "name", str(page.compression))
            return f"a TIFF of {counted(bands, 'band')} of {page.dtype}, compression {compression}"
    except Exception:  # whatever a damaged file makes of the reader: there is nothing to describe
        return None

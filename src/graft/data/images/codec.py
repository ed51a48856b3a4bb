"""Encoded images and masks to arrays and back: the one way every part of Graft looks at a file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import cv2
import imagecodecs
import numpy as np
from PIL import Image, ImageOps

from graft.data.images.headers import describe_tiff, is_plain_png, is_white_zero, orientation_of
from graft.foundation.class_map import IGNORE_INDEX, TARGET_WORD
from graft.foundation.errors import GraftError
from graft.foundation.value_counts import value_counts

if TYPE_CHECKING:
    from graft.data.shards import Row

# What can be opened; Pillow knows more, among them EPS, which it hands to an interpreter of PostScript.
FORMATS_READ = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")

BACKGROUND = "background"


@contextmanager
def open_image(data: bytes, *, where: object = "image", max_pixels: int | None = None) -> Iterator[Image.Image]:
    """The image in `data`, its header read and its pixels not yet; what goes wrong inside becomes a `GraftError`.

    Raises:
        GraftError: No bytes, no image, one that breaks off, or more than `max_pixels` by its header.
    """
    if not data:
        raise GraftError("the file is empty (zero bytes)", where=where)
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours is exact, Pillow's warns and doubles
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS_READ) as image:
            check_size(image.size, where, max_pixels)
            yield image
    except GraftError as error:
        raise error.at(error.where or where) from None
    except Image.UnidentifiedImageError:
        _refuse_unknown(data, where)
    except MemoryError:
        raise GraftError("too large to decode in memory", where=where) from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError…
        raise GraftError(f"the image is damaged or cut off ({error})", where=where) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def decode_image(data: bytes, *, where: object = "image", max_pixels: int | None = None) -> np.ndarray:
    """Any supported image as uint8 [H, W, 3] RGB, as a viewer would show it.

    EXIF orientation is applied; of several frames the first is taken; palettes are looked up; grey is repeated;
    transparency is laid on white; 16 bits a sample become 8 by dropping the lower byte.

    Args:
        data: The encoded file.
        where: Named in the error.
        max_pixels: More than this by the header are refused before decoding; None sets no limit.

    Raises:
        GraftError: The image cannot be decoded.
    """
    with open_image(data, where=where, max_pixels=max_pixels) as image:
        if orientation_of(image, data) == 1 and (decoded := decode_plain_png(image, data)) is not None:
            return decoded if decoded.ndim == 3 else cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB)
        return np.array(ImageOps.exif_transpose(convert_to_rgb(image)))


def upright_size(data: bytes) -> tuple[int, int]:
    """Height and width of an encoded image as a viewer shows it, by its header alone.

    Raises:
        GraftError: The bytes cannot be read as an image.
    """
    with open_image(data) as image:
        width, height = image.size
        return (width, height) if orientation_of(image, data) > 4 else (height, width)


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """An opened image in mode RGB by the rules of `decode_image`, orientation not yet applied."""
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I"):
        return _of_wide_samples(image)
    if image.mode == "F":
        raise GraftError("floating point samples have no agreed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")  # La is grey, premultiplied
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        white.alpha_composite(layer)
        return _with_exif_of(image, white.convert("RGB"))
    return _with_exif_of(image, image.convert("RGB"))


def decode_mask(data: bytes, *, where: object = "mask") -> np.ndarray:
    """A stored index mask as uint8 [H, W], ids 0…K-1 and 255.

    Raises:
        GraftError: Not a grey 8-bit PNG.
    """
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if mask is None or mask.ndim != 2 or mask.dtype != np.uint8:
        raise GraftError("not an index mask (a grey 8-bit PNG)", where=where, remedy="remove it and run dvc repro")
    return mask


def decode_plain_png(image: Image.Image, data: bytes) -> np.ndarray | None:
    """An opened 8-bit grey or RGB PNG as stored, uint8 [H, W] or [H, W, 3]: 4.3 ms where Pillow takes 8.3 (480×360).

    None where it is no such file, or is damaged and Pillow says how.
    """
    if not is_plain_png(image, data):
        return None
    try:
        return imagecodecs.png_decode(data)
    except imagecodecs.PngError:
        return None


def decode_target(row: Row, task: str) -> np.ndarray:
    """The target of a row: its mask as uint8 [H, W], ids 0…K-1 and 255; its label as int64 []; or its labels as uint8
    [K], one where the image has the class.

    Raises:
        GraftError: The row has no target for this task, or its mask is damaged.
    """
    if task == "segmentation" and row.mask is not None:
        return decode_mask(row.mask, where=row.id)
    if task == "classification" and row.label is not None:
        return np.asarray(row.label, np.int64)
    if task == "multilabel" and row.mask is not None:
        return np.frombuffer(row.mask, np.uint8)
    missing = TARGET_WORD[task]
    raise GraftError(
        f"an image of split {row.split} has no {missing}",
        where=row.id,
        rule=f"every image of {row.split} has its target ({task})",
        remedy=f"give it a {missing}, or take the image out of {row.split}",
    )


def encode_png(array: np.ndarray) -> bytes:
    """PNG of uint8 [H, W] or RGB uint8 [H, W, 3]; the same array gives the same bytes."""
    if array.ndim == 2:  # measured on CamVid masks: 0.45 ms and 5.2 kB; without these two, 1.2 ms and 7.9 kB
        options = [
            cv2.IMWRITE_PNG_STRATEGY,
            cv2.IMWRITE_PNG_STRATEGY_RLE,
            cv2.IMWRITE_PNG_FILTER,
            cv2.IMWRITE_PNG_FILTER_UP,
        ]
    else:
        array, options = array[..., ::-1], []
    return cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 1, *options])[1].tobytes()


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    colours: Sequence[tuple[int, int, int]],
    alpha: float = 0.5,
    *,
    untinted: int | None = None,
) -> np.ndarray:
    """Class colours blended over an image.

    Args:
        image: uint8 [H, W, 3] RGB.
        mask: uint8 [H, W] class ids; 255 is left untouched.
        colours: K RGB triples.
        alpha: Share of the colour, 0 to 1.
        untinted: Class that is left untouched too, so that the photograph can be seen.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = np.asarray(colours, np.uint8)
    image, tints = np.ascontiguousarray(image), cv2.LUT(cv2.merge([mask] * 3), table[None])
    blended = cv2.addWeighted(image, 1 - alpha, tints, alpha, 0)
    return cv2.copyTo(image, ((mask == IGNORE_INDEX) | (mask == untinted)).view(np.uint8), blended)


def untinted_class(names: Sequence[str], mask: np.ndarray) -> int:
    """The class that overlays of a mask leave untinted: the one called background, else the one that covers most."""
    called = [id for id, name in enumerate(names) if name.casefold() == BACKGROUND]
    return called[0] if called else int(value_counts(mask)[: len(names)].argmax())


def _refuse_unknown(data: bytes, where: object) -> NoReturn:
    if described := describe_tiff(data):
        raise GraftError(
            f"{described}: neither a picture nor a mask",
            where=where,
            rule="a picture has 1 or 3 bands of 8 or 16 bits, perhaps with transparency; a mask has one band",
            remedy="take ingest.source stacks, which reads any bands by name; or save it with deflate and such bands",
        ) from None
    raise GraftError(f"not an image of a known kind (it begins with {data[:8]!r})", where=where) from None


def check_size(size: tuple[int, int], where: object, max_pixels: int | None) -> None:
    """Refuses an image of `size` (width, height) with more pixels than are allowed."""
    width, height = size
    if max_pixels is not None and width * height > max_pixels:
        raise GraftError(
            f"{width} x {height} pixels are more than the {max_pixels:,} allowed: a decompression bomb?",
            where=where,
            remedy="remove it, or raise ingest.max_pixels if it is genuine",
        )


def _of_wide_samples(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise GraftError(f"samples from {values.min()} to {values.max()} need more than 16 bits; save it with 8 or 16")
    values = 65535 - values if is_white_zero(image) else values
    return _with_exif_of(image, Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB"))


def _with_exif_of(source: Image.Image, image: Image.Image) -> Image.Image:
    """Keeps the orientation, which conversions through arrays and compositing lose."""
    image.info["exif"] = source.getexif().tobytes() if source.getexif() else b""
    return image

"""Facts of a file, found in one look at it: a row with its bytes, or the reason why it cannot become one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from graft.data.formats.listing import Entry, LeftOut, Reader
from graft.data.formats.translation import Translated, Translation, Translations
from graft.data.images.codec import convert_to_rgb, decode_plain_png, encode_png, open_image
from graft.data.images.further_bands import further_band_is_picture
from graft.data.images.headers import bit_depth, orientation_of
from graft.data.images.stacks import ImageKind, composite, decode_parts, join_parts
from graft.data.mask_files import MaskFile, decode_mask_file
from graft.foundation.errors import GraftError

THUMBNAIL_PX = 32
STACK_MODE = "stack"  # beside what Pillow calls modes
BLUE_GREEN_RED_LUMA = np.array([0.114, 0.587, 0.299], np.float32)  # ITU-R BT.601
# JPEG decodes to an eighth, a quarter or half of its size for little; every byte of the file is read all the same.
REDUCED_GREY = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
)


@dataclass(frozen=True)
class Describer:
    """Reads an entry and describes it; picklable, so that every core can do it.

    Calling it gives a dict with the columns of the shards and of the manifest, or a list of problems; None for an entry
    that holds nothing to learn from.
    """

    read: Reader
    translation: Translation | Translations | None
    batch: str
    max_pixels: int
    kind: ImageKind

    def __call__(self, entry: Entry) -> dict[str, Any] | list[str] | None:
        try:
            image, mask = self.read(entry)
        except LeftOut:
            return None
        except OSError as error:
            return [f"{error.filename or entry.id}: cannot be read ({error.strerror or error})"]
        except GraftError as error:
            return [str(error)]
        row: dict[str, Any] = {
            **{name: getattr(entry, name) for name in ("id", "split", "domain", "group", "label")},
            "batch": self.batch,
            "image": image,
            "image_sha256": hashlib.sha256(image).hexdigest(),
            "num_bytes": len(image),
            "source": getattr(entry, "source", 0),
            "image_id": entry.image_id,  # no column; it tells a group that is the image itself
        }
        problems: list[str] = []
        for describe in (lambda: self._image_facts(image, entry), lambda: self._mask_facts(mask, entry)):
            try:
                row |= describe()
            except GraftError as error:
                problems.append(str(error))
        return problems or row

    def _image_facts(self, image: bytes, entry: Entry) -> dict[str, Any]:
        if self.kind.max_value is None:
            return image_facts(image, entry.id, self.max_pixels)
        members = (entry.id, *entry.beside) if entry.beside else ()
        return stack_facts(image, self.kind, entry.id, self.max_pixels, members)

    def _mask_facts(self, mask: bytes | None, entry: Entry) -> dict[str, Any]:
        if entry.labels is not None:
            return label_facts(entry.labels)
        if mask is None or self.translation is None:
            return {"mask": None, "mask_sha256": None}
        return mask_facts(mask, self.translation.of(entry), entry.mask or f"mask of {entry.id}", self.max_pixels)


def image_facts(data: bytes, where: str, max_pixels: int) -> dict[str, Any]:
    """Size, kind, luminance and perceptual hash of an encoded image.

    Width and height are those `decode_image` gives, that is after EXIF orientation.

    Raises:
        GraftError: The image cannot be decoded or is too large.
    """
    with open_image(data, where=where, max_pixels=max_pixels) as image:
        mode, channels, size = image.mode, len(image.getbands()), image.size
        depth, orientation = bit_depth(image, data), orientation_of(image, data)
        thumbnail = _thumbnail(image, data)
        further = further_band_is_picture(image, data)
    turned = orientation >= 5 and image.format != "TIFF"  # Pillow turns TIFF itself, its size included
    return {
        "format": "JPEG" if image.format == "MPO" else image.format,
        "width": size[1] if turned else size[0],
        "height": size[0] if turned else size[1],
        "channels": channels,
        "further_band_is_picture": further,
        "mode": mode,
        "bit_depth": depth,
        "exif_orientation": orientation,
        "mean_luminance": float(thumbnail.mean()),
        "phash": perceptual_hash(thumbnail),
    }


def stack_facts(
    data: bytes, kind: ImageKind, where: str, max_pixels: int, members: Sequence[str] = ()
) -> dict[str, Any]:
    """As `image_facts`, of a stack of channels; luminance and hash are those of its `composite`.

    `members` are the names of its files in errors, where it is a zip that was made of them.

    Raises:
        GraftError: It cannot be decoded, is too large, or has not the channels of `kind`.
    """
    found = decode_parts(data, kind, where=where, max_pixels=max_pixels, members=members)
    image = join_parts(found, kind)
    thumbnail = _luma(composite(image, kind.channels))
    return {
        "format": "+".join(part.format for part in found),
        "width": image.shape[1],
        "height": image.shape[0],
        "channels": image.shape[2],
        "further_band_is_picture": False,
        "mode": STACK_MODE,
        "bit_depth": max(8 * part.values.itemsize for part in found),
        "exif_orientation": 1,
        "mean_luminance": float(thumbnail.mean()),
        "phash": perceptual_hash(thumbnail),
        "num_points": tuple(sum(part.num_points[which] for part in found) for which in (0, 1)),  # no column; said
    }


def mask_facts(data: bytes, translation: Translation, where: str, max_pixels: int) -> dict[str, Any]:
    """The mask translated to an index PNG, and what was met on the way.

    Raises:
        GraftError: The mask cannot be decoded or is too large.
    """
    read = decode_mask_file(data, where=where, max_pixels=max_pixels, as_colours=translation.reads_colours)
    translated = translation.apply(read.values)
    mask = data if read.is_plain and _same(read, translated) else encode_png(translated.mask)
    return {
        "mask": mask,
        "mask_sha256": hashlib.sha256(mask).hexdigest(),
        "mask_format": read.format,
        "mask_lossy": read.lossy,
        "mask_orientation": read.orientation,
        "mask_palette": read.palette,
        "mask_reading": read.reading,
        "mask_alpha_only": read.alpha_only,
        "mask_width": translated.mask.shape[1],
        "mask_height": translated.mask.shape[0],
        "mask_counts": list(translated.counts),
        "mask_void": translated.void,
        "mask_unknown": translated.unknown,
        "mask_unknown_values": list(translated.unknown_values) or None,
        "mask_rest_values": translated.rest_values,
    }


def label_facts(labels: bytes) -> dict[str, Any]:
    """The labels of an image, a byte a class, as the target of a row, and as the counts of the manifest."""
    return {"mask": labels, "mask_sha256": hashlib.sha256(labels).hexdigest(), "mask_counts": list(labels)}


def perceptual_hash(thumbnail: np.ndarray) -> str:
    """64 bits, as 16 hex digits, that change little when an image is rescaled or recompressed.

    The signs of the 8 x 8 lowest frequencies of the cosine transform, about their median without the constant term.

    Args:
        thumbnail: float32 [32, 32] grey.
    """
    low = cv2.dct(thumbnail)[:8, :8].ravel()
    bits = low > np.partition(low[1:], 31)[31]  # the median of 63, in a tenth of the time of np.median
    return np.packbits(bits).tobytes().hex()


def _thumbnail(image: Image.Image, data: bytes) -> np.ndarray:
    """The image in grey, float32 [32, 32], each pixel a mean over its area; orientation is not applied."""
    decoded = _decoded_fast(image, data)
    if decoded is None:
        decoded = np.asarray(convert_to_rgb(image))
    return _luma(decoded)


def _luma(decoded: np.ndarray) -> np.ndarray:
    """Grey [H, W], or RGB [H, W, 3], as float32 [32, 32] grey."""
    means = cv2.resize(decoded, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    return means if means.ndim == 2 else np.ascontiguousarray(means[..., ::-1]) @ BLUE_GREEN_RED_LUMA


def _decoded_fast(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Plain JPEG and PNG, faster than Pillow; None where the file is not plain, or is damaged and Pillow says how."""
    if image.format == "JPEG" and image.mode in ("L", "RGB"):
        scale = min(image.size) // THUMBNAIL_PX
        reduced = [flag for least, flag in REDUCED_GREY if scale >= least]
        flags = cv2.IMREAD_IGNORE_ORIENTATION | (reduced or [cv2.IMREAD_GRAYSCALE])[0]
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return decode_plain_png(image, data)


def _same(read: MaskFile, translated: Translated) -> bool:
    """Whether the stored samples are the ids already."""
    return read.orientation == 1 and translated.mask is read.values

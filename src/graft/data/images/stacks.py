"""Images of any number of channels: GeoTIFF, NumPy arrays, or several files in one zip, as uint8 [H, W, C].

A **stack** is one of

* a TIFF (GeoTIFF, BigTIFF): its first series; bands interleaved, apart, or a page each,
* a `.npy`, or a `.npz` of one array,
* a picture whose bands are taken as they are (the fourth of an RGBA picture is the fourth channel),
* a zip of such files, whose channels follow each other in the order of the archive (a photograph, then its depth).

Arrays are [H, W], [H, W, C] or [C, H, W]: of the first and the last axis the shorter is that of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from graft.data.images.codec import decode_image
from graft.data.images.stack_files import Reading, StackFile, read_part, read_zip
from graft.foundation.class_map import RGB
from graft.foundation.errors import GraftError


class ImageKind(Protocol):
    """The channels that images consist of, as a `ClassMap`, a `ModelSpec` and a `Recipe` name them.

    `channels` are their names in order; `max_value` is what becomes 255 where the samples of a stack have 16 bits, and
    None where images are pictures.
    """

    @property
    def channels(self) -> Sequence[str]: ...

    @property
    def max_value(self) -> int | None: ...


def decode(data: bytes, kind: ImageKind, *, where: object = "image", max_pixels: int | None = None) -> np.ndarray:
    """An encoded image, picture or stack, as uint8 [H, W, C]; pictures as `decode_image` reads them.

    Samples of 16 bits become `round(255 · min(value, max_value) / max_value)`.

    Args:
        data: The encoded file.
        kind: Names of the channels, and the value that becomes 255.
        where: Named in the error.
        max_pixels: More than this by the header are refused before decoding; None sets no limit, and trusts the file.

    Raises:
        GraftError: It cannot be decoded, or has not as many channels.
    """
    if kind.max_value is None:
        return decode_image(data, where=where, max_pixels=max_pixels)
    return join_parts(decode_parts(data, kind, where=where, max_pixels=max_pixels), kind)


def join_parts(found: Sequence[StackFile], kind: ImageKind) -> np.ndarray:
    """The parts of a stack as one uint8 [H, W, C]."""
    return np.concatenate([_as_bytes(part.values, kind.max_value or 65535) for part in found], axis=2)


def composite(image: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """The picture that stands for an image in reports: uint8 [H, W, 3] of [H, W, C].

    Its red, green and blue where it has channels of these names; else its first three; else its first as grey.
    """
    names = list(channels)
    if names == list(RGB):
        return image
    places = [names.index(name) for name in channels_shown(names)]
    return np.ascontiguousarray(image[..., places * (3 // len(places))])


def channels_shown(channels: Sequence[str]) -> list[str]:
    """The names of the channels that `composite` takes: three, or one that is shown as grey."""
    if set(RGB) <= set(channels):
        return list(RGB)
    return list(channels[:3] if len(channels) > 2 else channels[:1])


def decode_parts(
    data: bytes,
    kind: ImageKind,
    *,
    where: object = "image",
    max_pixels: int | None = None,
    members: Sequence[str] = (),
) -> list[StackFile]:
    """The files a stack consists of, decoded: they have one size and together the channels of `kind`.

    Args:
        data: The encoded file.
        kind: Names of the channels, and the value that becomes 255.
        where: Named in the error.
        max_pixels: More than this by the header are refused before decoding; None sets no limit.
        members: Names in errors of the files, where `data` is a zip that was made of them.

    Raises:
        GraftError: As `decode`; it names the file that is to blame.
    """
    if not data:
        raise GraftError("the file is empty (zero bytes)", where=where)
    reading = Reading(where, max_pixels, kind.channels, members)
    found = list(read_zip(data, reading)) if data[:4] == b"PK\3\4" else [read_part(data, reading)]
    sizes = sorted({part.values.shape[:2] for part in found})
    if len(sizes) != 1:
        listed = ", ".join(f"{part.where} {part.values.shape[1]} x {part.values.shape[0]}" for part in found)
        raise GraftError(f"the files of a stack have one size, these {listed or 'none at all'}", where=where)
    num_channels = sum(part.values.shape[2] for part in found)
    if num_channels != len(kind.channels):
        reading.refuse_channels(num_channels, [f"{part.values.shape[2]} of {part.where}" for part in found])
    return found


def _as_bytes(values: np.ndarray, max_value: int) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    return _levels(max_value)[values]


@lru_cache(maxsize=4)
def _levels(max_value: int) -> np.ndarray:
    """For each value of 16 bits its byte, uint8 [65536]."""
    return ((np.minimum(np.arange(65536), max_value) * 255 + max_value // 2) // max_value).astype(np.uint8)

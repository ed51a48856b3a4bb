"""Masks of very large images, predicted and written by windows: of an image only a few tiles are in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.data.images.codec import encode_png, overlay, untinted_class
from graft.data.images.large_images import LargeImage
from graft.data.images.stacks import composite
from graft.data.images.tiff_headers import TiffHeader, is_tiff, mask_beside
from graft.deployment.export.exported_model import ExportedModel
from graft.deployment.georeference import (
    NODATA_TAG,
    copy_from_beside,
    files_beside,
    geo_tags,
    has_geo_tags,
    nodata_tag,
)
from graft.deployment.serving.source_classes import to_source_values, void_value
from graft.deployment.tile_writer import TileWriter
from graft.foundation.class_map import IGNORE_INDEX, ClassMap
from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, warn
from graft.inference.image_to_logits import confidence_of, is_tiled, most_likely_classes, predict_blocks

# A TIFF of more pixels is read and written by windows; a smaller one only if it says where it lies or lacks data.
MOST_WHOLE_PIXELS = 100_000_000
MOST_CHUNK_PIXELS = 100_000_000
OVERLAY_SIDE_PX = 2048


@dataclass(frozen=True)
class Part:
    """A finished block of an image.

    Attributes:
        place: Rows and columns of the block.
        logits: Float32 [K, h, w].
        ids: Class ids uint8 [h, w].
        lacks_data: Pixels that have no data, bool [h, w]; None where the image marks none.
    """

    place: tuple[slice, slice]
    logits: np.ndarray
    ids: np.ndarray
    lacks_data: np.ndarray | None


@dataclass(frozen=True)
class Targets:
    """Files to write: the mask, its overlay (shrunk to at most 2048 pixels a side), the confidence where asked for."""

    mask: Path
    overlay: Path
    confidence: Path | None


def open_large(file: Path, model: ExportedModel, *, needs_whole: GraftError | None = None) -> LargeImage | None:
    """The image, if it is a TIFF that is predicted by windows; None for all others.

    Args:
        file: File of the image.
        model: Model that is to predict it.
        needs_whole: Why the image has to be read whole, if it has.

    Raises:
        GraftError: It is too large to be read whole, and cannot be read by windows.
    """
    with file.open("rb") as opened:
        if not is_tiff(opened.read(4)):
            return None
    num_pixels, is_marked = _look(file)
    if num_pixels <= MOST_WHOLE_PIXELS and not is_marked:
        return None
    try:
        if needs_whole is not None:
            raise needs_whole
        image = LargeImage(file, model.spec, where=file, max_pixels=MOST_CHUNK_PIXELS)
    except GraftError as error:
        if num_pixels > MOST_WHOLE_PIXELS:
            raise
        warn(f"{file}: its mask becomes a PNG without georeference and nodata: {error.what}")
        return None
    if num_pixels > MOST_WHOLE_PIXELS and not is_tiled(_size(image), model.spec, model.tiling):
        image.close()
        raise GraftError(
            f"{image.shape[1]} x {image.shape[0]} pixels would be shrunk as a whole for this model",
            where=file,
            rule=f"images of more than {MOST_WHOLE_PIXELS:,} pixels are read by windows",
            remedy="train it with preprocess.resize: none, or shrink the image",
        )
    image.windows.warn_of_large_strips(math.isqrt(model.tiling.max_pixels))
    return image


def predict_large(file: Path, image: LargeImage, model: ExportedModel, targets: Targets) -> None:
    """Predicts an image and writes its mask, with georeference and nodata, and what goes with it; closes the image.

    Either all files are there in the end, or those that were there before.

    Raises:
        GraftError: A part of the image is damaged.
        OSError: A file cannot be written.
    """
    page, classes = image.header.pages[0], model.class_map
    void = _choose_void(file, image.header, classes)
    sketch = Sketch(_size(image))
    with ExitStack() as stack:
        stack.callback(image.close)
        mask = stack.enter_context(replace_file(targets.mask))
        certain = stack.enter_context(replace_file(targets.confidence)) if targets.confidence else None
        with ExitStack() as writing:
            kind = _values(np.zeros((1, 1), np.uint8), None, classes, void)
            tags = [*geo_tags(page), *([] if void is None else [nodata_tag(void)])]
            writers = [TileWriter(mask, (*_size(image), *kind.shape[2:]), kind.dtype, tags)]
            writers += [TileWriter(certain, _size(image), np.dtype(np.uint8), geo_tags(page))] if certain else []
            for writer in writers:
                writing.enter_context(writer)
            for part in progress(find_parts(image, model), file.name, unit="tile"):
                top, left = (each.start for each in part.place)
                writers[0].add(top, left, _values(part.ids, part.lacks_data, classes, void))
                if certain:
                    writers[1].add(top, left, np.rint(255 * confidence_of(part.logits)).astype(np.uint8))
                sketch.draw(part, composite(image[part.place], model.spec.channels))
        if not has_geo_tags(page):
            for written in filter(None, (mask, certain)):
                copy_from_beside(file, written)
        stack.enter_context(replace_file(targets.overlay)).write_bytes(encode_png(sketch.tinted(model)))


def find_parts(image: LargeImage, model: ExportedModel) -> Iterator[Part]:
    """Yields the finished parts of an image, in rows from top to bottom."""
    looked = SparseImage(image, model)
    for block in predict_blocks(looked.run, looked, model.spec, model.tiling):
        rows, columns = block.logits.shape[1:]
        place = slice(block.top, block.top + rows), slice(block.left, block.left + columns)
        yield Part(place, block.logits, most_likely_classes(block.logits), image.lacks_data(place))


class SparseImage:
    """An image whose windows without data are not given to the model, as those beyond the edge of a map.

    Its `run` takes what was indexed last; such a window is answered by logits of zero: nobody asks for its pixels.
    """

    def __init__(self, image: LargeImage, model: ExportedModel) -> None:
        self.shape = image.shape
        self._image, self._model, self._is_empty = image, model, False

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        lacks = self._image.lacks_data(place)
        self._is_empty = lacks is not None and bool(lacks.all())
        return self._image[place]

    def run(self, images: np.ndarray) -> np.ndarray:
        """Logits float32 [B, K, H, W] of uint8 [B, H, W, C]."""
        if not self._is_empty:
            return self._model.runner(images)
        return np.zeros((len(images), len(self._model.class_map.names), *images.shape[1:3]), np.float32)


class Sketch:
    """A small picture of a large image and of its class ids, drawn block by block from every n-th row and column."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._step = -(-max(size) // OVERLAY_SIDE_PX)
        height, width = (-(-side // self._step) for side in size)
        self._picture, self._ids = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)

    def draw(self, part: Part, picture: np.ndarray) -> None:
        """Takes a part and its picture, uint8 [h, w, 3]."""
        here = tuple(slice(-(-each.start // self._step), -(-each.stop // self._step)) for each in part.place)
        every = tuple(slice(-each.start % self._step, None, self._step) for each in part.place)
        self._picture[here], self._ids[here] = picture[every], part.ids[every]
        if part.lacks_data is not None:
            self._ids[here][part.lacks_data[every]] = IGNORE_INDEX

    def tinted(self, model: ExportedModel) -> np.ndarray:
        """The picture with the colours of the classes over it, uint8 RGB [h, w, 3]."""
        classes = model.class_map
        return overlay(self._picture, self._ids, classes.colors, untinted=untinted_class(classes.names, self._ids))


def _choose_void(file: Path, header: TiffHeader, class_map: ClassMap) -> int | None:
    """The value of pixels without data in the mask of an image; None where the image marks none."""
    if not header.marks_gaps:
        return None
    value, is_apart = void_value(class_map, header.nodata)
    if not is_apart:
        warn(
            f"{file}: pixels without data are {value} in the mask, and only its nodata value says that they are of no "
            "class: every value is one of a class; name a value to ignore (void) in ingest.source to tell them apart"
        )
    return value


def _values(ids: np.ndarray, lacks_data: np.ndarray | None, class_map: ClassMap, void: int | None) -> np.ndarray:
    """Class ids [h, w] as a mask is written; 16 bits where the void value takes them."""
    values = to_source_values(ids, class_map)
    if void is None:
        return values
    values = values.astype(np.promote_types(values.dtype, np.min_scalar_type(void)))
    if lacks_data is not None:
        values[lacks_data] = void
    return values


def _look(file: Path) -> tuple[int, bool]:
    """Number of pixels of a TIFF, and whether it, or a file beside it, says where it lies or what lacks data."""
    import tifffile

    try:
        with tifffile.TiffFile(file) as opened:
            page: Any = opened.series[0].levels[0].pages[0].aspage()  # type: ignore[union-attr]
            is_marked = has_geo_tags(page) or NODATA_TAG in page.tags or bool(files_beside(file))
            is_marked |= mask_beside(file).is_file()
            return page.imagelength * page.imagewidth, is_marked
    except Exception:  # whatever a damaged file makes of the reader: who reads it whole says what is wrong
        return 0, False


def _size(image: LargeImage) -> tuple[int, int]:
    return image.shape[0], image.shape[1]

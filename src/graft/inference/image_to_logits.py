"""The one way from an image to logits, whoever asks: training's val, evaluate, export, predict and the served model.

An image is resized by the spec's rule, padded (mirrored, at the right and the bottom) to a size the model takes, run,
cropped, and its logits are resized back to the image's own size. An image larger than `tiling.max_pixels` is cut into
overlapping tiles whose logits are cross-faded. Torch is not needed here: a runner may be ONNX Runtime.

Legend of shape suffixes: B batch, K classes, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np

from graft.data.resize import resize_image, rule_of
from graft.inference import tiles
from graft.inference.tiles import Indexed, TilingRule

# Takes uint8 [B, H, W, C], gives float32 logits [B, K, H, W] (segmentation) or [B, K] (classification).
Runner = Callable[[np.ndarray], np.ndarray]

# Every backbone here halves its input five times; a smaller image would leave nothing to look at.
MIN_SIDE_PX = 32
# Logits are resized back this many output rows at a time, which bounds the memory of a very large image.
ROWS_AT_A_TIME = 256
PIXELS_AT_A_TIME = 131_072  # half a megabyte a class


class Preparation(Protocol):
    """The form in which a model wants its input; `saved_model.ModelSpec` is one."""

    @property
    def task(self) -> str: ...

    @property
    def resize(self) -> Mapping[str, Any]: ...

    @property
    def padding_multiple(self) -> int: ...

    @property
    def min_side_px(self) -> int: ...

    @property
    def channels(self) -> Sequence[str]: ...

    @property
    def max_value(self) -> int | None: ...

    @property
    def thresholds(self) -> Sequence[float]: ...


def predict_logits(runner: Runner, image: np.ndarray, spec: Preparation, tiling: TilingRule) -> np.ndarray:
    """Logits of one image at its own size.

    Args:
        runner: The model.
        image: uint8 [H, W, C].
        spec: Form in which the model wants its input.
        tiling: The largest input of one forward pass; a larger image is tiled (for classification: shrunk).

    Returns:
        float32 [K, H, W], or [K] for classification.
    """
    return predict_batch(runner, [image], spec, tiling)[0]


def predict_batch(
    runner: Runner,
    images: Sequence[np.ndarray],
    spec: Preparation,
    tiling: TilingRule,
    *,
    after_pass: Callable[[Sequence[int]], None] = lambda indices: None,
) -> list[np.ndarray]:
    """Logits of several images, each at its own size; those whose inputs have one size share a forward pass.

    Shapes and arguments are those of `predict_logits`. No forward pass sees more than `tiling.max_pixels` pixels, not
    counting those that pad its sides to a multiple. Results may be views of one array. `after_pass` is told, after each
    forward pass, which of the images it was of; after the last of its tiles for an image that is tiled.
    """
    max_pixels = tiling.max_pixels
    sizes = [_input_size(image, spec, max_pixels) for image in images]
    results: list[np.ndarray] = [np.empty(0)] * len(images)
    together: dict[tuple[int, int], list[int]] = {}
    for index, (height, width) in enumerate(sizes):
        if _num_pixels((height, width), spec) > max_pixels:
            results[index] = tiles.assemble(_blocks(runner, images[index], spec, tiling), images[index].shape[:2])
            after_pass([index])
        else:
            together.setdefault((height, width), []).append(index)
    for size, indices in together.items():
        num_at_once = max(1, max_pixels // _num_pixels(size, spec))
        for start in range(0, len(indices), num_at_once):
            chosen = indices[start : start + num_at_once]
            logits = _forward(runner, [_resize(images[index], size) for index in chosen], spec)
            after_pass(chosen)
            for index, of_one in zip(chosen, logits, strict=True):
                results[index] = _restore(of_one, images[index].shape[:2])
    return results


def is_tiled(size: tuple[int, int], spec: Preparation, tiling: TilingRule) -> bool:
    """Whether an image of `size` (H, W) is cut into tiles, and not resized before."""
    return rule_of(spec.resize)(*size) == size and _num_pixels(size, spec) > tiling.max_pixels


def predict_blocks(runner: Runner, image: Indexed, spec: Preparation, tiling: TilingRule) -> Iterator[tiles.Block]:
    """Yields the logits of an image at its own size, block by block, each pixel exactly once.

    Args:
        runner: The model.
        image: uint8 [H, W, C]; where `is_tiled`, one tile of it is in memory at a time, else all of it.
        spec: Form in which the model wants its input.
        tiling: The largest input of one forward pass.
    """
    height, width = image.shape[:2]
    if is_tiled((height, width), spec, tiling):
        return _cross_fade(runner, image, spec, tiling)
    return _blocks(runner, image[:height, :width], spec, tiling)


def predict_class_ids(runner: Runner, image: np.ndarray, spec: Preparation, tiling: TilingRule) -> np.ndarray:
    """The most likely class of each pixel, uint8 [H, W], without ever holding the logits of a whole large image.

    Equal to `most_likely_classes(predict_logits(...))`, pixel for pixel.
    """
    height, width = image.shape[:2]
    ids = np.empty((height, width), np.uint8)
    for block in _blocks(runner, image, spec, tiling):
        rows, columns = block.logits.shape[1:]
        ids[block.top : block.top + rows, block.left : block.left + columns] = most_likely_classes(block.logits)
    return ids


def predict_confidence(
    runner: Runner, image: np.ndarray, spec: Preparation, tiling: TilingRule
) -> tuple[np.ndarray, np.ndarray]:
    """The class ids of `predict_class_ids`, and the probability of each by softmax: uint8 and float32 [H, W]."""
    ids, confidence = np.empty(image.shape[:2], np.uint8), np.empty(image.shape[:2], np.float32)
    for block in _blocks(runner, image, spec, tiling):
        rows, columns = block.logits.shape[1:]
        place = np.s_[block.top : block.top + rows, block.left : block.left + columns]
        ids[place] = most_likely_classes(block.logits)
        confidence[place] = confidence_of(block.logits)
    return ids, confidence


def prepare(image: np.ndarray, spec: Preparation, *, max_pixels: int) -> np.ndarray:
    """Resizes and pads an image as the model gets it when it is not tiled: uint8 [H, W, C]."""
    return _pad(_resize(image, _input_size(image, spec, max_pixels)), spec)


def padding(side: int, multiple: int, min_side_px: int) -> int:
    """Number of pixels to add to a side so that it is a multiple and at least `min_side_px` long."""
    return max(-side % multiple, math.ceil(min_side_px / multiple) * multiple - side)


def most_likely_classes(logits: np.ndarray) -> np.ndarray:
    """Class of the largest logit, the first of equals: float32 [K, H, W] to uint8 [H, W], or [K] to int64 [].

    A running maximum over contiguous planes: ten times faster than `numpy.argmax` over the first axis. It takes as many
    rows at a time as fit into a cache, which halves the time of a large tile.
    """
    if logits.ndim == 1:
        return np.asarray(logits.argmax())
    _, height, width = logits.shape
    ids, num_rows = np.empty((height, width), np.uint8), max(1, PIXELS_AT_A_TIME // width)
    for top in range(0, height, num_rows):
        ids[top : top + num_rows] = _running_maximum(logits[:, top : top + num_rows])
    return ids


def _running_maximum(logits: np.ndarray) -> np.ndarray:
    largest = logits[0].copy()
    ids = np.zeros(largest.shape, np.uint8)
    for class_id in range(1, len(logits)):
        larger = (logits[class_id] > largest).view(np.uint8)
        np.maximum(ids, larger * np.uint8(class_id), out=ids)  # ids only grow, so the later of two maxima wins
        np.maximum(largest, logits[class_id], out=largest)
    return ids


def confidence_of(logits: np.ndarray) -> np.ndarray:
    """Probability of the most likely class by softmax: float32 [K, H, W] to [H, W], or [K] to []."""
    return np.asarray(1 / np.exp(logits - logits.max(axis=0)).sum(axis=0))


def _blocks(runner: Runner, image: np.ndarray, spec: Preparation, tiling: TilingRule) -> Iterator[tiles.Block]:
    """Logits at the image's own size, block by block, each pixel exactly once."""
    size = _input_size(image, spec, tiling.max_pixels)
    resized = _resize(image, size)
    if _num_pixels(size, spec) <= tiling.max_pixels:
        whole = _forward(runner, [resized], spec)[0]
    else:
        blocks = _cross_fade(runner, resized, spec, tiling)
        if size == image.shape[:2]:
            yield from blocks
            return
        whole = tiles.assemble(blocks, size)
    for top in range(0, image.shape[0], ROWS_AT_A_TIME):
        rows = _restore_rows(whole, image.shape[:2], top, min(top + ROWS_AT_A_TIME, image.shape[0]))
        yield tiles.Block(top, 0, rows)


def _cross_fade(runner: Runner, image: Indexed, spec: Preparation, tiling: TilingRule) -> Iterator[tiles.Block]:
    return tiles.cross_fade(
        lambda tile: _forward(runner, [tile], spec)[0],
        image,
        tiling,
        multiple=spec.padding_multiple,
        min_side_px=spec.min_side_px,
    )


def _forward(runner: Runner, images: list[np.ndarray], spec: Preparation) -> np.ndarray:
    """Logits [B, K, H, W] or [B, K] of images [H, W, C] of one size, padded for the model and cropped again."""
    height, width = images[0].shape[:2]
    images = [_pad(image, spec) for image in images]
    logits = np.asarray(runner(images[0][None] if len(images) == 1 else np.stack(images)))
    return logits if logits.ndim == 2 else logits[:, :, :height, :width]


def _pad(image: np.ndarray, spec: Preparation) -> np.ndarray:
    below, right = (padding(side, spec.padding_multiple, spec.min_side_px) for side in image.shape[:2])
    if not (below or right):
        return image
    padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    return padded.reshape(*padded.shape[:2], image.shape[2])  # OpenCV drops an axis of one


def _num_pixels(size: tuple[int, int], spec: Preparation) -> int:
    """Number of pixels of an image after sides shorter than `min_side_px` are padded to it.

    For an image of very few rows or columns that is many times its own number of pixels.
    """
    return max(size[0], spec.min_side_px) * max(size[1], spec.min_side_px)


def _input_size(image: np.ndarray, spec: Preparation, max_pixels: int) -> tuple[int, int]:
    height, width = rule_of(spec.resize)(*image.shape[:2])
    if spec.task != "segmentation" and (num_pixels := _num_pixels((height, width), spec)) > max_pixels:
        shrink = math.sqrt(max_pixels / num_pixels)
        longest = max_pixels // max(min(height, width) * shrink, spec.min_side_px)
        height, width = (int(min(max(side * shrink, 1), longest)) for side in (height, width))
    return height, width


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image if image.shape[:2] == size else resize_image(image, size)


def _restore(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Logits [K, h, w] at `size`, bilinear; class logits [K] as they are."""
    if logits.ndim == 1 or logits.shape[1:] == size:
        return logits
    whole = np.empty((len(logits), *size), np.float32)
    for top in range(0, size[0], ROWS_AT_A_TIME):
        rows = slice(top, min(top + ROWS_AT_A_TIME, size[0]))
        whole[:, rows] = _restore_rows(logits, size, rows.start, rows.stop)
    return whole


def _restore_rows(logits: np.ndarray, size: tuple[int, int], first: int, last: int) -> np.ndarray:
    """Rows first to last of `logits` [K, h, w] resized to `size`, bilinear with pixel centres at one half."""
    if logits.shape[1:] == size:
        return logits[:, first:last]
    height = logits.shape[1]
    place = np.clip((np.arange(first, last) + 0.5) * (height / size[0]) - 0.5, 0, height - 1)
    above = place.astype(np.intp)
    share = (place - above).astype(np.float32)[:, None]
    rows = np.empty((len(logits), last - first, size[1]), np.float32)
    for plane, target in zip(logits, rows, strict=True):
        blended = plane[above] * (1 - share) + plane[np.minimum(above + 1, height - 1)] * share
        cv2.resize(blended, (size[1], last - first), dst=target, interpolation=cv2.INTER_LINEAR)
    return rows

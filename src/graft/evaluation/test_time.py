"""Test-time augmentation: predictions averaged over scales of an image and its mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from graft.data.resize import resize_image
from graft.inference.image_to_logits import Runner, predict_batch
from graft.inference.label_decisions import label_probabilities

if TYPE_CHECKING:
    from graft.models.saved_model import ModelSpec
    from graft.params.sections import Predict, TestTime

PLAIN = {"scales": [1.0], "flip": False}  # as it stands in params.yaml: the image as it is, once


def is_plain(test_time: TestTime) -> bool:
    """Whether the model sees each image once, as it is."""
    return test_time.model_dump() == PLAIN


def average_views(runner: Runner, spec: ModelSpec, test_time: TestTime, predict: Predict) -> Runner:
    """The runner whose probabilities are the mean of those of `runner` over all scales, plain and mirrored.

    The model's input is scaled, after the rule of `preprocess.resize`; probabilities are resized back before
    they are averaged. The logits it gives are the logarithms of the means, so their softmax is the means (for
    multilabel of their odds, so their sigmoid is). An input that
    grows beyond `predict.max_pixels` is tiled (for classification: kept within).

    Args:
        runner: Runner of the model.
        spec: Spec of the model.
        test_time: Scales, and whether the mirrored image counts too; the plain scale of 1 alone returns `runner`.
        predict: Limits of an input.
    """
    if is_plain(test_time):
        return runner
    has_labels = spec.task == "multilabel"
    as_is = replace(spec, resize={"name": "none"})
    mirrored = (False, True) if test_time.flip else (False,)
    num_views = len(test_time.scales) * len(mirrored)

    def run(images: np.ndarray) -> np.ndarray:
        size = images.shape[1:3]
        total: np.ndarray | float = 0.0
        for scale in test_time.scales:
            scaled = [resize_image(image, _scaled(size, scale)) for image in images]
            for flip in mirrored:
                inputs = [np.ascontiguousarray(image[:, ::-1]) for image in scaled] if flip else scaled
                logits = predict_batch(runner, inputs, as_is, predict)
                found = map(label_probabilities, logits) if has_labels else None
                total = total + np.stack([*found] if found else [_probabilities(one, flip, size) for one in logits])
        mean, tiny = total / num_views, np.finfo(np.float32).tiny
        odds = mean / np.maximum(1 - mean, tiny) if has_labels else mean
        return np.log(np.maximum(odds, tiny)).astype(np.float32)

    return run


def _scaled(size: Sequence[int], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def _probabilities(logits: np.ndarray, flip: bool, size: Sequence[int]) -> np.ndarray:
    """Softmax of logits [K, h, w], mirrored back and bilinear at `size`; of class logits [K] as they are."""
    likelihoods = np.exp(logits - logits.max(axis=0))
    probabilities = likelihoods / likelihoods.sum(axis=0)
    if probabilities.ndim == 1:
        return probabilities
    planes = probabilities[:, :, ::-1] if flip else probabilities
    if planes.shape[1:] == tuple(size):
        return planes
    return np.stack([cv2.resize(np.ascontiguousarray(plane), size[::-1]) for plane in planes])

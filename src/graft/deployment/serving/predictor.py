"""Encoded images to answers: what the served model does with a request, without MLflow."""

from __future__ import annotations

import base64
import binascii
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graft.data.images.codec import encode_png
from graft.data.images.stacks import decode
from graft.deployment.export.exported_model import open_exported
from graft.deployment.prediction_log import PredictionLog, name_predictor, suffix_of
from graft.deployment.serving.source_classes import probabilities, to_source_values
from graft.foundation.errors import GraftError
from graft.foundation.progress import warn
from graft.inference.image_to_logits import predict_class_ids, predict_confidence, predict_logits

MAX_IMAGES = 64  # of one request, whose images are all in memory at once
MAX_IMAGE_PIXELS = 100_000_000  # of a stranger's request; a larger one is refused as a decompression bomb


class Predictor:
    """An exported model that answers requests.

    Args:
        folder: Folder like `models/exported`.
        log: Folder of a `PredictionLog` to append to.
        version: Name of the model in the log.
        target: Target whose file answers.
    """

    def __init__(self, folder: Path, log: Path | None = None, version: str = "", target: str = "onnx") -> None:
        self.model = open_exported(folder, target=target)
        self.log = None if log is None else PredictionLog(log, name_predictor(version, target), self.model.class_map)

    def answers(self, images: Iterable[str | bytes]) -> list[dict[str, Any]]:
        """One answer for each image.

        Args:
            images: Encoded files (PNG, JPEG, …; TIFF, NumPy or zip for stacks of channels), as bytes or as base64 text.

        Returns:
            Segmentation: `mask` (PNG in the values of the source, base64) and `class_shares` (name to fraction of the
            image). Classification: `label` and `probabilities` (name to fraction). Multilabel: `labels` (a list of
            names), `probabilities` and `thresholds` (name to fraction).

        Raises:
            GraftError: Lists every image that cannot be read; or there are none, or more than 64.
        """
        images = [*images]
        if not 1 <= len(images) <= MAX_IMAGES:
            what = f"{len(images)} images in one request"
            raise GraftError(what, rule=f"a request holds 1 to {MAX_IMAGES}", remedy="send several requests")
        decoded, problems = [], []
        for number, image in enumerate(images):
            try:
                where = f"image {number}"
                data = image_bytes(image, where)
                decoded.append((data, decode(data, self.model.spec, where=where, max_pixels=MAX_IMAGE_PIXELS)))
            except GraftError as error:
                problems.append(f"{error.where}: {error.what}")
        if problems:
            raise GraftError(f"images that cannot be read: {'; '.join(problems)}")
        answer = {"segmentation": self._mask, "classification": self._label, "multilabel": self._labels}[
            self.model.spec.task
        ]
        return [answer(data, image) for data, image in decoded]

    def _mask(self, data: bytes, image: np.ndarray) -> dict[str, Any]:
        runner, spec, tiling = self.model.runner, self.model.spec, self.model.tiling
        if self.log is None:
            ids = predict_class_ids(runner, image, spec, tiling)
        else:
            ids, confidence = predict_confidence(runner, image, spec, tiling)
            self._keep(data, ids, float(confidence.mean()))
        mask = encode_png(to_source_values(ids, self.model.class_map))
        names = self.model.class_map.names
        counts = np.bincount(ids.ravel(), minlength=len(names))
        shares = {name: count / ids.size for name, count in zip(names, counts.tolist(), strict=True)}
        return {"mask": base64.b64encode(mask).decode(), "class_shares": shares}

    def _label(self, data: bytes, image: np.ndarray) -> dict[str, Any]:
        shares = probabilities(predict_logits(self.model.runner, image, self.model.spec, self.model.tiling))
        self._keep(data, np.asarray(shares.argmax()), float(shares.max()))
        names = self.model.class_map.names
        label = names[int(shares.argmax())]
        return {"label": label, "probabilities": dict(zip(names, shares.tolist(), strict=True))}

    def _labels(self, data: bytes, image: np.ndarray) -> dict[str, Any]:
        found = self.model.predict_labels(image)
        self._keep(data, found.decided, found.confidence)
        names, thresholds = self.model.class_map.names, self.model.spec.thresholds
        return {
            "labels": [name for name, decided in zip(names, found.decided, strict=True) if decided],
            "probabilities": dict(zip(names, found.probabilities.tolist(), strict=True)),
            "thresholds": dict(zip(names, thresholds, strict=True)),
        }

    def _keep(self, data: bytes, prediction: np.ndarray, confidence: float) -> None:
        """Logs a prediction where that is wanted; a full disk costs the log a line, and nobody an answer."""
        try:
            if self.log is not None:
                self.log.add(data, suffix_of(data), prediction, confidence)
        except OSError as error:
            warn(f"{error.filename or self.log}: this prediction was not logged ({error.strerror})")


def images_of(request: Any) -> list[Any]:
    """The images of a request: those in its column `image` (of a table, or of a mapping), or a plain list of them.

    Raises:
        GraftError: There is no column `image`.
    """
    if hasattr(request, "columns") or isinstance(request, Mapping):
        names = [str(name) for name in request]
        if "image" not in names:
            there = reprlib.repr(names)
            raise GraftError(f"no column image, only {there}", rule="an image a row, as base64 text, in a column image")
        request = request["image"]
    if isinstance(request, (str, bytes)):
        return [request]
    values = request.tolist() if hasattr(request, "tolist") else [*request]
    if not isinstance(values, list):
        values = [values]
    return [value["image"] if isinstance(value, Mapping) and "image" in value else value for value in values]


def image_bytes(image: object, where: str) -> bytes:
    """The bytes of an encoded file, given as bytes or as base64 text (with or without a `data:` prefix).

    Raises:
        GraftError: It is neither.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if image is None or image != image:  # pandas makes NaN of a null
        raise GraftError("null, where an image is bytes or base64 text", where=where)
    if not isinstance(image, str):
        raise GraftError(f"an image is bytes or base64 text, not {type(image).__name__}", where=where)
    text = image.partition("base64,")[2] if image.startswith("data:") else image
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise GraftError(f"not base64 text (it begins with {text[:12]!r})", where=where) from None

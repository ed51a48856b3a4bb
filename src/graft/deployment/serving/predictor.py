"""Encoded images to answers: what the served model does with a request, without MLflow."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from graft.data.images.codec import encode_png
from graft.data.images.stacks import decode
from graft.deployment.export.exported_model import open_exported
from graft.deployment.serving.source_classes import probabilities, to_source_values
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import predict_class_ids, predict_logits

MAX_IMAGE_PIXELS = 100_000_000  # of a stranger's request; a larger one is refused as a decompression bomb


class Predictor:
    """An exported model that answers requests.

    Args:
        folder: Folder like `models/exported`.
    """

    def __init__(self, folder: Path) -> None:
        self.model = open_exported(folder)

    def answers(self, images: Iterable[str | bytes]) -> list[dict[str, Any]]:
        """One answer for each image.

        Args:
            images: Encoded files (PNG, JPEG, …; TIFF, NumPy or zip for stacks of channels), as bytes or as base64 text.

        Returns:
            Segmentation: `mask` (PNG in the values of the source, base64) and `class_shares` (name to fraction of the
            image). Classification: `label` and `probabilities` (name to fraction).

        Raises:
            GraftError: Lists every image that cannot be read.
        """
        decoded, problems = [], []
        for number, image in enumerate(images):
            try:
                where = f"image {number}"
                data = image_bytes(image, where)
                decoded.append(decode(data, self.model.spec, where=where, max_pixels=MAX_IMAGE_PIXELS))
            except GraftError as error:
                problems.append(f"{error.where}: {error.what}")
        if problems:
            raise GraftError.of_all("images that cannot be read", problems)
        answer = self._mask if self.model.spec.task == "segmentation" else self._label
        return [answer(image) for image in decoded]

    def _mask(self, image: np.ndarray) -> dict[str, Any]:
        ids = predict_class_ids(self.model.runner, image, self.model.spec, self.model.tiling)
        mask = encode_png(to_source_values(ids, self.model.class_map))
        names = self.model.class_map.names
        counts = np.bincount(ids.ravel(), minlength=len(names))
        shares = {name: count / ids.size for name, count in zip(names, counts.tolist(), strict=True)}
        return {"mask": base64.b64encode(mask).decode(), "class_shares": shares}

    def _label(self, image: np.ndarray) -> dict[str, Any]:
        shares = probabilities(predict_logits(self.model.runner, image, self.model.spec, self.model.tiling))
        names = self.model.class_map.names
        label = names[int(shares.argmax())]
        return {"label": label, "probabilities": dict(zip(names, shares.tolist(), strict=True))}


def image_bytes(image: object, where: str) -> bytes:
    """The bytes of an encoded file, given as bytes or as base64 text (with or without a `data:` prefix).

    Raises:
        GraftError: It is neither.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if not isinstance(image, str):
        raise GraftError(f"an image is bytes or base64 text, not {type(image).__name__}", where=where)
    text = image.partition("base64,")[2] if image.startswith("data:") else image
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise GraftError(f"not base64 text (it begins with {text[:12]!r})", where=where) from None

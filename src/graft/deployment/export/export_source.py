"""The source of every exported file: the model as it is stored, and the images that a target may need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.data.images.stacks import decode
from graft.data.shards import read_columns, read_rows
from graft.deployment.export.parity import score_on, spread
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import Runner, prepare

if TYPE_CHECKING:
    from torch import nn

    from graft.models.saved_model import ModelSpec
    from graft.params.sections import Predict


@dataclass(frozen=True)
class ExportSource:
    """The source of a target.

    Attributes:
        model: Model that computes in float32 with the weights as they are stored.
        spec: Its spec.
        opset: Opset of ONNX files.
        onnx: Its float32 ONNX file, which is written before any other.
        train: Shards of the training images; may hold none where no target reads them.
        seen: sha256 of the training images that the model was trained on.
        val: Shards of the images that a loss of score is measured on; likewise.
        predict: Rule by which large images are tiled.
        num_threads: Number of threads of ONNX Runtime.
    """

    model: nn.Module
    spec: ModelSpec
    opset: int
    onnx: Path
    train: Path
    seen: frozenset[str]
    val: Path
    predict: Predict
    num_threads: int

    def calibration(self, limit: int) -> tuple[list[str], list[np.ndarray]]:
        """At most `limit` images that the model was trained on, evenly spread: their ids, and the model's inputs.

        Raises:
            GraftError: There is none.
        """
        digests = read_columns(self.train, ("image_sha256",))
        trained = [number for number, (digest,) in enumerate(digests) if digest in self.seen]
        if not trained:
            raise GraftError(
                "no image to calibrate with",
                where=self.train,
                rule="the ranges of a quantised model are taken from images that it was trained on",
                remedy="run dvc repro, so that models/fine_tuned is of these images, or take onnx_int8 out",
            )
        rows = read_rows(self.train, {trained[index] for index in spread(len(trained), limit)})
        ids, images = [], []
        for row in rows:
            image = decode(row.image, self.spec, where=row.id)
            ids.append(row.id)
            images.append(prepare(image, self.spec, max_pixels=self.predict.max_pixels)[None])
        return ids, images

    def score_on_val(self, runner: Runner) -> float:
        """The headline score on all of val."""
        return score_on(runner, self.val, self.spec, self.spec.num_classes, self.predict)

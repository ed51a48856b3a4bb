"""Scoring as evaluate does it, without calibration, compared with only decoding the files and running the model.

LR-ASPP MobileNetV3-Large, images of 256×256 in batches of 8.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from benchmarks import prepared
from benchmarks.figures import Figure, Options, interleave, rate, ratio
from graft.data.shards import Row, read_rows
from graft.evaluation.scores import Contender, Tally, score_rows
from graft.foundation.class_map import ClassMap
from graft.inference.torch_runner import normalisation, torch_runner
from graft.models.architectures import Model, build_fresh
from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD
from graft.params.sections import Predict

BATCH_SIZE = 8
NUM_IMAGES, NUM_IMAGES_QUICK = 96, 16
LEAST_OF_BARE = 0.8


def run(options: Options) -> list[Figure]:
    """Measures one pass per round over the same rows, which are encoded in memory."""
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    num_images = NUM_IMAGES_QUICK if options.quick else NUM_IMAGES
    with TemporaryDirectory(prefix="graft-bench-") as folder:
        source = prepared.scenes_source(num_images, width_px=256, height_px=256)
        data = prepared.ingest_source(source, Path(folder), Path(folder) / "interim")
        rows, classes = list(read_rows(data / "train")), ClassMap.read(data / "class_map.json")
    model = build_fresh("segmentation", {"name": "lraspp"}, classes.num_classes, 0)
    ways = {"bare": bare_pass(rows, model), "graft": graft_pass(rows, model, classes)}
    seconds = interleave(ways, options.rounds, "Scoring images")
    bare, ours = seconds["bare"], seconds["graft"]
    return [
        ratio("scoring / bare forward and decode, in images/s", bare, ours, at_least=LEAST_OF_BARE),
        rate("bare: OpenCV decodes image and mask, forward in batches of 8", bare, num_images),
        rate("Graft: decode, forward, class ids, confusion matrix of each image", ours, num_images),
    ]


def graft_pass(rows: list[Row], model: Model, classes: ClassMap) -> Callable[[], None]:
    """A pass that treats each row as evaluate does, without calibration, tables and report."""
    spec = prepared.untrained_spec("segmentation", {"name": "lraspp"}, classes.names, model)
    contenders = {"model": Contender(torch_runner(model, spec), spec)}
    limits = Predict(max_pixels=2_000_000, overlap_px=64)

    def one_pass() -> None:
        tally = Tally(contenders)
        for scored in score_rows(rows, contenders, BATCH_SIZE, limits):
            tally.add(scored)

    return one_pass


def bare_pass(rows: list[Row], model: Model) -> Callable[[], None]:
    """A pass that decodes the rows and runs the model, and leaves the logits unused."""
    model = model.to(memory_format=torch.channels_last)
    scale, shift = normalisation(IMAGENET_MEAN, IMAGENET_STD)

    def one_pass() -> None:
        model.eval()
        for start in range(0, len(rows), BATCH_SIZE):
            batch = rows[start : start + BATCH_SIZE]
            images = [_decode(row.image, cv2.IMREAD_COLOR_RGB) for row in batch]
            for row in batch:
                _decode(row.mask, cv2.IMREAD_UNCHANGED)
            with torch.inference_mode():
                model(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() * scale + shift)

    return one_pass


def _decode(data: bytes, how: int) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), how)

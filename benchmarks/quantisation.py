"""One image on one thread in ONNX Runtime: a file in 8 bits compared with the float32 file that it was made from.

Neither network is trained, which changes no time. Images are scenes of 256×192 px; all layers are in 8 bits.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import prepared
from benchmarks.figures import Figure, Options, interleave, median, ratio
from graft.deployment.export.exported_model import classifier_of
from graft.deployment.export.onnx_file import write_onnx
from graft.deployment.export.quantiser import Quantiser
from graft.models.architectures import build_fresh
from graft.scenes import CLASSES, render

NETWORKS = {
    "plain convolutions": {"name": "plain_fcn", "width": 64},
    "EfficientNet-Lite0 FPN": {
        "name": "fpn",
        "encoder": "tu-tf_efficientnet_lite0",
        "pyramid_channels": 128,
        "branch_channels": 64,
    },
}
# The goal where a processor multiplies 8 bits at four times the rate of float32; others miss it.
LEAST_TIMES_FLOAT = {"plain convolutions": 2.5}
WIDTH_PX, HEIGHT_PX = 256, 192
RUNS_A_ROUND, NUM_CALIBRATION = 10, 4


def run(options: Options) -> list[Figure]:
    """Runs both files of each network in turn."""
    return [figure for name in NETWORKS for figure in compare(name, options)]


def compare(name: str, options: Options) -> list[Figure]:
    """The figures of one network."""
    choice = NETWORKS[name]
    model = build_fresh("segmentation", choice, len(CLASSES), 0).eval()
    spec = prepared.untrained_spec("segmentation", choice, CLASSES, model)
    images = [
        render(7, "day", number, width=WIDTH_PX, height=HEIGHT_PX).image[None] for number in range(NUM_CALIBRATION)
    ]
    with TemporaryDirectory(prefix="graft-bench-") as folder:
        onnx, int8 = Path(folder) / "model.onnx", Path(folder) / "model_int8.onnx"
        write_onnx(onnx, model, spec, opset=18)
        quantiser = Quantiser(onnx, images, Path(folder), seven_bits=True)
        quantiser.write(int8, quantiser.layers)
        ways = {file: partial(classifier_of(file, 1), images[0]) for file in (onnx, int8)}
        smaller = onnx.stat().st_size / int8.stat().st_size
        seconds = interleave(ways, RUNS_A_ROUND * options.rounds, "Predicting one image", num_warm_ups=5)
    bound = {"at_least": LEAST_TIMES_FLOAT[name]} if name in LEAST_TIMES_FLOAT else {}
    return [
        ratio(f"{name}: speed in 8 bits / in float32", seconds[onnx], seconds[int8], **bound),
        median(f"{name}: float32", seconds[onnx], "ms", 1000),
        median(f"{name}: 8 bits", seconds[int8], "ms", 1000),
        Figure(f"{name}: bytes in float32 / in 8 bits", smaller, "×"),
    ]

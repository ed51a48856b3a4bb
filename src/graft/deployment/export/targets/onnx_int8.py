"""The target `onnx_int8`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import Field

from graft.deployment.export.export_source import ExportSource

NUM_SCANNED = 8  # calibration images that the damage of a layer is measured on


def onnx_int8(
    source: ExportSource,
    path: Path,
    *,
    calibration_images: Annotated[int, Field(gt=0)] = 64,
    seven_bits: bool = True,
    max_score_difference: Annotated[float, Field(gt=0)] = 0.003,
    min_equal_fraction: Annotated[float, Field(ge=0, le=1)] = 0.95,
) -> dict[str, Any]:
    """ONNX with weights and activations in 8 bits: about a quarter of the bytes, faster where the processor helps.

    Static quantisation by ONNX Runtime (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", https://arxiv.org/abs/1712.05877): a value is scale · (q - zero point). A weight
    has a scale for each output channel and zero point 0, an activation one scale and one zero point, from the range
    that it takes on images that the model was trained on: set `export.calibration: train`. The parity report names
    these.

    If the score on val (`export.scan: val`) then falls by more than `max_score_difference`, each layer is quantised
    alone and the damage to the logits measured (the sensitivity analysis of Wu et al. 2020,
    https://arxiv.org/abs/2004.09602, section 4), and the fewest of the worst stay in float32 with which the drop is
    small enough; the report names these too. A network that cannot reach it is refused.

    Take it for processors with instructions for 8 bits (VNNI, AMX, Arm's dot product). On others, and for networks of
    depthwise convolutions with hard-swish, it may be slower than float32: look at the measured latency.

    Args:
        calibration_images: Number of training images that ranges are taken from, evenly spread.
        seven_bits: Whether weights take 7 of their 8 bits. Processors without VNNI add products of 8 bits in 16, which
            may overflow; with false, the file is a little more exact where that cannot happen.
        max_score_difference: By how much the score (mean IoU, accuracy) may fall, on val and on the evaluated split.
        min_equal_fraction: Least share of predictions that stay the same.
    """
    from graft.deployment.export.exported_model import runner_of
    from graft.deployment.export.quantiser import Quantiser
    from graft.deployment.export.sensitivity import damage_by_layer, write_within

    ids, images = source.calibration(calibration_images)
    with TemporaryDirectory(prefix="graft-") as name:
        folder, original = Path(name), runner_of(source.onnx, source.num_threads)
        quantiser, before = Quantiser(source.onnx, images, folder, seven_bits=seven_bits), source.score_on_val(original)
        facts = write_within(
            quantiser,
            path,
            lambda: damage_by_layer(quantiser, original, images[:NUM_SCANNED], folder, source.num_threads),
            lambda file: before - source.score_on_val(runner_of(file, source.num_threads)),
            max_score_difference,
        )
    return {"calibration_images": ids, **facts}

"""The scan that chooses which layers of a quantised network stay in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graft.deployment.export.exported_model import runner_of
from graft.deployment.export.quantiser import Quantiser
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.image_to_logits import Runner


def write_within(
    quantiser: Quantiser,
    path: Path,
    damages: Callable[[], dict[str, float]],
    drop: Callable[[Path], float],
    most: float,
) -> dict[str, Any]:
    """Writes the file with as many layers in 8 bits as the score allows.

    Args:
        quantiser: The network with its ranges.
        path: File to write.
        damages: Function that measures the damage of each layer, called only where it is needed.
        drop: Function that gives by how much the score of a file falls.
        most: Largest drop.

    Returns:
        `num_layers`, `drop_all_quantised` and `drop` on the images of the scan, `kept_float32`: the layers left in
        float32, those that do most damage first, with that damage.

    Raises:
        GraftError: Only a file without any convolution or matrix product in 8 bits is within the limit.
    """
    quantiser.write(path, quantiser.layers)
    found = drop(path)
    facts = {"num_layers": len(quantiser.layers), "drop_all_quantised": found, "drop": found, "kept_float32": []}
    if found <= most:
        return facts
    by_layer = damages()
    worst = sorted(quantiser.layers, key=lambda layer: -by_layer[layer])
    number, left = _fewest_in_float(quantiser, path, worst, drop, most)
    if not quantiser.has_weights(worst[number:]):
        raise _too_much_lost(found, most)
    quantiser.write(path, worst[number:])
    kept = [{"layer": layer, "damage": by_layer[layer]} for layer in worst[:number]]
    return facts | {"drop": left, "kept_float32": kept}


def _fewest_in_float(
    quantiser: Quantiser, path: Path, worst: Sequence[str], drop: Callable[[Path], float], most: float
) -> tuple[int, float]:
    """How many of the worst layers have to stay in float32, found by halving, and the drop that is left then.

    The drop of the number returned was measured itself, so it holds whether or not the drop falls with each layer.
    """
    too_few, enough, left = 0, len(worst), 0.0
    while enough - too_few > 1:
        number = (too_few + enough) // 2
        quantiser.write(path, worst[number:])
        found = drop(path)
        if found <= most:
            enough, left = number, found
        else:
            too_few = number
    return enough, left


def _too_much_lost(drop: float, most: float) -> GraftError:
    return GraftError(
        f"in 8 bits this network loses more than {most:g}, whichever layers stay in float32",
        where="export.targets",
        rule=f"the score on val falls by at most max_score_difference; with all layers in 8 bits by {drop:.4f}",
        remedy="take onnx_int8 out of export.targets, give it more calibration_images, or a wider limit",
    )


def damage_by_layer(
    quantiser: Quantiser, original: Runner, images: Sequence[np.ndarray], folder: Path, num_threads: int
) -> dict[str, float]:
    """Measures the damage that each layer does alone in 8 bits: the mean squared difference of the logits.

    It is a share of their mean square, so that it can be compared between images and networks.
    """
    expected, damages, file = [original(image) for image in images], {}, folder / "one_layer.onnx"
    power = sum(float(np.square(logits).mean()) for logits in expected)
    for layer in progress(quantiser.layers, "Measuring the damage of each layer", unit="layer"):
        quantiser.write(file, [layer])
        runner = runner_of(file, num_threads)
        errors = [np.square(runner(image) - logits).mean() for image, logits in zip(images, expected, strict=True)]
        damages[layer] = float(sum(errors)) / max(power, float(np.finfo(np.float32).tiny))
    return damages

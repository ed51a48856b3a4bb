"""Static 8-bit quantisation of an ONNX file by ONNX Runtime, any of its layers left in float32."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from graft.deployment.export.onnx_file import write_proto
from graft.foundation.errors import GraftError, first_line

WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Those that lie between them: in 8 bits, they spare the way to float32 and back. The last step, logits to the size of
# the image, stays in float32: 256 levels would make ties of classes that lie close.
BETWEEN = ("Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "Mul", "Relu")


class _Inputs(CalibrationDataReader):
    """Images as ONNX Runtime asks for them."""

    def __init__(self, images: Iterator[np.ndarray]) -> None:
        self.images = images

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The inputs of the next image; None after the last."""
        image = next(self.images, None)
        return None if image is None else {"images": image}


class Quantiser:
    """A float32 file with the ranges that its tensors take on some images, to be written in 8 bits.

    Args:
        file: ONNX file in float32.
        images: Inputs that the ranges are taken from, uint8 [1, H, W, C] each.
        folder: Existing folder for what is needed in between.
        seven_bits: Whether weights take 7 of their 8 bits.

    Attributes:
        layers: Names of the nodes that can be quantised, in the order they run in.

    Raises:
        GraftError: Nothing in the network can be quantised, or ONNX Runtime cannot prepare it.
    """

    def __init__(self, file: Path, images: list[np.ndarray], folder: Path, *, seven_bits: bool) -> None:
        self._images, self._folder, self._seven_bits = images, folder, seven_bits
        self._prepared = folder / "prepared.onnx"
        try:
            quant_pre_process(file, self._prepared, skip_symbolic_shape=True)
        except Exception as error:  # its errors have no base class of their own
            raise _not_quantised(first_line(error)) from None
        proto = onnx.load(self._prepared)
        for number, node in enumerate(proto.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        onnx.save(proto, self._prepared)
        nodes = [node for node in proto.graph.node if node.op_type in (*WITH_WEIGHTS, *BETWEEN)]
        self.layers = [node.name for node in nodes]
        self._with_weights = {node.name for node in nodes if node.op_type in WITH_WEIGHTS}
        if not self._with_weights:
            raise _not_quantised("it has no layer with weights")

    def has_weights(self, layers: Collection[str]) -> bool:
        """Tell whether any of these layers is a convolution or a matrix product."""
        return not self._with_weights.isdisjoint(layers)

    def write(self, path: Path, layers: Collection[str]) -> None:
        """Writes the file with these layers (one at least: ONNX Runtime takes none for all) in 8 bits.

        Raises:
            GraftError: ONNX Runtime cannot quantise the network.
        """
        try:
            quantize_static(
                self._prepared,
                path,
                _Inputs(iter(self._images)),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[*WITH_WEIGHTS, *BETWEEN],
                nodes_to_quantize=sorted(layers),
                per_channel=True,
                reduce_range=self._seven_bits,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibration_cache_path=self._folder / "ranges.json",  # the images are run once
            )
        except Exception as error:
            raise _not_quantised(first_line(error)) from None
        write_proto(path, onnx.load(path))


def _not_quantised(reason: str) -> GraftError:
    return GraftError(
        f"this network cannot be quantised ({reason})",
        where="export.targets",
        rule="onnx_int8 computes convolutions and matrix products in 8 bits",
        remedy="take onnx_int8 out of export.targets",
    )

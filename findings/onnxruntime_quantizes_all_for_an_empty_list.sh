#!/usr/bin/env bash
# onnxruntime 1.31.1: `quantize_static(nodes_to_quantize=[])` quantises every node, not none.
#
# The argument lists the nodes to be quantised; None, the default, stands for all of them. A search for the layers that an 8-bit
# model has to keep in float32 shortens that list step by step, and its last step, no layer at all, is the float32 model that the
# others are compared with. But the quantiser asks whether the list is true, not whether it is None: an empty list gives the same
# bytes as None. The search then finds a "float32" model with the full loss of accuracy, and calls every layer harmless.
# What helps: leave the model alone where nothing is to be quantised, or name what to leave out with `nodes_to_exclude`.
#
# Seen: weights in int8 with None: w1 w2; with [first]: w1; with []: w1 w2, the file being that of None. Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cat >quantise.py <<'PY'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

generator = np.random.default_rng(0)
shapes = {"w1": (4, 3, 3, 3), "w2": (2, 4, 3, 3)}
weights = [numpy_helper.from_array(generator.normal(size=shape).astype("float32"), name) for name, shape in shapes.items()]
nodes = [
    helper.make_node("Conv", ["x", "w1"], ["a"], "first"),
    helper.make_node("Conv", ["a", "w2"], ["b"], "second"),
    helper.make_node("GlobalAveragePool", ["b"], ["y"], "pool"),
]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [1, 3, 8, 8]), ("y", [1, 2, 1, 1]))]
graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "float32.onnx")


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": np.linspace(-1, 1, 192, dtype="float32").reshape(1, 3, 8, 8)}]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantised(chosen):
    quantize_static("float32.onnx", "int8.onnx", Images(), quant_format=QuantFormat.QDQ, nodes_to_quantize=chosen)
    held = onnx.load("int8.onnx").graph.initializer
    return " ".join(one.name.split("_")[0] for one in held if one.data_type == TensorProto.INT8 and len(one.dims) > 1), open("int8.onnx", "rb").read()


all_nodes, one_node, no_node = quantised(None), quantised(["first"]), quantised([])
print(f"None: {all_nodes[0]}; [first]: {one_node[0]}; []: {no_node[0]}; the same file as for None: {no_node[1] == all_nodes[1]}")
PY
seen=$(env/bin/python quantise.py 2>/dev/null)
echo "onnxruntime 1.31.1: int8 weights with $seen"
[ "$seen" = "None: w1 w2; [first]: w1; []: w1 w2; the same file as for None: True" ]

"""Every export target: its place in params, quantisation and its scan worked out by hand, what is refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

import graft.deployment.export.quantiser as quantiser_module
from graft.deployment.export.exported_model import TARGET_FILES, runner_of
from graft.deployment.export.peak_memory import peak_bytes
from graft.deployment.export.quantiser import Quantiser
from graft.deployment.export.sensitivity import damage_by_layer, write_within
from graft.deployment.export.target_reports import refuse_targets
from graft.deployment.export.targets import IMAGES, TARGETS, image_problems, resolve_targets
from graft.foundation.errors import GraftError
from graft.params.sections import Export

SETTINGS = {
    "calibration": "none",
    "scan": "none",
    "weights_dtype": "float32",
    "opset": 18,
    "parity_images": 4,
    "max_logit_difference": 1e-3,
    "min_equal_fraction": 0.999,
    "max_score_difference": 1e-3,
}
RAMP = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)


def test_every_target_has_a_file_of_its_own():
    assert list(TARGETS) == list(TARGET_FILES)
    assert len(set(TARGET_FILES.values())) == len(TARGETS)


def test_onnx_is_written_first_as_the_others_start_from_it():
    assert next(iter(resolve_targets([*reversed(TARGETS)]))) == "onnx"


def test_a_target_that_does_not_exist_is_answered_with_the_one_it_resembles():
    with pytest.raises(GraftError, match=re.escape("export.targets has no choice named 'onnx_int9'")) as refused:
        resolve_targets(["onnx_int9"])
    assert "did you mean 'onnx_int8'" in str(refused.value)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([], "at least 1 item"),
        ([{"name": "pt2"}], "targets must hold onnx"),
        (["onnx", {"name": "onnx"}], "targets holds onnx twice"),
    ],
)
def test_lists_that_cannot_be(targets, said):
    with pytest.raises(ValidationError, match=said):
        Export(targets=targets, **SETTINGS)


def network(path: Path, *weights: tuple[float, float, float]) -> Path:
    """A chain of 1×1 convolutions, each a factor for each of the three colours."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    constants = []
    for number, factors in enumerate(weights):
        weight = np.diag(np.array(factors, np.float32)).reshape(3, 3, 1, 1)
        constants.append(numpy_helper.from_array(weight, f"w{number}"))
        nodes.append(helper.make_node("Conv", [f"x{number}", f"w{number}"], [f"x{number + 1}"], name=f"conv{number}"))
    nodes[-1].output[0] = "logits"
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    graph = helper.make_graph(nodes, "colours", [images], [logits], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def quantiser_of(file: Path, *, seven_bits: bool = True) -> Quantiser:
    return Quantiser(file, [RAMP], file.parent, seven_bits=seven_bits)


def test_quantised_values_worked_out_by_hand(tmp_path):
    """Inputs of 0 … 255 and a weight of one value by channel are exact; the output of 0 … 1020 has steps of 4."""
    quantiser = quantiser_of(network(tmp_path / "model.onnx", (1, 2, 4)))
    assert quantiser.layers == ["conv0"]
    quantiser.write(tmp_path / "one.onnx", quantiser.layers)
    found = runner_of(tmp_path / "one.onnx", 1)(RAMP)
    exact = RAMP.transpose(0, 3, 1, 2) * np.array([1, 2, 4], np.float32).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(found, 4 * np.round(exact / 4), atol=1e-3)
    quantiser.write(tmp_path / "two.onnx", quantiser.layers)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_weights_are_of_seven_bits_unless_eight_are_asked_for(tmp_path):
    for seven_bits, largest in ((True, 64), (False, 127)):
        folder = tmp_path / str(seven_bits)
        folder.mkdir()
        quantiser = quantiser_of(network(folder / "model.onnx", (1, 2, 4)), seven_bits=seven_bits)
        quantiser.write(folder / "int8.onnx", quantiser.layers)
        weights = [numpy_helper.to_array(one) for one in onnx.load(folder / "int8.onnx").graph.initializer]
        assert [int(one.max()) for one in weights if one.dtype == np.int8 and one.ndim == 4] == [largest]


def test_the_layer_whose_range_is_widest_does_most_damage(tmp_path):
    """The outputs of the first are 0 … 255, in steps of 1; those of the second 0 … 25500, in steps of 100."""
    file = network(tmp_path / "model.onnx", (1, 1, 1), (1, 1, 100))
    quantiser = quantiser_of(file)
    damages = damage_by_layer(quantiser, runner_of(file, 1), [RAMP], tmp_path, 1)
    assert damages["conv0"] < 1e-9 < damages["conv1"]


def test_a_network_without_weights_says_so(tmp_path):
    node = helper.make_node("Cast", ["images"], ["logits"], to=TensorProto.FLOAT)
    values = [
        helper.make_tensor_value_info(name, kind, ["batch", "height", "width", 3])
        for name, kind in (("images", TensorProto.UINT8), ("logits", TensorProto.FLOAT))
    ]
    graph = helper.make_graph([node], "nothing", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(GraftError, match=r"cannot be quantised \(it has no layer with weights") as refused:
        quantiser_of(tmp_path / "model.onnx")
    assert "take onnx_int8 out of export.targets" in str(refused.value)


LOSSES = {"a": 0.001, "b": 0.02, "c": 0.0, "d": 0.004, "e": 0.01}


class Scan:
    """A quantiser whose file says which layers are in 8 bits; a file loses the sum of what these do."""

    def __init__(self, with_weights: str = "abcde") -> None:
        self.layers, self.with_weights, self.num_scored = [*LOSSES], {*with_weights}, 0

    def has_weights(self, layers: Collection[str]) -> bool:
        return not self.with_weights.isdisjoint(layers)

    def write(self, path: Path, layers: Collection[str]) -> None:
        path.write_text("".join(sorted(layers)))

    def drop(self, path: Path) -> float:
        self.num_scored += 1
        return sum(LOSSES[layer] for layer in path.read_text())


@pytest.mark.parametrize(
    ("most", "kept", "drop"),
    [(0.04, "", 0.035), (0.02, "b", 0.015), (0.0051, "be", 0.005), (0.002, "bed", 0.001), (0.0005, "beda", 0.0)],
)
def test_the_fewest_of_the_worst_layers_stay_in_float32(tmp_path, most, kept, drop):
    scan, file = Scan(), tmp_path / "file"
    facts = write_within(scan, file, lambda: LOSSES, scan.drop, most)
    assert [layer["layer"] for layer in facts["kept_float32"]] == [*kept]
    assert facts["drop"] == pytest.approx(drop)
    assert facts["drop_all_quantised"] == pytest.approx(0.035)
    assert {*file.read_text()} == {*"abcde"} - {*kept}
    assert scan.num_scored <= 1 + 3  # all of them, and halves of five


def test_a_network_that_only_float32_keeps_is_refused(tmp_path):
    scan = Scan(with_weights="abde")
    with pytest.raises(GraftError, match=r"loses more than 0\.0005, whichever layers stay in float32"):
        write_within(scan, tmp_path / "file", lambda: LOSSES, scan.drop, 0.0005)


REPORT = {"score": "mean_iou", "original_score": 0.7, "exported_score": 0.7, "equal_fraction": 1.0}
REPORT |= {"max_logit_difference": 0.1}


def test_logits_that_are_not_finite_are_beyond_any_limit():
    wide = {"name": "onnx_fp16", "max_score_difference": 1.0, "min_equal_fraction": 0.0}
    with pytest.raises(GraftError, match="onnx_fp16: its logits are not all finite") as refused:
        refuse_targets({"onnx_fp16": REPORT | {"max_logit_difference": float("inf")}}, ["onnx", wide])
    assert "take the target out of export.targets" in str(refused.value)


@pytest.mark.parametrize(
    ("targets", "named", "wrong"),
    [
        (["onnx", "pt2"], ("none", "none"), []),
        (["onnx", "onnx_int8"], ("train", "val"), []),
        (["onnx", "onnx_int8"], ("none", "val"), ["set export.calibration: train"]),
        (["onnx", "onnx_int8"], ("none", "none"), ["set export.calibration: train", "set export.scan: val"]),
        (["onnx"], ("train", "none"), ["set export.calibration: none"]),
    ],
)
def test_images_are_named_where_a_target_reads_them_and_nowhere_else(targets, named, wrong):
    section = Export(**SETTINGS | {"targets": targets} | dict(zip(IMAGES, named, strict=True)))
    assert [problem.remedy for problem in image_problems(section).values()] == wrong


def test_an_error_of_onnx_runtime_without_a_text_is_named_by_its_kind(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(quantiser_module, "quant_pre_process", fail)
    with pytest.raises(GraftError, match=r"cannot be quantised \(NotImplementedError\)"):
        quantiser_of(network(tmp_path / "model.onnx", (1, 2, 4)))


def test_pt2_without_torch_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "graft.deployment.export.pt2_file", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(GraftError, match="torch is not installed here") as refused:
        runner_of(tmp_path / "model.pt2")
    assert "choose another target" in str(refused.value)


def test_a_file_that_cannot_be_run_has_no_peak(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"damaged")
    assert peak_bytes(tmp_path / "model.onnx", np.zeros((8, 8, 3), np.uint8)) is None


def test_limits_are_those_of_the_target_and_all_that_is_wrong_is_said():
    report = REPORT | {"exported_score": 0.69, "equal_fraction": 0.94}
    reports = {"onnx_int8": report, "pt2": report | {"exported_score": 0.71, "equal_fraction": 1.0}}
    refuse_targets(reports, ["onnx"])
    targets = ["onnx", "onnx_int8", "pt2"]
    with pytest.raises(GraftError) as refused:
        refuse_targets(reports, targets)
    assert "onnx_int8: mean_iou falls by 0.01; its max_score_difference is 0.003" in str(refused.value)
    assert "94.0000% of the predictions are equal; its min_equal_fraction is 95.0000%" in str(refused.value)
    assert "pt2:" not in str(refused.value)  # a score that rises is no harm
    wide = {"name": "onnx_int8", "max_score_difference": 0.02, "min_equal_fraction": 0.9}
    refuse_targets(reports, ["onnx", wide, "pt2"])

"""The ONNX file of every architecture computes what torch computes, at sizes other than the one it was traced at.

And it can be quantised, or says why not.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from graft.deployment.export.exported_model import runner_of
from graft.deployment.export.onnx_file import write_onnx
from graft.deployment.export.quantiser import Quantiser
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import padding
from graft.inference.torch_runner import Deployable
from graft.models.architectures import build_fresh
from graft.models.saved_model import ModelSpec
from tests.registries.test_models import NUM_CLASSES, SPECS

# Tracing takes some seconds (the larger networks half a minute), so one of each kind is tried in every run; LR-ASPP,
# VGG and MobileNetV3 are in tests/pipeline/test_export.py.
NOT_QUANTISED: tuple[str, ...] = ()  # architectures that onnx_int8 may refuse; none does
LIGHT = ("segmentation-plain_fcn", "classification-timm")
PARAMETERS = [
    pytest.param(task, spec, marks=() if name in LIGHT else pytest.mark.slow, id=name)
    for name, (task, spec) in SPECS.items()
]
PARAMETERS.append(
    pytest.param(
        "classification", {"name": "timm", "variant": "mixer_s16_224"}, marks=pytest.mark.slow, id="fixed-size"
    )
)


@pytest.mark.parametrize(("task", "choice"), PARAMETERS)
def test_onnx_equals_torch_and_can_be_quantised_or_says_why_not(tmp_path, task: str, choice: dict) -> None:
    model = build_fresh(task, choice, NUM_CLASSES, 3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.01)
    names = tuple("abcde")
    facts = model.padding_multiple, False, model.min_side_px
    spec = ModelSpec(task, choice, NUM_CLASSES, names, (0.5,) * 3, (0.25,) * 3, {"name": "none"}, *facts)
    write_onnx(tmp_path / "model.onnx", model, spec, opset=18)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    deployable = Deployable(model, spec.mean, spec.std)
    for size in ((64, 64), (150, 230)):
        height, width = (side + padding(side, spec.padding_multiple, spec.min_side_px) for side in size)
        if model.fixed_size_px:
            height = width = model.fixed_size_px
        images = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        with torch.no_grad():
            expected = deployable(torch.from_numpy(images)).numpy()
        found = session.run(["logits"], {"images": images})[0]
        np.testing.assert_allclose(found, expected, atol=2e-4 * float(np.abs(expected).max()), rtol=0)
    try:
        quantiser = Quantiser(tmp_path / "model.onnx", [images], tmp_path, seven_bits=True)
        quantiser.write(tmp_path / "int8.onnx", quantiser.layers)
    except GraftError as error:
        assert choice["name"] in NOT_QUANTISED, error  # noqa: PT017
        return
    assert choice["name"] not in NOT_QUANTISED
    in_8_bits = runner_of(tmp_path / "int8.onnx", 1)(images)
    assert in_8_bits.shape == expected.shape
    assert np.isfinite(in_8_bits).all()

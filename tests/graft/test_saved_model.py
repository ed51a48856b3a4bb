"""Weights on disk: the same content is the same bytes, and what is damaged is said."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch

from graft.foundation.errors import GraftError
from graft.models import saved_model
from graft.models.architectures import build_fresh, resolve_model
from graft.models.saved_model import ModelSpec, load_model, load_state, save_model, save_state, tensor_digest

CHOICE = {"name": "mobilenet_v3", "variant": "small"}
SPEC = ModelSpec(
    task="classification",
    model=resolve_model("classification", CHOICE).as_dict(),
    num_classes=3,
    class_names=("ants", "bees", "spiders"),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.2),
    resize={"name": "none"},
    padding_multiple=1,
    synthetic=False,
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path, build_fresh("classification", CHOICE, 3, 1), SPEC)
    return tmp_path


def test_a_loaded_model_is_the_saved_one(saved: Path) -> None:
    model, spec = load_model(saved)
    assert spec == SPEC
    assert not model.training
    assert tensor_digest(model.state_dict()) == tensor_digest(build_fresh("classification", CHOICE, 3, 1).state_dict())


def test_the_weights_carry_the_spec(saved: Path) -> None:
    _, metadata = load_state(saved / "model.safetensors")
    assert ModelSpec.of(metadata) == SPEC


def test_a_spec_that_does_not_say_its_least_side_is_of_a_model_that_needs_no_more_than_32(saved: Path) -> None:
    stored = SPEC.as_dict()
    del stored["min_side_px"]
    assert ModelSpec.of(stored).min_side_px == 32


def test_half_precision_weights_are_loaded_as_float32(saved: Path) -> None:
    state, _ = load_state(saved / "model.safetensors")
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    save_state(saved / "weights.safetensors", halves, {})
    model, _ = load_model(saved, weights="weights.safetensors")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_same_state_is_the_same_bytes_whatever_its_order_and_layout(tmp_path: Path) -> None:
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    state = {"b": image, "a": torch.tensor(3), "shared": image}
    shuffled = {"a": torch.tensor(3), "shared": image, "b": image.to(memory_format=torch.channels_last)}
    save_state(tmp_path / "one", state, {"x": 1, "y": {"d": 2, "c": 3}})
    save_state(tmp_path / "two", shuffled, {"y": {"c": 3, "d": 2}, "x": 1})
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("one", "two")}
    assert len(digests) == 1
    assert tensor_digest(state) == tensor_digest(shuffled)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one", "two"]


@pytest.mark.parametrize("tensor", [torch.zeros(3), torch.zeros(2, dtype=torch.int64), torch.tensor([0.0, 1e-9])])
def test_another_value_type_or_shape_is_another_digest(tensor: torch.Tensor) -> None:
    assert tensor_digest({"a": tensor}) != tensor_digest({"a": torch.zeros(2)})


def test_states_of_every_type_have_a_digest() -> None:
    types = (torch.bfloat16, torch.float16, torch.uint8, torch.bool, torch.int64)
    assert len({tensor_digest({"a": torch.ones((), dtype=dtype)}) for dtype in types}) == len(types)


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"\x80\x02" + data])
def test_a_damaged_file_is_said_to_be_damaged(saved: Path, damage) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(GraftError, match=r"model\.safetensors: damaged safetensors file"):
        load_model(saved)


def test_a_missing_file_is_named(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(GraftError, match=r"model\.safetensors: file not found"):
        load_model(saved)


def test_weights_of_another_model_are_refused(saved: Path) -> None:
    dataclasses.replace(SPEC, num_classes=4).write(saved / saved_model.SPEC_FILE)
    with pytest.raises(GraftError, match=r"head\.classifier\.3\.weight: \[3, 1024\] instead of \[4, 1024\]"):
        load_model(saved)


def test_a_spec_with_other_fields_is_refused(saved: Path) -> None:
    (saved / "spec.json").write_text(json.dumps({"task": "segmentation"}))
    with pytest.raises(GraftError, match=r"spec\.json: not the spec of a model"):
        load_model(saved)

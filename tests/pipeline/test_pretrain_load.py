"""The stage: complete weights, an honest card, the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_seed, read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.models.architectures import build, build_fresh, resolve_model
from graft.models.saved_model import ModelSpec, load_state, save_model, save_state
from graft.models.widths import num_parameters
from graft.params.sections import PretrainLoad
from graft.training.strategies.channel_pruning import Pruning
from pipeline.pretrain_load import pretrain_load
from tests.tiny_training import runtime

NAMES = ("Sky", "Road", "Car")
PLAIN = {"name": "plain_fcn", "width": 8}


def run(
    folder: Path, source: dict, task: str = "segmentation", model: str | dict = "lraspp", **changes: str
) -> tuple[dict, dict, dict]:
    """Runs the stage in a folder: its metrics, its card, its weights."""
    out = folder / "out"
    out.mkdir(parents=True)
    colors = ((0, 0, 0),) * 3
    ClassMap(task, NAMES, colors, NAMES, False, True, "scenes").write(folder / "class_map.json")
    section = PretrainLoad(**{"source": source, "images": "none", "part": "all", "initialisation": "library"} | changes)
    metrics = pretrain_load(
        task=task,
        seed=7,
        model=model,
        runtime=runtime(),
        pretrain_load=section,
        images=folder / "none",
        class_map=folder / "class_map.json",
        out=out,
    )
    return metrics, read_json(out / "card.json"), load_state(out / "weights.safetensors")[0]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("theirs") / "street.safetensors"
    state = build_fresh("segmentation", "lraspp", 2, 1).state_dict()
    save_state(path, state, {"class_names": ["road", "kerb"], "mean": [0.5] * 3, "std": [0.2] * 3})
    return path


def test_from_scratch_the_weights_are_a_function_of_the_seed(tmp_path: Path) -> None:
    metrics, card, state = run(tmp_path, {"name": "none"})
    expected = build_fresh("segmentation", "lraspp", 3, content_seed(7, "head")).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    assert card["description"] == "no pretrained weights: training from scratch"
    assert sorted(card["reinitialised"]) == sorted(expected)
    assert (card["sha256"], card["mean"], card["known_classes"]) == (None, [0.485, 0.456, 0.406], [])
    assert metrics["backbone_fraction"] == 0.0


def test_from_a_pruned_model_the_network_is_as_narrow(tmp_path: Path) -> None:
    """Of the same architecture; another one takes what fits, and keeps its own widths."""
    model = build_fresh("segmentation", PLAIN, 3, 1)
    Pruning("parameters", "magnitude").prune(model, num_parameters(model) // 2)
    facts = {"mean": (0.5,) * 3, "std": (0.2,) * 3, "resize": {"name": "none"}, "padding_multiple": 1}
    choice = resolve_model("segmentation", PLAIN).as_dict()
    spec = ModelSpec("segmentation", choice, 3, ("road", "sky", "kerb"), **facts, synthetic=True, widths=model.widths)
    save_model(tmp_path, model, spec)
    path = tmp_path / "model.safetensors"
    source = {"name": "file", "path": str(path), "sha256": sha256_of(path)}
    _, card, state = run(tmp_path / "same", source, model=PLAIN)
    assert card["widths"] == model.widths
    assert card["known_classes"] == ["Sky", "Road"]
    name = "backbone.block2.convolution.weight"
    assert torch.equal(state[name], model.state_dict()[name])
    _, card, state = run(tmp_path / "none", {"name": "none"}, model=PLAIN)
    assert card["widths"] == {}
    assert state[name].shape[0] > model.state_dict()[name].shape[0]
    told = r"of the model's backbone is in these weights, which were pruned.*set model: {.*\"width\": 8}"
    with pytest.raises(GraftError, match=told):
        run(tmp_path / "wider", source, model={"name": "plain_fcn", "width": 16})


def test_from_a_file_the_card_says_what_became_of_each_tensor(tmp_path: Path, theirs: Path) -> None:
    metrics, card, state = run(
        tmp_path, {"name": "file", "path": str(theirs), "sha256": sha256_of(theirs), "licence": "CC-BY-4.0"}
    )
    build("segmentation", "lraspp", 3).load_state_dict(state)
    assert (card["name"], card["licence"], card["mean"], card["std"]) == ("file", "CC-BY-4.0", [0.5] * 3, [0.2] * 3)
    assert card["model"] == {"name": "lraspp", "backbone": "mobilenet_v3_large"}
    assert "head.low_classifier.bias: 1 of 3 classes by name, from 2" in card["resized"]
    assert card["known_classes"] == ["Road"]
    listed = card["matched"] + [line.split(":")[0] for line in card["resized"]] + card["reinitialised"]
    assert sorted(listed) == sorted(state)
    assert metrics == {
        "num_matched": len(state) - 4,
        "num_resized": 4,
        "num_reinitialised": 0,
        "num_left_out": 0,
        "backbone_fraction": 1.0,
    }


def test_two_folders_hold_the_same_bytes(tmp_path: Path, theirs: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "another" / "place"]
    for folder in folders:
        run(folder, {"name": "file", "path": str(theirs), "sha256": sha256_of(theirs)})
    for name in ("card.json", "weights.safetensors"):
        assert len({(folder / "out" / name).read_bytes() for folder in folders}) == 1


def test_a_segmenter_becomes_a_classifier(tmp_path: Path, theirs: Path) -> None:
    metrics, card, _ = run(
        tmp_path, {"name": "file", "path": str(theirs), "sha256": sha256_of(theirs)}, "classification", "mobilenet_v3"
    )
    assert metrics["backbone_fraction"] == 1.0
    assert all(name.startswith("head.") for name in card["reinitialised"] + card["left_out"])


def test_the_card_says_how_each_new_layer_was_filled(tmp_path: Path, theirs: Path) -> None:
    source = {"name": "file", "path": str(theirs), "sha256": sha256_of(theirs)}
    _, card, state = run(tmp_path, source, part="backbone", initialisation="xavier_normal")
    assert card["reinitialised"] == sorted(name for name in state if name.startswith("head."))
    assert card["known_classes"] == []
    assert card["initialisation"]["head.low_classifier.weight"] == "xavier_normal"
    assert card["initialisation"]["head.cbr.1.weight"] == "as its library does"
    assert not state["head.low_classifier.bias"].any()


def test_an_unknown_source_is_answered(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"pretrain_load\.source has no choice named 'bundle'.*did you mean 'bundled'"):
        run(tmp_path, {"name": "bundle"})

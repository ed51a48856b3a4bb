"""The images whose labels a model has learnt: its own, and those of the models behind it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from graft.foundation.content import write_json
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh
from graft.models.saved_model import ModelSpec, save_model, save_state
from graft.provenance.learnt_images import learnt_by_weights, learnt_images
from graft.provenance.stages import EXPORTED, FINE_TUNED, PRETRAINED
from tests.graft.test_frozen_test_set import grown_from, register_trained

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def family(store, tmp_path_factory) -> None:
    """A version that grew out of one that a third one taught."""
    folder = tmp_path_factory.mktemp("family")
    taught = {"fine_tune": {"strategy": {"name": "distil", "teacher": [{"model": "models:/elder/1", "sha256": "0"}]}}}
    register_trained(store, folder, "elder", {"train": ["e"], "val": ["v"], "unlabelled": ["u"]}, {})
    register_trained(store, folder, "parent", {"train": ["p"], "val": ["v"]}, taught)
    register_trained(store, folder, "child", {"train": ["c"], "val": ["v"]}, grown_from("models:/parent/1"))


def write_card(project: Path, **facts: object) -> Path:
    (project / PRETRAINED).mkdir(parents=True)
    write_json(project / PRETRAINED / "card.json", {"origin": "drawn at random", "known_classes": [], **facts})
    return project / PRETRAINED


def test_a_version_has_learnt_what_it_grew_out_of_and_its_teachers_learnt(family):
    assert learnt_images("models:/child/1") == {"c", "p", "e"}
    assert learnt_images("models:/elder/1") == {"e"}


def test_pretrained_weights_have_learnt_what_their_version_learnt(family, tmp_path, capsys):
    assert learnt_by_weights(write_card(tmp_path / "a", origin="models:/parent/1")) == {"p", "e"}
    assert learnt_by_weights(write_card(tmp_path / "b")) == set()
    assert capsys.readouterr().err == ""
    assert learnt_by_weights(write_card(tmp_path / "c", origin="w.safetensors", known_classes=["road"])) == set()
    assert "w.safetensors know road, and nothing tells which images taught them" in capsys.readouterr().err


def test_a_folder_is_known_by_the_weights_that_fine_tune_left_beside_it(family, tmp_path):
    write_card(tmp_path, origin="models:/elder/1")
    plain = {"name": "plain_cnn", "width": 8}
    model = build_fresh("classification", plain, 2, 0)
    spec = ModelSpec("classification", plain, 2, ("a", "b"), (0.5,) * 3, (0.5,) * 3, {"name": "none"}, 1, False)
    for place in (FINE_TUNED, EXPORTED):
        (tmp_path / place).mkdir(parents=True)
    save_model(tmp_path / FINE_TUNED, model, spec)
    halves = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_state(tmp_path / EXPORTED / "weights.safetensors", halves, {})
    write_json(tmp_path / FINE_TUNED / "seen.json", {"train": ["t"], "val": ["v"]})
    write_json(tmp_path / FINE_TUNED / "strategy.json", {"name": "supervised"})
    assert learnt_images(str(tmp_path / EXPORTED)) == {"t", "e"}
    other = shutil.copytree(tmp_path / EXPORTED, tmp_path / "other/models/exported")
    with pytest.raises(GraftError, match="no file tells which images the model has learnt"):
        learnt_images(str(other))
    with torch.no_grad():
        next(model.parameters()).add_(1)
    save_model(tmp_path / FINE_TUNED, model, spec)
    with pytest.raises(GraftError, match=r"neither in its project nor in this one"):
        learnt_images(str(tmp_path / EXPORTED))

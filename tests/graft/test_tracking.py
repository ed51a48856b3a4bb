"""The one door to MLflow: asking again, explaining refusals, fetching artifacts, addresses of models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import artifact_repository_registry

from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, ModelAddress, is_address, registered_name
from graft.provenance.tracking import mlflow_store, model_versions, registry, runs
from graft.provenance.tracking.registry_reader import SqliteReader
from graft.provenance.tracking.rest_interface import Unanswered

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow_store.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("words", mlflow_store.BUSY)
def test_a_store_that_others_write_to_is_asked_again(words):
    answers = iter([MlflowException(f"it said: {words.upper()}")] * 3)

    def ask() -> str:
        for error in answers:
            raise error
        return "done"

    assert mlflow_store.retry(ask) == "done"


def test_asking_ends_after_eight_attempts_and_at_once_for_any_other_refusal():
    asked: list[str] = []

    def ask(words: str) -> None:
        asked.append(words)
        raise MlflowException(words)

    with pytest.raises(mlflow_store.Unreachable, match=r"8 attempts failed \(database is locked\).*when they are done"):
        mlflow_store.retry(lambda: ask("database is locked"))
    with pytest.raises(MlflowException, match="no access"):
        mlflow_store.retry(lambda: ask("no access"))
    assert len(asked) == mlflow_store.NUM_ATTEMPTS + 1


def test_a_refusal_is_explained_once_and_with_the_remedy_of_whoever_asked():
    explained = pytest.raises(
        mlflow_store.Unreachable, match=r"MLflow refuses \(no access\).*fix this, then look again"
    )
    with explained, mlflow_store.explain_refusals(), mlflow_store.explain_refusals("look again"):
        raise MlflowException("no access\nand a long traceback")


def test_an_artifact_that_is_absent_is_none_and_one_that_is_refused_is_an_error(store, tmp_path, monkeypatch):
    run = runs.create_run(store, "export", {})
    file = tmp_path / "here.json"
    file.write_text("{}")
    store.log_artifact(run.info.run_id, str(file), "record")
    (tmp_path / "into").mkdir()
    fetched = runs.fetch_artifact(store, run, "record/here.json", tmp_path / "into")
    assert fetched == tmp_path / "into/here.json"
    assert fetched.read_text() == "{}"
    assert runs.fetch_artifact(store, run, "record/gone.json", tmp_path / "into") is None

    def refuse(*arguments: object) -> None:
        raise MlflowException("API request failed with error code 403")

    refusing = SimpleNamespace(_download_file=refuse, list_artifacts=refuse)
    monkeypatch.setattr(artifact_repository_registry, "get_artifact_repository", lambda *_, **__: refusing)
    with pytest.raises(mlflow_store.Unreachable, match="403"):
        runs.fetch_artifact(store, run, "record/here.json", tmp_path / "into")


def test_a_server_that_refuses_is_not_taken_for_an_absent_version(store, monkeypatch):
    assert registry.find_version(store, ModelAddress("nothing", 1)) is None
    assert registry.find_version(store, ModelAddress("nothing", alias=CANDIDATE)) is None
    with pytest.raises(GraftError, match="models:/nothing@candidate: no such model"):
        model_versions.download_model("models:/nothing@candidate", Path())

    def refuse(*arguments: object) -> None:
        raise MlflowException("API request failed with error code 401")

    def refuse_reading(*arguments: object) -> None:
        raise Unanswered

    monkeypatch.setattr(SqliteReader, "_ask", refuse_reading)
    monkeypatch.setattr(type(store), "get_model_version", refuse)
    monkeypatch.setattr(type(store), "get_model_version_by_alias", refuse)
    for address in ("models:/nothing/1", "models:/nothing@candidate"):
        with pytest.raises(mlflow_store.Unreachable, match="401"):
            model_versions.download_model(address, Path())


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (MlflowException("API request failed with error code 403"), mlflow_store.Unreachable),
        (ConnectionError("reset by peer"), mlflow_store.Unreachable),
        (MlflowException("Model Version (name=streets, version=3) not found"), GraftError),
        (FileNotFoundError("MLmodel"), GraftError),
    ],
)
def test_files_that_are_gone_are_not_a_refusal(error, raised, monkeypatch):
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    with pytest.raises(GraftError) as caught:
        model_versions.download_version(ModelAddress("streets", 3), Path())
    assert type(caught.value) is raised


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("models:/streets/3", ModelAddress("streets", 3)),
        ("models:/streets@candidate", ModelAddress("streets", alias=CANDIDATE)),
        ("models:/two words/12", ModelAddress("two words", 12)),
    ],
)
def test_an_address_is_read_as_it_is_written(text, address):
    assert ModelAddress.parse(text) == address
    assert str(address) == text
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    ["models/exported", "models:/", "models:/streets", "models:/streets/0", "models:/streets/x", "models:/a@b@c"],
)
def test_what_is_no_address_is_refused_with_the_two_forms(text):
    with pytest.raises(GraftError, match=r"no such model.*models:/NAME@ALIAS or models:/NAME/NUMBER"):
        ModelAddress.parse(text)


def test_models_are_registered_by_their_task():
    assert registered_name("segmentation") == "graft-segmentation"
